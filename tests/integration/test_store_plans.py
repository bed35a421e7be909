"""Questions are answered from an index, however long the log is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import ClientCursor

from ledger import sql
from ledger.clock import to_datetime
from ledger.store import LedgerStore
from tests.conftest import temporary_database
from tests.integration.drafting import draft, request

STREAM = UUID(int=7)
EVENTS = 20_000

PARAMETERS: dict[str, dict[str, Any]] = {
    "head": {},
    "head_at": {"at": to_datetime(1_700_000_000_000_000)},
    "events_after": {"after": 5000, "upto": None, "limit": 100},
    "states_after": {"after": 5000, "upto": None, "limit": 100},
    "events_of_stream": {"stream": STREAM, "upto": 9},
    "events_of_request": {"actor": uuid4(), "key": "k"},
    "digest_of_request": {"actor": uuid4(), "key": "k"},
    "stream_ascending": {"stream": STREAM, "gt": None, "lte": None, "limit": None},
    "stream_descending": {"stream": STREAM, "gt": None, "lte": None, "limit": 1},
    "notifications": {"start": 5000, "stop": None, "topics": None, "limit": 100},
}


@pytest.fixture(scope="module")
def connection(postgres_url: str, template: str) -> Iterator[psycopg.Connection]:
    with temporary_database(postgres_url, template) as url:
        with LedgerStore(url) as store:
            store.append([draft(uuid4(), 1) for _ in range(EVENTS)], expected={})
            for _ in range(50):
                store.append([draft(uuid4(), 1)], expected={}, request=request())
        with psycopg.connect(url, autocommit=True, cursor_factory=ClientCursor) as connected:
            connected.execute("VACUUM ANALYZE liveops_events")
            yield connected


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_question_reads_an_index(connection: psycopg.Connection, name: str) -> None:
    plan = connection.execute(b"EXPLAIN " + sql.queries()[name], PARAMETERS[name]).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "Index" in text
    assert "Seq Scan" not in text
    assert "Sort" not in text


def test_every_question_about_events_is_explained() -> None:
    asked = {name for name, text in sql.queries().items() if b"FROM liveops_events" in text}
    assert asked == set(PARAMETERS)


def test_an_append_reads_indexes_only(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(
            "SELECT ledger_append(ARRAY[%(s)s], '{1}', '{x}', '{x}', ARRAY[%(s)s], '{0}', %(n)s,"
            " %(s)s, 'k', 'd')",
            {"s": STREAM, "n": EVENTS + 50},
        )
        assert _scans(connection) == 0


def test_closing_an_instant_reads_indexes_only(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT ledger_close(ledger_clock())")
        assert _scans(connection) == 0


def _scans(connection: psycopg.Connection) -> int:
    (scans,) = (
        connection.execute(
            "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'liveops_events'"
        ).fetchone()
        or ()
    )
    return int(scans)
