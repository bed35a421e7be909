"""recorded_at always grows, instants close, and a transaction that waits is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Any

import psycopg
import pytest

from ledger.clock import Instant, parse_instant
from ledger.errors import ClockBehind, FutureInstant
from ledger.store import LedgerStore
from tests.integration.drafting import append
from tests.integration.racing import Sabotage

NOON = parse_instant("2026-06-01T12:00:00Z")
MINUTE = 60_000_000

_APPEND = "SELECT ledger_append(ARRAY[gen_random_uuid()], '{1}', '{x}', '{x}')"


@pytest.fixture
def writer(database: str) -> Iterator[psycopg.Connection]:
    """A transaction of another writer, which commits when the test says so."""
    with psycopg.connect(database) as connection:
        yield connection


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def set_clock(url: str, at: Instant) -> None:
    """Make the ledger's clock stand still at an instant."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION ledger_clock() RETURNS timestamptz LANGUAGE sql"
            f" RETURN 'epoch'::timestamptz + {at} * interval '1 microsecond'".encode()
        )


def test_stamps_are_the_clocks(database: str, store: LedgerStore) -> None:
    set_clock(database, NOON)
    assert append(store)[0].recorded_at == NOON


def test_a_clock_that_stands_still_still_gives_growing_stamps(
    database: str, store: LedgerStore
) -> None:
    set_clock(database, NOON)
    stamps = [append(store)[0].recorded_at for _ in range(3)]
    assert stamps == [NOON, NOON + 1, NOON + 2]


def test_a_clock_that_steps_back_still_gives_growing_stamps(
    database: str, store: LedgerStore
) -> None:
    set_clock(database, NOON)
    append(store, count=2)
    set_clock(database, NOON - 4 * MINUTE)
    assert append(store)[0].recorded_at == NOON + 2


def test_minutes_of_made_up_time_are_refused(database: str, store: LedgerStore) -> None:
    set_clock(database, NOON)
    append(store)
    set_clock(database, NOON - 5 * MINUTE)
    append(store)
    set_clock(database, NOON - 5 * MINUTE)
    with pytest.raises(ClockBehind):
        append(store)
    assert store.head().position == 2


def test_a_closed_instant_is_never_recorded_at_again(database: str, store: LedgerStore) -> None:
    set_clock(database, NOON)
    assert store.close_instant(NOON).position == 0
    set_clock(database, NOON - MINUTE)
    assert append(store)[0].recorded_at == NOON + 1


def test_closing_an_earlier_instant_opens_nothing_again(database: str, store: LedgerStore) -> None:
    set_clock(database, NOON)
    store.close_instant(NOON)
    store.close_instant(NOON - MINUTE)
    assert append(store)[0].recorded_at == NOON + 1


def test_now_can_be_closed_and_later_cannot(database: str, store: LedgerStore) -> None:
    set_clock(database, NOON)
    store.close_instant(NOON)
    with pytest.raises(FutureInstant):
        store.close_instant(NOON + 1)


def test_closing_waits_for_a_writer_who_holds_an_earlier_stamp(
    database: str, store: LedgerStore, writer: psycopg.Connection, threads: ThreadPoolExecutor
) -> None:
    set_clock(database, NOON)
    writer.execute(_APPEND)
    set_clock(database, NOON + MINUTE)
    closing = threads.submit(store.close_instant, NOON + 1)
    wait_until_blocked(database, closing)
    writer.commit()
    assert closing.result().position == 1


def test_closing_the_past_waits_for_nobody(store: LedgerStore, writer: psycopg.Connection) -> None:
    (event,) = append(store)
    writer.execute(_APPEND)
    assert store.close_instant(event.recorded_at).position == 1


def test_a_second_writer_waits_for_the_first(
    database: str, store: LedgerStore, writer: psycopg.Connection, threads: ThreadPoolExecutor
) -> None:
    writer.execute(_APPEND)
    second = threads.submit(append, store)
    wait_until_blocked(database, second)
    assert store.head().position == 0
    writer.commit()
    assert second.result()[0].position == 2


def test_a_writer_who_gives_up_leaves_no_gap(
    database: str, store: LedgerStore, writer: psycopg.Connection, threads: ThreadPoolExecutor
) -> None:
    writer.execute(_APPEND)
    second = threads.submit(append, store)
    wait_until_blocked(database, second)
    writer.rollback()
    assert second.result()[0].position == 1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_with_one_snapshot_may_not_write(
    writer: psycopg.Connection, level: str
) -> None:
    writer.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    with pytest.raises(psycopg.Error, match="READ COMMITTED only") as refused:
        writer.execute(_APPEND)
    assert refused.value.sqlstate == "25L01"


def test_waiting_ends_when_something_is_appended(
    database: str, store: LedgerStore, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(store.wait, 0, timeout=60)
    wait_until_listening(database, waiting)
    append(store)
    assert waiting.result(timeout=10) is True


def test_waiting_does_not_depend_on_notifications(
    database: str, store: LedgerStore, threads: ThreadPoolExecutor
) -> None:
    silence = ("ledger_append", "PERFORM pg_notify(", "PERFORM concat(")
    Sabotage("no notifications", replacements=[silence]).install(database)
    waiting = threads.submit(store.wait, 0, timeout=60)
    wait_until_listening(database, waiting)
    append(store)
    assert waiting.result(timeout=10) is True


def test_closing_the_store_ends_waiting(database: str, threads: ThreadPoolExecutor) -> None:
    with LedgerStore(database) as store:
        waiting = threads.submit(store.wait, 0, timeout=60)
        wait_until_listening(database, waiting)
    assert waiting.result(timeout=10) is False


def wait_until_blocked(url: str, task: Future[Any]) -> None:
    """Wait until some session waits for the ledger's lock."""
    _wait_until(url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    assert not task.done()


def wait_until_listening(url: str, task: Future[bool]) -> None:
    """Wait until some session has looked at the head while listening, and found nothing."""
    _wait_until(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state = 'idle' AND query LIKE '%ORDER BY position DESC%'",
    )
    assert not task.done()


def _wait_until(url: str, query: str) -> None:
    deadline = monotonic() + 10
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(query.encode()).fetchone() == (0,):
            assert monotonic() < deadline, query
