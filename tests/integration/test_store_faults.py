"""What the store does when the database goes away, at any moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import psycopg
import pytest

from ledger import recorder, sql
from ledger.errors import LedgerError, LedgerUnavailable
from ledger.store import LedgerStore
from tests.integration.cutting import cut_after
from tests.integration.drafting import append, draft, request

NOWHERE = "postgresql://liveops@127.0.0.1:1/none"

QUESTIONS: list[Callable[[LedgerStore], object]] = [
    append,
    lambda store: store.read(after=0, limit=1),
    lambda store: list(store.stream()),
    lambda store: store.find(request()),
    lambda store: store.head(),
    lambda store: store.position_at(1),
    lambda store: store.close_instant(1),
    lambda store: store.wait(0, timeout=0),
]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_an_absent_database_is_unavailable(
    ask: Callable[[LedgerStore], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_CONNECT_TIMEOUT", 0.1)
    with LedgerStore(NOWHERE) as store, pytest.raises(LedgerUnavailable):
        ask(store)


def test_a_closed_store_is_unavailable(database: str) -> None:
    with LedgerStore(database) as store:
        append(store)
    with pytest.raises(LedgerUnavailable):
        store.head()


def test_a_store_that_is_never_used_never_connects() -> None:
    with LedgerStore(NOWHERE):
        pass


def test_connections_that_died_are_replaced(database: str, store: LedgerStore) -> None:
    everyone = Barrier(8)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: everyone.wait() + store.wait(0, timeout=0.2), range(8)))
    _end_other_sessions(database)
    append(store)
    assert store.head().position == 1


def test_an_append_whose_answer_is_lost_is_not_repeated_by_itself(
    database: str, store: LedgerStore
) -> None:
    with cut_after(database, b"ConfigRevised") as (cut, proxy), LedgerStore(cut) as far:
        with pytest.raises(LedgerUnavailable):
            append(far)
        assert proxy.cuts == 1
    assert store.head().position == 1


def test_a_request_whose_answer_was_lost_is_found_when_repeated(
    database: str, store: LedgerStore
) -> None:
    asked, new = request(), draft(uuid4(), 1)
    with (
        cut_after(database, b"ConfigRevised") as (cut, _),
        LedgerStore(cut) as far,
        pytest.raises(LedgerUnavailable),
    ):
        far.append([new], expected={new.stream: 0}, request=asked)
    again = store.append([new], expected={new.stream: 0}, request=asked)
    assert again.repeated
    assert again.events == tuple(store.read(after=0, limit=10))


def test_a_stuck_writer_does_not_hold_up_the_others_for_ever(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = dict(sql.queries())
    queries["session"] = queries["session"].replace(b"'10s'", b"'50ms'")
    monkeypatch.setattr(sql, "queries", lambda: queries)
    with LedgerStore(database) as store, psycopg.connect(database) as stuck:
        stuck.execute("SELECT ledger_lock()")
        with pytest.raises(LedgerUnavailable):
            append(store)


def test_a_database_without_the_schema_is_an_error_of_ours(
    new_database: Callable[[], str],
) -> None:
    with LedgerStore(new_database(), role=None) as store, pytest.raises(LedgerError, match="exist"):
        store.head()


def test_settings_of_the_server_do_not_weaken_an_append(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
            "timezone = 'Asia/Kathmandu'",
        ):
            connection.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    with LedgerStore(database) as store:
        assert store.read(after=0, limit=1) == []
        assert list(append(store)) == store.read(after=0, limit=1)


def _end_other_sessions(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
