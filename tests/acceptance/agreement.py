"""What must hold of the ledger, the topics and the views, whatever has been killed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import orjson
import psycopg
from psycopg.sql import SQL, Identifier

from consumers.prefix import start_from
from ledger.clock import format_instant
from ledger.events import Recorded, decode
from ledger.live import things
from ledger.state import State, replay, replay_live
from ledger.store import LedgerStore, Stored
from projections.catalogue import VIEWS
from projections.rebuild import rebuild
from tests.acceptance.load import Outcome
from tests.integration.publishing import Published

Json = Any


_REFUSED = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.LOCKED)


def read_ledger(database_url: str) -> list[Stored]:
    """Read every event, as an auditor may."""
    with LedgerStore(database_url, role="liveops_reader") as store:
        return list(store.stream())


def decoded(ledger: Iterable[Stored]) -> list[Recorded]:
    """Read events from their bytes."""
    return [decode(stored.position, stored.recorded_at, stored.state) for stored in ledger]


def assert_whole(ledger: Sequence[Stored]) -> None:
    """Positions have no gap, stamps only rise."""
    assert [stored.position for stored in ledger] == list(range(1, len(ledger) + 1))
    stamps = [stored.recorded_at for stored in ledger]
    assert all(before < after for before, after in pairwise(stamps))


def assert_once_each(ledger: Sequence[Stored], outcomes: Sequence[Outcome]) -> None:
    """What was carried out is there once and where it was said to be, and nothing besides."""
    by_key: dict[str, list[Recorded]] = defaultdict(list)
    for recorded in decoded(ledger):
        by_key[recorded.cause.reason].append(recorded)
    for outcome in outcomes:
        assert outcome.done or outcome.status in _REFUSED, outcome
        events = by_key.pop(outcome.key, [])
        assert len(events) == outcome.events, outcome
        assert len({event.cause.causation_id for event in events}) <= 1, outcome
        assert not events or events[-1].position == outcome.answer["position"], outcome
    assert by_key.keys() == {"the catalog that the program was started with"}


def assert_published(topics: Published, ledger: Sequence[Stored]) -> None:
    """The topic of events is the ledger, byte for byte, in order, each position once."""
    records = topics.read(topics.events)
    assert [record.value for record in records] == [stored.envelope() for stored in ledger]
    for record in records:
        event = orjson.loads(record.value)
        assert record.key == event.get("config_id", "ledger").encode()
        assert dict(record.headers).items() >= _headers(event).items()


def _headers(event: Json) -> dict[str, bytes]:
    subject = {"ce_subject": event["config_id"]} if "config_id" in event else {}
    named = {
        "ce_specversion": "1.0",
        "ce_id": event["event_id"],
        "ce_type": f"liveops.{event['type']}.v{event['schema_version']}",
        "ce_source": "/liveops/ledger",
        **subject,
        "ce_time": event["recorded_at"],
        "ce_sequence": f"{event['position']:020}",
        "ce_correlationid": event["correlation_id"],
        "ce_causationid": event["causation_id"],
        "content-type": "application/json",
    }
    return {name: text.encode() for name, text in named.items()}


def assert_mirrored(topics: Published, ledger: Sequence[Stored]) -> None:
    """The compacted topic, put together, is the fold of the ledger."""
    live, held = replay_live(decoded(ledger)), start_from(topics.held())
    assert held is not None
    assert (held.position, held.recorded_at) == (live.position, live.recorded_at)
    assert things(held) == things(live)


def assert_viewed(superuser_url: str, ledger: Sequence[Stored]) -> None:
    """The views count what the ledger counts, and are the same when they are built anew."""
    state = replay(decoded(ledger))
    with psycopg.connect(superuser_url) as connection:
        audited = connection.execute("SELECT position FROM liveops_audit ORDER BY 1").fetchall()
        configs = connection.execute("SELECT config_id, revision, position FROM liveops_configs")
        assert [position for (position,) in audited] == [stored.position for stored in ledger]
        assert set(configs) == _newest(state, ledger)
    before = _rows(superuser_url)
    for view in VIEWS:
        assert rebuild(superuser_url, view).position == len(ledger)
    assert _rows(superuser_url) == before


def _newest(state: State, ledger: Sequence[Stored]) -> set[tuple[Json, ...]]:
    last = {stored.stream: stored.position for stored in ledger}
    return {
        (config_id, config.latest.number, last[config_id])
        for config_id, config in state.configs.items()
    }


def _rows(url: str) -> dict[str, list[str]]:
    tables = [table for view in VIEWS for table in view.tables]
    query = SQL("SELECT t::text FROM {} t ORDER BY 1")
    with psycopg.connect(url) as connection:
        return {
            table: [text for (text,) in connection.execute(query.format(Identifier(table)))]
            for table in tables
        }


def stamp_of(ledger: Sequence[Stored], position: int) -> str:
    """Tell when a position was recorded, as the API writes it."""
    return format_instant(ledger[position - 1].recorded_at)
