"""Ledgers to project, ways to project them, and a naive recount of what must come out."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from ledger.catalog import Catalog, shipped_catalog
from ledger.clock import format_instant, from_datetime
from ledger.content import Content
from ledger.errors import Refused
from ledger.events import Recorded, encode
from ledger.experiments import Experiment
from ledger.intents import (
    ActivateConfig,
    AdoptCatalog,
    ArchiveConfig,
    ChangeExperiment,
    ChangeRollout,
    CreateConfig,
    DeactivateConfig,
    Freeze,
    Intent,
    KillLever,
    RestoreLever,
    ReviseConfig,
    RollBack,
    RollBackConfig,
    StartExperiment,
    StartShadow,
    StopExperiment,
    StopShadow,
    Unfreeze,
)
from ledger.rollout import Rollout
from ledger.scopes import EVERYWHERE, Place, Scope
from ledger.state import replay_live
from projections import runner
from projections.catalogue import VIEWS
from projections.views import Feed, Progress, View, close, connect, head, stand, standings
from tests.integration.patience import eventually
from tests.unit.history import START, History

Json = Any

CONFIGS = [UUID(int=n) for n in range(1, 9)]
EXPERIMENTS = ["drops", 'p"ce', "é"]
PLACES = [EVERYWHERE, Place(Scope.WORLD, "w1"), Place(Scope.WORLD, "w2"), Place(Scope.SESSION, "s")]
LEVERS = ["DROP_RATE_RARE_MULTIPLIER", "QUEST_PACING_TEMPO_MULTIPLIER", "VENDOR_MARGIN_MIN"]
SECOND = 1_000_000


# --- Ledgers ---


def random_history(seed: int, steps: int = 300) -> History:
    """Make a history of random commands, some of which are refused."""
    chance, history = random.Random(seed), History()
    history.do(AdoptCatalog(shipped_catalog()))
    for _ in range(steps):
        with suppress(Refused):
            history.do(
                _intent(chance, history), reason=chance.choice(["", "because", "é\x00\\u0000"])
            )
    return history


def _intent(chance: random.Random, history: History) -> Intent:
    config = chance.choice(CONFIGS)
    place, lever = chance.choice(PLACES), chance.choice(LEVERS)
    experiment_id = chance.choice(EXPERIMENTS)
    rollout = Rollout.from_json({"percentage": chance.choice([0, 12.5, 100])})
    target = replay_live(history.events[: chance.randrange(len(history.events) + 1)])
    builds: dict[Callable[[], Intent], int] = {
        lambda: CreateConfig(config, _content(chance, config)): 6,
        lambda: ReviseConfig(config, _content(chance, config)): 6,
        lambda: ActivateConfig(config): 8,
        lambda: DeactivateConfig(config): 3,
        lambda: ArchiveConfig(config): 1,
        lambda: RollBackConfig(config): 4,
        lambda: ChangeRollout(config, rollout): 4,
        lambda: RollBack(target, chance.choice([None, place]), break_glass=True): 2,
        lambda: StartShadow(config, chance.choice([None, 1])): 4,
        lambda: StopShadow(config): 2,
        lambda: StartExperiment(_experiment(chance, experiment_id)): 3,
        lambda: ChangeExperiment(experiment_id, chance.choice([0, 500, 40_000])): 3,
        lambda: StopExperiment(experiment_id): 1,
        lambda: Freeze(place): 2,
        lambda: Unfreeze(place): 8,
        lambda: KillLever(lever, break_glass=chance.random() < 0.5): 1,
        lambda: RestoreLever(lever): 2,
        lambda: AdoptCatalog(chance.choice(_catalogs())): 1,
    }
    return chance.choices(list(builds), list(builds.values()))[0]()


def _experiment(chance: random.Random, experiment_id: str) -> Experiment:
    return Experiment.from_json(
        {
            "experiment_id": experiment_id,
            "variations": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}],
            "percentage": chance.choice([10, 30.5]),
            "group": chance.choice([None, "g"]),
            "description": chance.choice(["", '"experiment_id":"drops"']),
        }
    )


@cache
def _catalogs() -> list[Catalog]:
    """The shipped catalog, and one with a lever more and another one's bounds moved."""
    other = shipped_catalog().to_json()
    other["levers"][0] |= {"max": 20_000}
    other["levers"].append({**other["levers"][-1], "name": "ANOTHER_GATE"})
    return [shipped_catalog(), Catalog.from_json(other)]


def _content(chance: random.Random, config: UUID) -> Content:
    place = PLACES[config.int % len(PLACES)]
    begin = START + chance.randrange(200) * SECOND
    return Content.from_json(
        {
            "name": f"config {chance.randrange(100)}%_",
            "scope": place.scope.value,
            "scope_ref": place.ref,
            "payload": {lever: chance.choice([0.25, 0.4]) for lever in chance.sample(LEVERS, 2)},
            "valid_from": chance.choice([None, format_instant(begin)]),
            "valid_to": chance.choice(
                [None, format_instant(begin + chance.randrange(1, 90) * SECOND)]
            ),
            "targeting": chance.choice([None, {"include": 'world_id == "w1"'}]),
            "priority": chance.randrange(3),
            "labels": chance.choice([{}, {"team": "economy"}]),
        }
    )


def record(url: str, events: Sequence[Recorded]) -> None:
    """Write events with the stamps that they have, past the ledger's door."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE liveops_events DISABLE TRIGGER one_door")
        cursor.execute(
            "SELECT originator_id, max(originator_version) FROM liveops_events GROUP BY 1"
        )
        versions: dict[UUID, int] = dict(cursor.fetchall())
        with cursor.copy(
            "COPY liveops_events (position, recorded_at, originator_id, originator_version, topic,"
            " state) FROM STDIN"
        ) as copy:
            for recorded in events:
                stream = recorded.event.stream
                versions[stream] = versions.get(stream, 0) + 1
                copy.write_row(
                    (*_stored(recorded)[:2], stream, versions[stream], *_stored(recorded)[2:])
                )
        cursor.execute("ALTER TABLE liveops_events ENABLE ALWAYS TRIGGER one_door")
        cursor.execute("SELECT pg_notify('liveops_events', '')")


def _stored(recorded: Recorded) -> tuple[int, str, str, bytes]:
    state = encode(recorded.event, recorded.event_id, recorded.cause)
    stamp = format_instant(recorded.recorded_at)
    return recorded.position, stamp, type(recorded.event).__name__, state


def many_configs(count: int) -> History:
    """Make a ledger of activated configs, spread over places and levers."""
    history = History()
    for n in range(1, count + 1):
        place = Place(Scope.WORLD, f"w{n % 500}")
        content = {"payload": {LEVERS[n % 3]: 0.25}}
        history.config(n, place.scope.value, place.ref, **content)
    return history


# --- Projecting ---


def project(url: str, views: Sequence[View] = VIEWS, batch: int = 1000) -> None:
    """Bring views to the head in batches of a size, without a runner."""
    connection = connect(url)
    for view in views:
        feed = Feed(batch)
        while events := feed.after(connection, standings(connection)[view.name].position):
            with connection.transaction(), connection.cursor() as cursor:
                view.apply(cursor, events)
                stand(connection, view, events[-1])
    close(connection)


@contextmanager
def running(
    url: str,
    views: Sequence[View] = VIEWS,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[threading.Event]:
    """Run a runner in a thread; yields what stops it, and sets it at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=runner.run, args=(url, views, stop, on_progress))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def up_to_date(url: str, views: Sequence[View] = VIEWS) -> bool:
    """Tell whether every view stands at the head."""
    with psycopg.connect(url) as connection:
        standing, newest = standings(connection), head(connection)
    return all(standing[view.name].position == newest for view in views)


def wait_until_up_to_date(url: str, views: Sequence[View] = VIEWS) -> None:
    eventually(lambda: up_to_date(url, views))


def rows(url: str, table: str) -> list[str]:
    """Read a table whole, each row as Postgres writes it, in a fixed order."""
    query = SQL("SELECT t::text FROM {} t ORDER BY 1").format(Identifier(table))
    with psycopg.connect(url) as connection:
        return [text for (text,) in connection.execute(query)]


def all_rows(url: str) -> dict[str, list[str]]:
    """Read the tables of all views."""
    return {table: rows(url, table) for view in VIEWS for table in view.tables}


def columns(url: str, table: str) -> list[dict[str, Json]]:
    """Read a table by position, instants as the program has them."""
    query = SQL("SELECT * FROM {} ORDER BY position").format(Identifier(table))
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return [
            {name: from_datetime(v) if hasattr(v, "tzinfo") else v for name, v in row.items()}
            for row in connection.execute(query)
        ]


def terminate(url: str, application: str = "liveops projector") -> int:
    """Cut the connections of an application to this database; returns how many there were."""
    with psycopg.connect(url, autocommit=True) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            (application,),
        )
        return len(cut.fetchall())
