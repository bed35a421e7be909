"""Experiments and shadows from a command over HTTP to a game's replica, by way of the topics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from consumers.replica import Replica
from ledger.clock import parse_instant
from ledger.scopes import Context
from ledger.store import LedgerStore
from tests.integration.calling import DROPS, Api, serving
from tests.integration.publishing import Publishing

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

Json = Any

SECONDS = 20.0
GLADE = "world.forest_glade"
EXPERIMENT = {
    "experiment_id": "drops",
    "variations": [{"name": "control", "weight": 1}, {"name": "generous", "weight": 2}],
    "percentage": 60,
    "group": "economy",
    "holdout": {"name": "2026", "percentage": 10},
}


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    """A ledger with an experiment that runs and a config in shadow."""
    with serving(store, database) as served:
        served.activated(scope="experiment", scope_ref="drops:generous")
        served.post(f"/configs/{served.created(DROPS)}/shadow")
        assert served.post("/experiments", EXPERIMENT).status_code == 201
        yield served


@pytest.fixture
def replica(api: Api, publishing: Publishing, bootstrap: str, prefix: str) -> Iterator[Replica]:
    """A replica that starts from the compacted topic of what there is already."""
    publishing.thread()
    with Replica(bootstrap, prefix=prefix) as started:
        assert started.wait_for(api.head(), SECONDS)
        yield started


def of_replica(replica: Replica, session: str, at: str) -> Json:
    context = Context(session, world_id=GLADE)
    return replica.resolve(context, at=parse_instant(at)).to_json()


def of_api(api: Api, session: str) -> Json:
    question = {"context": {"session_id": session, "world_id": GLADE}, "shadow": True}
    answer = api.post("/resolve", question).json()
    return {name: value for name, value in answer.items() if name != "token"}


def agree(api: Api, replica: Replica) -> set[str | None]:
    """Compare answers of both for many sessions; gives the variations that there were."""
    given = set()
    for number in range(60):
        answer = of_api(api, f"s{number}")
        told = of_replica(replica, f"s{number}", answer["at"])
        # Where nothing is in shadow, a replica says so by saying nothing.
        assert {"shadow": {"values": told["values"], "differs": {}}, **told} == answer
        given.add(answer["experiments"].get("drops"))
    return given


def test_a_replica_answers_as_the_api_does(api: Api, replica: Replica) -> None:
    assert agree(api, replica) == {None, "control", "generous"}


def test_it_follows_what_is_changed_stopped_and_ended(api: Api, replica: Replica) -> None:
    api.post("/experiments/drops/percentage", {"percentage": 5})
    api.post("/configs/" + next(iter(api.get("/status").json()["shadows"])) + "/unshadow")
    assert replica.wait_for(api.head(), SECONDS)
    agree(api, replica)
    api.post("/experiments/drops/stop")
    assert replica.wait_for(api.head(), SECONDS)
    assert agree(api, replica) == {None}


def test_what_has_gone_is_gone_for_who_starts_later(
    api: Api, publishing: Publishing, bootstrap: str, prefix: str
) -> None:
    publishing.thread()
    [config_id] = api.get("/status").json()["shadows"]
    api.post(f"/configs/{config_id}/archive")
    api.post("/experiments/drops/stop")
    with Replica(bootstrap, prefix=prefix) as late:
        assert late.wait_for(api.head(), SECONDS)
        assert agree(api, late) == {None}
