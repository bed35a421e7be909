"""How fast the views catch up: `python -m benchmarks.catch_up URL [EVENTS]`.

URL names a superuser of a server on which a database may be made and dropped again. A quarter
of the events are revisions, the others activations and deactivations, of configs of four levers.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from uuid import UUID

import psycopg

from ledger.clock import format_instant
from ledger.content import Content, Pinned
from ledger.events import (
    Cause,
    ConfigActivated,
    ConfigCreated,
    ConfigDeactivated,
    ConfigRevised,
    Event,
    encode,
)
from ledger.schedule import Window
from ledger.scopes import Place, Scope
from ledger.store import migrate
from projections import runner
from projections.audit import AuditView
from projections.catalogue import VIEWS, install
from projections.configs import ConfigsView
from projections.rebuild import rebuild
from projections.views import Progress
from tests.conftest import temporary_database

CONFIGS = 5000
START = 1_767_225_600_000_000
CAUSE = Cause(UUID(int=1), "a reason of some length, as people write", UUID(int=2), UUID(int=3))


def main() -> None:
    """Fill a ledger and measure the runner and both rebuilds."""
    url, events = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    with temporary_database(url) as database:
        migrate(database)
        install(database)
        fill(database, events)
        report("runner, both views", events, follow(database, events))
        for view in (ConfigsView(), AuditView()):
            begin = time.perf_counter()
            rebuild(database, view)
            report(f"rebuild {view.name}", events, time.perf_counter() - begin)


def report(what: str, events: int, seconds: float) -> None:
    """Print one line of the table."""
    print(f"{what:30} {events:>9,} events {seconds:7.2f} s {events / seconds:>9,.0f} events/s")


def follow(url: str, events: int) -> float:
    """Run the runner until all views have reached the head; returns seconds."""
    stop, there = threading.Event(), set()

    def reached(progress: Progress) -> None:
        if progress.position == events:
            there.add(progress.view)
        if len(there) == len(VIEWS):
            stop.set()

    begin = time.perf_counter()
    runner.run(url, VIEWS, stop, reached)
    return time.perf_counter() - begin


def fill(url: str, count: int) -> None:
    """Write events straight into the table: the door is measured elsewhere."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE liveops_events DISABLE TRIGGER one_door")
        with cursor.copy(
            "COPY liveops_events (position, recorded_at, originator_id, originator_version, topic,"
            " state) FROM STDIN"
        ) as copy:
            versions: dict[UUID, int] = {}
            for position, event in enumerate(history(count), 1):
                version = versions[event.stream] = versions.get(event.stream, 0) + 1
                state = encode(event, UUID(int=position), CAUSE)
                stamp = format_instant(START + position * 1000)
                kind = type(event).__name__
                copy.write_row((position, stamp, event.stream, version, kind, state))
        cursor.execute("ALTER TABLE liveops_events ENABLE ALWAYS TRIGGER one_door")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE liveops_events")


def history(count: int) -> Iterator[Event]:
    """Make up a history of many configs, each created once and then changed over and over."""
    chance = random.Random(7)
    revisions: dict[UUID, int] = {}
    active: set[UUID] = set()
    for n in range(count):
        config = UUID(int=10_000 + (n if n < CONFIGS else chance.randrange(min(CONFIGS, count))))
        place = Place(Scope.WORLD, f"world.{config.int % 500}")
        payload = {
            "DROP_RATE_RARE_MULTIPLIER": chance.random(),
            "DIALOGUE_GATE": "readonly",
            "AWF_MAX_INPUT_TOKENS": 4000 + n % 100,
            "REGION_DRIFT_STEP_CAP": n % 10,
        }
        content = Content(f"config {config.int}", place, payload, labels={"team": "economy"})
        if config not in revisions:
            revisions[config] = 1
            yield ConfigCreated(config, 1, content)
        elif n % 4 == 0:
            revisions[config] += 1
            yield ConfigRevised(config, revisions[config], content)
        elif config in active:
            active.remove(config)
            yield ConfigDeactivated(config)
        else:
            active.add(config)
            yield ConfigActivated(config, Pinned.of(revisions[config], content, Window()))


if __name__ == "__main__":
    main()
