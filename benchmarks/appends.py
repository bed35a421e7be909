"""Commands per second through decide and `ledger_append`, beside a bare INSERT without any lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
from psycopg_pool import ConnectionPool

from benchmarks.bench import Row
from commands.identity import uuid7
from commands.ledger import Ledger, Order
from ledger.content import Content
from ledger.intents import CreateConfig
from ledger.scopes import Place, Scope
from ledger.store import LedgerStore

SECONDS = 3.0
ACTOR = UUID(int=1)


def rows(database: str) -> Iterator[Row]:
    """Measure with 1, 4 and 16 threads; `database` is a superuser's URL of a migrated ledger."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (id uuid PRIMARY KEY, state bytea NOT NULL)")
    with (
        ConnectionPool(database, min_size=16, max_size=16) as pool,
        LedgerStore(database, pool_size=16) as store,
    ):
        ledger = Ledger(store)
        for threads in (1, 4, 16):
            ours = _rate(threads, lambda: _create(ledger))
            limit = _rate(threads, lambda: _insert(pool))
            what = f"commands, {threads} thread{'s' if threads > 1 else ''}"
            yield Row(what, ours, limit, "bare INSERT, no lock", "/s")


def _create(ledger: Ledger) -> None:
    payload = {"AWF_MAX_INPUT_TOKENS": 5000}
    content = Content("a config", Place(Scope.WORLD, "world.forest_glade"), payload)
    ledger.execute(Order(ACTOR, "measured"), lambda _: CreateConfig(uuid7(), content))


def _insert(pool: ConnectionPool) -> None:
    with pool.connection() as connection:
        connection.execute("INSERT INTO bare VALUES (%s, %s)", (uuid4(), b"x" * 700))


def _rate(threads: int, work: Callable[[], None]) -> float:
    end = time.perf_counter() + SECONDS

    def until_the_end() -> int:
        done = 0
        while time.perf_counter() < end:
            work()
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = [pool.submit(until_the_end) for _ in range(threads)]
        return sum(one.result() for one in done) / SECONDS
