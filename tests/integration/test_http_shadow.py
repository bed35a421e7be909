"""Shadows over HTTP: what would be, beside what is, which nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.store import LedgerStore
from tests.integration.calling import DROPS, Api, problem, serving

Json = Any

LEGENDARY = "DROP_RATE_LEGENDARY_MULTIPLIER"
GLADE = {"session_id": "s", "world_id": "world.forest_glade"}


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def ask(api: Api, **question: Json) -> Json:
    answer = api.post("/resolve", {"context": GLADE, "shadow": True, **question})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_shadow_is_answered_beside_what_is_in_force(api: Api) -> None:
    config_id = api.created()
    shadowed = api.post(f"/configs/{config_id}/shadow", {"reason": "try"})
    assert shadowed.json()["status"] == "draft"
    answer = ask(api)
    assert answer["values"][LEGENDARY] == 1.0
    assert answer["shadow"]["values"] == {**answer["values"], LEGENDARY: 1.5}
    assert answer["shadow"]["differs"] == {LEGENDARY: {"live": 1.0, "shadow": 1.5}}


def test_who_does_not_ask_is_not_told(api: Api) -> None:
    api.post(f"/configs/{api.created()}/shadow")
    assert "shadow" not in api.post("/resolve", {"context": GLADE}).json()
    assert "shadow" not in api.get("/resolve/preview", **GLADE).json()


def test_a_shadow_stands_in_place_of_its_configs_own_activation(api: Api) -> None:
    config_id = api.activated()
    changed = {**DROPS, "payload": {"ECONOMIC_ACTIVITY_MULTIPLIER": 0.5}}
    api.call("PUT", f"/configs/{config_id}", changed, revision=1)
    assert api.post(f"/configs/{config_id}/shadow").json()["revision"] == 2
    differs = ask(api)["shadow"]["differs"]
    assert differs[LEGENDARY] == {"live": 1.5, "shadow": 1.0}
    assert differs["ECONOMIC_ACTIVITY_MULTIPLIER"]["shadow"] == 0.5


def test_an_explained_shadow_says_which_config_would_supply_a_value(api: Api) -> None:
    config_id = api.created()
    position = api.post(f"/configs/{config_id}/shadow").json()["position"]
    answer = ask(api, explain=True)
    assert answer["explanation"][LEGENDARY]["config_id"] is None
    supplied = answer["shadow"]["explanation"][LEGENDARY]
    assert (supplied["config_id"], supplied["position"]) == (config_id, position)


def test_a_config_tells_since_when_it_is_in_shadow(api: Api) -> None:
    config_id = api.activated()
    assert api.get(f"/configs/{config_id}").json()["shadow"] is None
    began = api.post(f"/configs/{config_id}/shadow", {"reason": "try"}).json()
    shadow = api.get(f"/configs/{config_id}").json()["shadow"]
    assert (shadow["revision"], shadow["origin"]["reason"]) == (1, "try")
    assert shadow["origin"]["recorded_at"] == began["recorded_at"]
    assert list(api.get("/status").json()["shadows"]) == [config_id]


def test_a_config_is_found_by_what_it_has_in_shadow(api: Api) -> None:
    config_id = api.created()
    api.post(f"/configs/{config_id}/shadow")
    api.call("PUT", f"/configs/{config_id}", {**DROPS, "payload": {}}, revision=1)
    other = api.created(payload={})
    for wanted in ({"lever": LEGENDARY}, {"shadow": "true"}):
        found = api.get("/configs", **wanted).json()["configs"]
        assert [config["config_id"] for config in found] == [config_id]
    [found] = api.get("/configs", shadow="false").json()["configs"]
    assert found["config_id"] == other


def test_a_shadow_ends(api: Api) -> None:
    config_id = api.created()
    api.post(f"/configs/{config_id}/shadow")
    assert api.post(f"/configs/{config_id}/unshadow", {"reason": "seen"}).json()["revision"] == 1
    assert ask(api)["shadow"]["differs"] == {}
    problem(api.post(f"/configs/{config_id}/unshadow"), 409, "conflict")


def test_an_archive_ends_a_shadow_and_refuses_another(api: Api) -> None:
    config_id = api.created()
    api.post(f"/configs/{config_id}/shadow")
    api.post(f"/configs/{config_id}/archive")
    assert api.get(f"/configs/{config_id}").json()["shadow"] is None
    problem(api.post(f"/configs/{config_id}/shadow"), 409, "conflict")


def test_another_revision_takes_the_place_of_the_one_in_shadow(api: Api) -> None:
    config_id = api.created()
    api.call("PUT", f"/configs/{config_id}", {**DROPS, "payload": {LEGENDARY: 2.0}}, revision=1)
    for revision, value in ((1, 1.5), (2, 2.0)):
        assert api.post(f"/configs/{config_id}/shadow", {"revision": revision}).is_success
        assert ask(api)["shadow"]["values"][LEGENDARY] == value
    problem(api.post(f"/configs/{config_id}/shadow"), 409, "conflict")
    problem(api.post(f"/configs/{config_id}/shadow", {"revision": 3}), 404, "not-found")


def test_neither_a_freeze_nor_a_bound_refuses_a_shadow(api: Api) -> None:
    config_id = api.created(payload={"AWF_MAX_INPUT_TOKENS": 13_000})
    api.post("/freeze")
    begun = api.post(f"/configs/{config_id}/shadow")
    assert [violation["severity"] for violation in begun.json()["violations"]] == ["critical"]
    assert ask(api)["shadow"]["values"]["AWF_MAX_INPUT_TOKENS"] == 13_000


@pytest.mark.parametrize("verb", ["shadow", "unshadow"])
def test_both_take_an_if_match(api: Api, verb: str) -> None:
    problem(api.post(f"/configs/{api.created()}/{verb}", revision=7), 412, "moved")


def test_a_token_repeats_shadow_and_experiments_byte_for_byte(api: Api) -> None:
    config_id = api.created()
    api.post(f"/configs/{config_id}/shadow")
    arms = {"variations": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]}
    api.post("/experiments", {"experiment_id": "x", **arms})
    question = {"context": {**GLADE, "experiments": {"y": "b"}}, "shadow": True, "explain": True}
    first = api.post("/resolve", question)
    assert list(first.json()["experiments"]) == ["x", "y"]
    api.post(f"/configs/{config_id}/unshadow")
    api.post("/experiments/x/stop")
    token = first.json()["token"]
    assert api.post("/resolve", {"token": token}).content == first.content
    assert api.get("/resolve/preview", token=token).content == first.content


def test_a_preview_answers_for_shadows_too(api: Api) -> None:
    api.post(f"/configs/{api.created()}/shadow")
    at = ask(api, position=api.head())["at"]
    previewed = api.get("/resolve/preview", **GLADE, shadow="true", at=at).json()
    assert previewed == ask(api, at=at)


def test_where_everything_is_off_no_shadow_differs(store: LedgerStore, database: str) -> None:
    with serving(store, database, enabled=False) as off:
        off.post(f"/configs/{off.created()}/shadow")
        answer = ask(off)
    assert answer["shadow"] == {"values": answer["values"], "differs": {}}
