"""`liveops_snapshots`: samples of what games were given, each of which can be resolved again.

Which turns were sampled is told by the games, so the ledger alone cannot bring the table back.
What stands in a row it can: `verify` resolves (position, at, context) again and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from ledger.clock import Instant
from ledger.events import Recorded
from ledger.live import Live, evolve_live
from ledger.resolve import Reason, Resolution, disabled, resolve
from ledger.scopes import Context
from projections import sql
from projections.views import (
    PROJECTOR,
    Connection,
    Schemas,
    as_json,
    ask_page,
    plain,
    stamp,
    work_as,
)

Json = Any

PAGE = 1000

_SNAPSHOTS = uuid5(NAMESPACE_URL, "liveops-ledger/snapshots")
_FIRST = UUID(int=0)
_LAST_TURN = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A sample as the table holds it; `ts` is when it was taken, `at` what it was resolved for."""

    id: UUID
    session_id: str
    turn_id: int
    resolved: dict[str, Json]
    ts: Instant
    position: int
    at: Instant
    reason: str
    context: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of resolving a snapshot again; `differs` maps a lever to (sampled, resolved)."""

    snapshot: Snapshot
    differs: Mapping[str, tuple[Json, Json]]
    problem: str = ""

    @property
    def agrees(self) -> bool:
        """Tell whether the game was given what the ledger says."""
        return not self.differs and not self.problem


def record_snapshot(
    connection: Connection, context: Context, resolution: Resolution, *, ts: Instant
) -> UUID:
    """Write a sample down as liveops_projector and return its id; the same one twice is one row.

    Not inside a transaction, which would go on as liveops_projector. Raises ValueError for a
    context without a turn, or whose turn the column cannot hold.
    """
    turn = context.turn_id
    if turn is None or not -_LAST_TURN <= turn <= _LAST_TURN:
        raise ValueError(f"a snapshot is of one turn, numbered up to {_LAST_TURN}, not of {turn}")
    snapshot_id = _id(context, resolution)
    parameters = {
        "id": snapshot_id,
        "session_id": plain(context.session_id),
        "turn_id": turn,
        "resolved": as_json(dict(resolution.values)),
        "ts": stamp(ts),
        "position": resolution.position,
        "at": stamp(resolution.at),
        "reason": resolution.reason.value,
        "context": orjson.dumps(context.to_json()).decode(),
    }
    with connection.transaction():
        work_as(connection, PROJECTOR, Schemas.of(connection).ledger_path)
        connection.execute(sql.queries()["snapshot_record"], parameters)
    return snapshot_id


def _id(context: Context, resolution: Resolution) -> UUID:
    # The values are in it too: who reports two answers to one question is to be found out.
    asked = (resolution.position, resolution.at, resolution.reason, context.to_json())
    sample = orjson.dumps([*asked, dict(resolution.values)], option=orjson.OPT_SORT_KEYS)
    return uuid5(_SNAPSHOTS, sample.decode())


def snapshots(connection: Connection) -> Iterator[Snapshot]:
    """Yield all snapshots by position, a page at a time."""
    position, last = 0, _FIRST
    while True:
        parameters = {"position": position, "id": last, "limit": PAGE}
        page = ask_page(connection, "snapshots_page", {}, parameters, Snapshot)
        yield from page
        if len(page) < PAGE:
            return
        position, last = page[-1].position, page[-1].id


def verify(samples: Iterable[Snapshot], events: Iterable[Recorded]) -> Iterator[Verdict]:
    """Resolve snapshots again, both they and the ledger's events in order of position.

    Folds the ledger once and keeps nothing of it but what is live.
    """
    live = Live()
    rest = iter(events)
    for snapshot in samples:
        while live.position < snapshot.position:
            recorded = next(rest, None)
            if recorded is None:
                break
            evolve_live(live, recorded)
        yield _verdict(live, snapshot)


def _verdict(live: Live, snapshot: Snapshot) -> Verdict:
    if live.position != snapshot.position:
        return Verdict(snapshot, {}, f"the ledger has no position {snapshot.position}")
    if snapshot.at < live.recorded_at:
        return Verdict(snapshot, {}, "it was resolved for an instant before its last event")
    if snapshot.reason == Reason.DISABLED:
        values = disabled(live.catalog, live.position, snapshot.at).values
    else:
        values = resolve(live, Context(**snapshot.context), snapshot.at).values
    return Verdict(snapshot, _differing(snapshot.resolved, values))


def _differing(
    sampled: Mapping[str, Json], resolved: Mapping[str, Json]
) -> dict[str, tuple[Json, Json]]:
    names = sorted(sampled.keys() | resolved.keys())
    pairs = {name: (sampled.get(name), resolved.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
