"""Idempotency keys over HTTP: a repeated request gets the first answer and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ledger.store import LedgerStore
from tests.integration.calling import DROPS, Api, problem, serving

Json = Any

EXPERIMENT = {
    "experiment_id": "x",
    "variations": [{"name": "a", "weight": 1}],
    "percentage": 50,
    "group": "g",
}
COMMANDS = {
    "create": ("POST", "/configs", DROPS),
    "revise": ("PUT", "/configs/{config_id}", {**DROPS, "priority": 1}),
    "activate": ("POST", "/configs/{config_id}/activate", {"immediate": True}),
    "rollout": ("POST", "/configs/{config_id}/rollout", {"percentage": 5}),
    "config rollback": ("POST", "/configs/{config_id}/rollback", {"reason": "back"}),
    "deactivate": ("POST", "/configs/{config_id}/deactivate", None),
    "archive": ("POST", "/configs/{config_id}/archive", {}),
    "shadow": ("POST", "/configs/{config_id}/shadow", {"reason": "try"}),
    "start experiment": ("POST", "/experiments", EXPERIMENT),
    "change experiment": ("POST", "/experiments/runs/percentage", {"percentage": 10}),
    "stop experiment": ("POST", "/experiments/runs/stop", None),
    "freeze": ("POST", "/freeze", {"reason": "hands off"}),
    "kill": ("POST", "/levers/DIALOGUE_GATE/kill", None),
    "rollback": ("POST", "/rollback", {"position": 1}),
}


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


@pytest.fixture
def config_id(api: Api) -> str:
    """A config with two activations, the second one live, beside an experiment that runs."""
    made = api.activated()
    api.post(f"/configs/{made}/activate")
    api.post("/experiments", {**EXPERIMENT, "experiment_id": "runs", "percentage": 20})
    return made


def say(api: Api, name: str, config_id: str, key: str) -> Any:
    method, path, body = COMMANDS[name]
    revision = 1 if name == "revise" else None
    return api.call(method, path.format(config_id=config_id), body, key=key, revision=revision)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_repeated_request_gets_the_first_answer(api: Api, config_id: str, name: str) -> None:
    first = say(api, name, config_id, "k")
    assert first.is_success, first.text
    head = api.head()
    again = say(api, name, config_id, "k")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["ledger-position"] == first.headers["ledger-position"]
    assert api.head() == head


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_answer_stays_whatever_happens_then(api: Api, config_id: str, name: str) -> None:
    first = say(api, name, config_id, "k")
    api.ledger._standings.clear()  # as in another process, or much later
    for change in ("archive", "config rollback", "stop experiment", "freeze"):
        say(api, change, config_id, change)
    again = say(api, name, config_id, "k")
    assert (again.content, again.headers) == (first.content, first.headers)


def test_a_key_belongs_to_one_request(api: Api, config_id: str) -> None:
    say(api, "freeze", config_id, "k")
    problem(say(api, "kill", config_id, "k"), 422, "idempotency-key-reused")
    told = api.post("/freeze", {"reason": "another"}, key="k")
    problem(told, 422, "idempotency-key-reused")


def test_a_refused_request_is_tried_again(api: Api, config_id: str) -> None:
    api.post("/freeze")
    problem(say(api, "activate", config_id, "k"), 423, "frozen")
    api.post("/unfreeze")
    assert say(api, "activate", config_id, "k").is_success


def test_a_request_that_is_repeated_while_it_runs_is_carried_out_once(
    api: Api, config_id: str
) -> None:
    head = api.head()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: say(api, "freeze", config_id, "k"), range(8)))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answers[0].is_success
    assert api.head() == head + 1


@pytest.mark.parametrize("key", ["k", '"k', '""', '"a\\b"', '"é"', '"a", "b"', "x" * 300])
def test_a_key_is_a_quoted_string(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key.encode()}
    told = problem(api.post("/freeze", headers=headers), 400, "malformed")
    assert [error["pointer"] for error in told["errors"]] == ["/Idempotency-Key"]
