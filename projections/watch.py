"""Verifies the ledger again and again beside the projector, and keeps what was found.

Any number of projectors may do so: one verifies at a time, and none sooner than an interval after
the last one was done. It works half the time, so that the views beside it keep up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import orjson
import psycopg

from ledger.clock import Instant
from ledger.errors import LedgerError
from projections import sql
from projections.verification import Evidence, Verdict, VerificationUnderWay, verify
from projections.views import Connection, View, as_json, ask_page, close, connect

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification as it was written down; `views` and `faults` as in JSON."""

    checked_at: Instant
    position: int
    events: int
    checkpoints: int
    seconds: float
    sound: bool
    views: list[dict[str, Any]]
    faults: list[dict[str, str]]


class _Stopped(Exception):
    """The program ends; a verification may end anywhere."""


def run(
    url: str, views: Sequence[View], interval: float, stop: Event, evidence: Evidence | None = None
) -> None:
    """Verify every `interval` seconds until `stop` is set."""
    said = ""
    while not stop.wait(min(interval, _LONGEST_PAUSE)):
        try:
            if _due(url, interval):
                _verify(url, views, stop, evidence)
            said = ""
        except (_Stopped, VerificationUnderWay):
            pass
        except (psycopg.Error, LedgerError) as error:
            words = " ".join(str(error).split())
            if words != said:
                _log.warning("not verified: %s", words)
            said = words


def _due(url: str, interval: float) -> bool:
    connection = connect(url)
    try:
        row = connection.execute(sql.queries()["verification_age"]).fetchone()
        return row is None or row[0] is None or row[0] >= interval
    finally:
        close(connection)


def _verify(url: str, views: Sequence[View], stop: Event, evidence: Evidence | None) -> None:
    worked_from = time.monotonic()

    def rest(*_: object) -> None:
        nonlocal worked_from
        if stop.wait(min(time.monotonic() - worked_from, 1.0)):
            raise _Stopped
        worked_from = time.monotonic()

    verdict = verify(url, views, evidence=evidence, on_progress=rest, alone=True)
    connection = connect(url)
    try:
        add(connection, verdict)
    finally:
        close(connection)
    _tell(verdict)


def _tell(verdict: Verdict) -> None:
    for fault in verdict.faults:
        _log.error("not as the ledger's events make it: %s", fault)
    for view in verdict.views:
        if view.sound is None:
            _log.warning("%s was not compared with the ledger: %s", view.name, view.why)


def add(connection: Connection, verdict: Verdict) -> None:
    """Write down what a verification found."""
    parameters = {
        "position": verdict.position,
        "events": verdict.events,
        "checkpoints": verdict.checkpoints,
        "seconds": verdict.seconds,
        "sound": verdict.sound,
        "views": orjson.dumps([view._asdict() for view in verdict.views]).decode(),
        "faults": as_json([fault._asdict() for fault in verdict.faults]),
    }
    connection.execute(sql.queries()["verification_add"], parameters)


def last(connection: Connection) -> Verification | None:
    """Read what the last verification found; None before the first."""
    found = ask_page(connection, "verification_last", {}, {}, Verification)
    return found[0] if found else None
