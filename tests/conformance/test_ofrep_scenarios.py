"""OpenFeature's evaluation scenarios through the registry's OFREP client, against our server.

The flags and the steps are those of the scenarios against our own provider, `test_openfeature`; the
states of a provider are the client's own here, and it has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from ledger.store import Draft, LedgerStore
from tests.conformance.ofrep_server import Server, served
from tests.conformance.openfeature_flags import chronicle_of
from tests.conformance.openfeature_steps import World, carry_out
from tests.conformance.test_openfeature import ALL, FLAGS, NOT_OURS, skipped
from tests.conftest import temporary_database
from tests.integration.calling import TOKEN
from tests.integration.evaluating import FLAGS as FLAGS_PATH
from tests.unit.feeding import Topics
from tests.unit.publishing import Chronicle

STATES = "the OFREP client has no state of its own: it is ready, whatever its server is"
OF_THE_CLIENT = {
    "Evaluation context immutability: Boolean boolean-flag": "it hands on metadata as a dict",
    "Type mismatch error: Integer boolean-flag": "True is a whole number to it",
}


@pytest.fixture(scope="module")
def server(postgres_url: str, template: str) -> Iterator[Server]:
    """A server of the scenarios' flags; each scenario only asks it."""
    with temporary_database(postgres_url, template) as database:
        with LedgerStore(database) as store:
            record(store, chronicle_of(FLAGS))
        with served(database) as running:
            yield running


@pytest.fixture
def world(server: Server) -> Iterator[World]:
    provider = OFREPProvider(
        server.url, headers_factory=lambda: {"Authorization": f"Bearer {TOKEN}"}
    )
    provider.session.trust_env = False
    api.set_evaluation_context(EvaluationContext("a session"))
    api.set_provider_and_wait(provider)
    with ExitStack() as opened:
        yield World(Topics(), Chronicle(), opened)
    api.shutdown()
    provider.session.close()


def record(store: LedgerStore, chronicle: Chronicle) -> None:
    """Append a history that was made in memory."""
    versions = Counter[object]()
    for stored in chronicle.stored:
        versions[stored.stream] += 1
        draft = Draft(stored.stream, versions[stored.stream], stored.type, stored.state)
        store.append([draft], expected={})


def why_not(name: str) -> str | None:
    """Say why a scenario is not for the client and our server; None when it is."""
    steps = ALL[name]
    if any(text.endswith(" provider") for text in steps[1:]):
        return STATES
    return NOT_OURS.get(name) or skipped(steps) or OF_THE_CLIENT.get(name)


@pytest.mark.parametrize("name", ALL)
def test_scenario(name: str, world: World) -> None:
    if why := why_not(name):
        pytest.skip(why)
    for text in ALL[name][1:]:
        carry_out(world, text)


def test_every_scenario_begins_with_the_provider() -> None:
    assert {steps[0] for steps in ALL.values()} == {"a stable provider"}


def test_no_scenario_but_those_of_states_is_skipped_by_its_steps() -> None:
    of_states = {name.partition(":")[0] for name in ALL if why_not(name) == STATES}
    assert of_states == {
        "Provider not ready error",
        "Provider in fatal state error",
        "Provider status accessibility",
    }
    assert ALL.keys() >= OF_THE_CLIENT.keys()


def test_a_slash_in_a_key_may_be_encoded_or_not(server: Server) -> None:
    for key in ("a%2Fb", "a/b"):
        path = f"{server.url}{FLAGS_PATH}/{key}"
        answer = server.client.post(path, json={"context": {"targetingKey": "s"}})
        assert (answer.status_code, answer.json()["key"]) == (404, "a/b")
