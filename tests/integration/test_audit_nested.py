"""A lever's entries are also those of the experiments and catalogs through which it was touched."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ledger.catalog import Catalog, shipped_catalog
from ledger.content import Content
from ledger.errors import Refused
from ledger.events import (
    ConfigEvent,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Recorded,
)
from ledger.experiments import Experiment
from ledger.intents import (
    ActivateConfig,
    AdoptCatalog,
    ArchiveConfig,
    ChangeExperiment,
    CreateConfig,
    Freeze,
    Intent,
    ReviseConfig,
    StartExperiment,
    StopExperiment,
    Unfreeze,
)
from ledger.scopes import Place, Scope
from projections.catalogue import install
from projections.trail import Audited, list_audit
from tests.integration.projecting import LEVERS, columns, project, record, rows
from tests.unit.history import History

Json = Any
RARE, TEMPO, MARGIN = LEVERS
REFS = ["drops", "drops:a", "pace:b"]


@pytest.fixture
def url(database: str) -> str:
    install(database)
    return database


def content(ref: str, *levers: str) -> Content:
    data = {"name": "n", "scope": "experiment", "scope_ref": ref}
    return Content.from_json({**data, "payload": dict.fromkeys(levers, 0.25)})


def experiment(experiment_id: str) -> Experiment:
    variations = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]
    return Experiment.from_json({"experiment_id": experiment_id, "variations": variations})


def entries(url: str, history: History, batch: int = 1000, **filters: Json) -> list[Audited]:
    record(url, history.events)
    project(url, batch=batch)
    with psycopg.connect(url) as connection:
        return list(list_audit(connection, oldest_first=True, limit=1000, **filters).rows)


def drafted_and_started(*, draft_first: bool) -> History:
    history = History()
    history.do(AdoptCatalog(shipped_catalog()))
    steps: list[Intent] = [
        CreateConfig(UUID(int=7), content("drops:a", RARE)),
        StartExperiment(drops()),
    ]
    for step in steps if draft_first else reversed(steps):
        history.do(step)
    return history


def drops() -> Experiment:
    return experiment("drops")


@pytest.mark.parametrize("draft_first", [True, False])
@pytest.mark.parametrize("batch", [1, 1000])
def test_an_experiment_is_found_by_a_lever_that_its_configs_set(
    url: str, draft_first: bool, batch: int
) -> None:
    history = drafted_and_started(draft_first=draft_first)
    found = entries(url, history, batch, lever=RARE)
    order = ["create", "start_experiment"] if draft_first else ["start_experiment", "create"]
    assert [entry.action for entry in found] == ["adopt_catalog", *order]
    (start,) = (entry for entry in found if entry.action == "start_experiment")
    assert start.through == [UUID(int=7)]
    assert start.levers == ([RARE] if draft_first else [])


def test_a_run_that_was_over_by_then_is_not_found(url: str) -> None:
    history = History()
    history.do(AdoptCatalog(shipped_catalog()))
    history.do(StartExperiment(drops()))
    history.do(StopExperiment("drops"))
    history.do(CreateConfig(UUID(int=7), content("drops", RARE)))
    history.do(StartExperiment(drops()))
    history.do(CreateConfig(UUID(int=8), content("drops", RARE)))
    found = entries(url, history, lever=RARE)
    assert [entry.position for entry in found] == [1, 4, 5, 6]
    assert found[2].through == [UUID(int=7), UUID(int=8)]


def test_a_config_of_a_later_run_is_not_named(url: str) -> None:
    history = History()
    history.do(AdoptCatalog(shipped_catalog()))
    history.do(CreateConfig(UUID(int=7), content("drops", RARE)))
    history.do(StartExperiment(drops()))
    history.do(StopExperiment("drops"))
    history.do(CreateConfig(UUID(int=8), content("drops", RARE)))
    found = entries(url, history, lever=RARE, scope="experiment")
    assert {entry.position: entry.through for entry in found if entry.config_id is None} == {
        3: [UUID(int=7)],
        4: [UUID(int=7)],
    }


def test_an_entry_tells_through_which_configs_only_where_a_lever_is_asked_for(url: str) -> None:
    history = drafted_and_started(draft_first=True)
    assert {entry.through is None for entry in entries(url, history)} == {True}


def test_a_catalog_is_found_by_the_levers_of_a_rule_that_it_drops(url: str) -> None:
    history, shipped = History(), shipped_catalog().to_json()
    history.do(AdoptCatalog(shipped_catalog()))
    history.do(AdoptCatalog(Catalog.from_json({**shipped, "rules": []})))
    assert [entry.position for entry in entries(url, history, lever=MARGIN)] == [1, 2]


# --- A recount, however the history goes and however it is cut into batches ---


def random_experiments(seed: int) -> History:
    chance, history = random.Random(seed), History()
    history.do(AdoptCatalog(shipped_catalog()))
    for _ in range(120):
        number, name = chance.randrange(6), chance.choice(["drops", "pace"])
        config, ref = UUID(int=number + 1), REFS[number % 3]
        levers = chance.sample(LEVERS, chance.randrange(1, 3))
        frozen = Place(Scope.EXPERIMENT, name)
        choices: list[Intent] = [
            CreateConfig(config, content(ref, *levers)),
            ReviseConfig(config, content(ref, *levers)),
            ActivateConfig(config),
            *([ArchiveConfig(config)] if chance.random() < 0.2 else []),
            StartExperiment(experiment(name)),
            ChangeExperiment(name, chance.choice([500, 40_000])),
            StopExperiment(name),
            Freeze(frozen),
            Unfreeze(frozen),
        ]
        with suppress(Refused):
            history.do(chance.choice(choices))
    return history


Experimenting = ExperimentStarted | ExperimentChanged | ExperimentStopped


def named(event: Experimenting) -> str:
    if isinstance(event, ExperimentStopped):
        return event.experiment_id
    return event.experiment.experiment_id


def recounted(rows_of: dict[int, Json], events: list[Recorded]) -> Iterator[tuple[str, int]]:
    """List by which levers which entries of experiments are to be found: go through all pairs."""
    for one in events:
        if not isinstance(one.event, Experimenting):
            continue
        for other in events:
            row = rows_of[other.position]
            if not isinstance(other.event, ConfigEvent) or row["scope"] != "experiment":
                continue
            same = row["scope_ref"].split(":")[0] == named(one.event)
            over = any(
                isinstance(stop.event, ExperimentStopped)
                and stop.event.experiment_id == named(one.event)
                for stop in events[one.position - 1 : other.position]
            )
            if same and (other.position < one.position or not over):
                yield from ((lever, one.position) for lever in row["levers"])


@pytest.mark.parametrize("seed", range(4))
def test_every_lever_finds_the_experiments_that_concern_it(url: str, seed: int) -> None:
    history = random_experiments(seed)
    record(url, history.events)
    project(url, batch=[1, 7, 13, 1000][seed])
    rows_of = {row["position"]: row for row in columns(url, "liveops_audit")}
    own = {(lever, at) for at, row in rows_of.items() for lever in row["levers"]}
    touched = set(recounted(rows_of, history.events))
    with psycopg.connect(url) as connection:
        filed = set(connection.execute("SELECT lever, position FROM liveops_audit_levers"))
    assert filed == own | touched
    assert touched


def test_batches_of_any_size_lead_to_the_same_rows(new_url: Iterator[str], url: str) -> None:
    history = random_experiments(9)
    tables = "liveops_audit", "liveops_audit_levers", "liveops_audit_experiments"
    found = []
    for database, batch in ((url, 1), (next(new_url), 1000)):
        record(database, history.events)
        project(database, batch=batch)
        found.append([rows(database, table) for table in tables])
    assert found[0] == found[1]


@pytest.fixture
def new_url(postgres_url: str, template: str) -> Iterator[Iterator[str]]:
    from tests.conftest import temporary_database

    with temporary_database(postgres_url, template) as database:
        install(database)
        yield iter([database])
