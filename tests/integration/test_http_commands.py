"""Commands over HTTP: the life of configs, freezes, kills and rollbacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from ledger.store import LedgerStore
from tests.integration.calling import DROPS, SKILLS, Api, problem, serving

Json = Any

LEGENDARY = "DROP_RATE_LEGENDARY_MULTIPLIER"


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def value_of(api: Api, lever: str = LEGENDARY) -> Json:
    answer = api.get("/resolve/preview", session_id="s", world_id="world.forest_glade")
    return answer.json()["values"][lever]


def test_a_draft_changes_nothing_until_it_is_activated(api: Api) -> None:
    config_id = api.created()
    assert value_of(api) == 1.0
    api.post(f"/configs/{config_id}/activate")
    assert value_of(api) == 1.5


def test_a_created_config_is_answered_with_201_and_its_revision(api: Api) -> None:
    answer = api.post("/configs", DROPS)
    assert answer.status_code == 201
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["ledger-position"] == str(answer.json()["position"]) == "2"
    assert answer.json()["status"] == "draft"
    assert answer.json()["revision"] == 1


def test_a_warning_is_listed_when_drafted_and_when_activated(api: Api) -> None:
    drafted = api.post("/configs", SKILLS).json()
    activated = api.post(f"/configs/{drafted['config_id']}/activate", {"immediate": True})
    assert activated.status_code == 200
    [warning] = activated.json()["violations"]
    assert warning["severity"] == "warning"
    assert warning["lever"] == "SKILL_CHECK_SUCCESS_RATE_MULTIPLIER"
    assert drafted["violations"] == [warning]


def test_every_violation_is_named_with_its_pointer(api: Api) -> None:
    payload = {"DIALOGUE_GATE": "maybe", "NO_SUCH": 1, LEGENDARY: True}
    told = problem(api.post("/configs", {**DROPS, "payload": payload}), 422, "invalid")
    assert {error["pointer"] for error in told["errors"]} == {f"/payload/{n}" for n in payload}
    assert {violation["lever"] for violation in told["violations"]} == set(payload)


def test_a_critical_value_may_be_drafted_but_not_activated(api: Api) -> None:
    config_id = api.created(payload={"AWF_MAX_INPUT_TOKENS": 13_000})
    told = problem(api.post(f"/configs/{config_id}/activate"), 422, "invalid")
    assert [violation["severity"] for violation in told["violations"]] == ["critical"]


def test_a_revision_is_a_draft_until_it_is_activated_in_turn(api: Api) -> None:
    config_id = api.activated()
    changed = {**DROPS, "payload": {LEGENDARY: 2.0}}
    revised = api.call("PUT", f"/configs/{config_id}", changed, revision=1)
    assert (revised.json()["revision"], revised.json()["status"]) == (2, "active")
    assert revised.headers["etag"] == '"2"'
    assert value_of(api) == 1.5
    api.post(f"/configs/{config_id}/activate")
    assert value_of(api) == 2.0


def test_a_revision_must_say_what_it_replaces(api: Api) -> None:
    config_id = api.created()
    problem(api.call("PUT", f"/configs/{config_id}", DROPS), 428, "precondition-required")
    any_revision = {"If-Match": "*"}
    assert api.call("PUT", f"/configs/{config_id}", DROPS, headers=any_revision).is_success


def test_a_config_that_has_moved_on_is_not_overwritten(api: Api) -> None:
    config_id = api.created()
    api.call("PUT", f"/configs/{config_id}", DROPS, revision=1)
    told = problem(api.call("PUT", f"/configs/{config_id}", DROPS, revision=1), 412, "moved")
    assert (told["expected"], told["actual"]) == (1, 2)


@pytest.mark.parametrize("verb", ["activate", "deactivate", "archive", "rollback"])
def test_any_command_on_a_config_takes_an_if_match(api: Api, verb: str) -> None:
    config_id = api.activated()
    problem(api.post(f"/configs/{config_id}/{verb}", revision=7), 412, "moved")


def test_an_earlier_revision_can_be_activated(api: Api) -> None:
    config_id = api.created()
    api.call("PUT", f"/configs/{config_id}", {**DROPS, "payload": {LEGENDARY: 2.0}}, revision=1)
    answer = api.post(f"/configs/{config_id}/activate", {"revision": 1})
    assert answer.json()["revision"] == 1
    assert answer.headers["etag"] == '"2"'
    assert value_of(api) == 1.5


def test_a_window_in_the_request_takes_the_place_of_the_revisions_own(api: Api) -> None:
    config_id = api.created(valid_from="2024-01-01T00:00:00Z", valid_to="2024-12-31T23:59:59Z")
    assert api.post(f"/configs/{config_id}/activate").json()["status"] == "expired"
    later = {"valid_from": "2999-01-01T00:00:00+02:00"}
    assert api.post(f"/configs/{config_id}/activate", later).json()["status"] == "scheduled"
    open_end = {"immediate": True, "valid_to": None}
    assert api.post(f"/configs/{config_id}/activate", open_end).json()["status"] == "active"


def test_deactivate_archive_and_the_refusals_after_them(api: Api) -> None:
    config_id = api.activated()
    assert api.post(f"/configs/{config_id}/deactivate").json()["status"] == "inactive"
    problem(api.post(f"/configs/{config_id}/deactivate"), 409, "conflict")
    assert api.post(f"/configs/{config_id}/archive").json()["status"] == "archived"
    problem(api.post(f"/configs/{config_id}/activate"), 409, "conflict")
    problem(api.call("PUT", f"/configs/{config_id}", DROPS, revision=1), 409, "conflict")
    assert api.post(f"/configs/{config_id}/rollback").json()["status"] == "active"


def test_a_config_rolls_back_to_the_activation_before(api: Api) -> None:
    config_id = api.activated()
    api.call("PUT", f"/configs/{config_id}", {**DROPS, "payload": {LEGENDARY: 2.0}}, revision=1)
    api.post(f"/configs/{config_id}/activate")
    assert api.post(f"/configs/{config_id}/rollback").json()["revision"] == 1
    assert value_of(api) == 1.5
    problem(api.post(f"/configs/{config_id}/rollback", {"revision": 3}), 409, "conflict")


def test_a_rollout_change_keeps_unit_and_salt(api: Api) -> None:
    config_id = api.activated(rollout={"percentage": 10, "unit": "world_id", "salt": "a"})
    assert api.post(f"/configs/{config_id}/rollout", {"percentage": 100}).is_success
    activation = api.get(f"/configs/{config_id}").json()["activation"]
    assert activation["rollout"] == {"percentage": 100, "unit": "world_id", "salt": "a"}
    ramp = [{"at": "2026-01-01T00:00:00Z", "percentage": 0.001}]
    api.post(f"/configs/{config_id}/rollout", {"ramp": ramp})
    activation = api.get(f"/configs/{config_id}").json()["activation"]
    assert [step["percentage"] for step in activation["rollout"]["ramp"]] == [0.001]


@pytest.mark.parametrize("body", [{}, {"percentage": 5, "ramp": []}, {"percentage": 0.0005}])
def test_a_rollout_change_names_one_exact_rollout(api: Api, body: Json) -> None:
    config_id = api.activated()
    answer = api.post(f"/configs/{config_id}/rollout", body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_rollout_change_needs_a_live_activation(api: Api) -> None:
    config_id = api.created()
    problem(api.post(f"/configs/{config_id}/rollout", {"percentage": 5}), 409, "conflict")


# --- Freezes and kills ---


def test_a_freeze_names_who_froze_and_why(api: Api) -> None:
    config_id = api.created()
    frozen = api.post("/freeze", {"reason": "hands off"}).json()
    told = problem(api.post(f"/configs/{config_id}/activate"), 423, "frozen")
    assert told["reason"] == "hands off"
    assert told["since"] == frozen["recorded_at"]
    assert told["actor"]
    assert api.post("/unfreeze").json()["frozen"] is False
    assert api.post(f"/configs/{config_id}/activate").is_success


def test_drafting_and_reading_go_on_in_a_freeze(api: Api) -> None:
    api.post("/freeze")
    config_id = api.created()
    assert api.call("PUT", f"/configs/{config_id}", DROPS, revision=1).is_success
    assert api.get(f"/configs/{config_id}").is_success


def test_a_freeze_of_one_place_leaves_others(api: Api) -> None:
    api.post("/freeze", {"scope": "world", "scope_ref": "world.forest_glade"})
    problem(api.post(f"/configs/{api.created()}/activate"), 423, "frozen")
    assert api.post(f"/configs/{api.created(SKILLS)}/activate").is_success


def test_what_is_frozen_is_not_frozen_again(api: Api) -> None:
    problem(api.post("/unfreeze"), 409, "conflict")
    api.post("/freeze")
    problem(api.post("/freeze"), 409, "conflict")


def test_a_process_that_was_started_frozen_refuses(store: LedgerStore, database: str) -> None:
    with serving(store, database, global_freeze=True) as api:
        told = problem(api.post(f"/configs/{api.created()}/activate"), 423, "frozen")
        assert told["actor"] == "environment"


def test_a_killed_gate_is_off_until_it_is_restored(api: Api) -> None:
    killed = api.post("/levers/DIALOGUE_GATE/kill", {"reason": "fire"})
    assert killed.json()["killed"] is True
    assert value_of(api, "DIALOGUE_GATE") == "off"
    problem(api.post("/levers/DIALOGUE_GATE/kill"), 409, "conflict")
    assert api.post("/levers/DIALOGUE_GATE/restore").json()["killed"] is False
    assert value_of(api, "DIALOGUE_GATE") == "full"


def test_breaking_the_glass_needs_a_reason(api: Api) -> None:
    api.post("/freeze")
    broken = {"break_glass": True}
    problem(api.post("/levers/DIALOGUE_GATE/kill", broken), 422, "invalid")
    assert api.post("/levers/DIALOGUE_GATE/kill", {**broken, "reason": "fire"}).is_success


def test_what_is_not_there_is_404(api: Api) -> None:
    problem(api.post("/levers/NO_SUCH/kill"), 404, "not-found")
    problem(api.get(f"/configs/{uuid4()}"), 404, "not-found")
    problem(api.post(f"/configs/{uuid4()}/activate"), 404, "not-found")
    problem(api.call("PUT", f"/configs/{uuid4()}", DROPS, revision=1), 404, "not-found")


# --- Rolling back ---


def test_a_plan_tells_what_a_rollback_then_does(api: Api) -> None:
    before = api.head()
    api.activated()
    wanted = {"position": before, "reason": "as it was"}
    planned = api.post("/rollback", {**wanted, "plan": True}).json()
    assert api.head() == planned["position"]
    done = api.post("/rollback", wanted).json()
    assert done["changes"] == planned["changes"]
    assert [change["action"] for change in done["changes"]] == ["deactivate"]
    assert value_of(api) == 1.0


def test_a_rollback_to_an_instant_brings_back_what_was_in_force(api: Api) -> None:
    config_id = api.activated()
    then = api.get("/status").json()["recorded_at"]
    api.post(f"/configs/{config_id}/deactivate")
    done = api.post("/rollback", {"timestamp": then}).json()
    assert [change["action"] for change in done["changes"]] == ["activate"]
    assert value_of(api) == 1.5


def test_a_rollback_that_changes_nothing_records_nothing(api: Api) -> None:
    head = api.head()
    done = api.post("/rollback", {"position": head}).json()
    assert (done["changes"], done["position"], api.head()) == ([], head, head)


def test_a_rollback_of_one_place_leaves_others(api: Api) -> None:
    before = api.head()
    api.activated()
    api.activated(SKILLS)
    there = {"scope": "world", "scope_ref": "world.forest_glade"}
    done = api.post("/rollback", {"position": before, **there}).json()
    assert [change["scope_ref"] for change in done["changes"]] == ["world.forest_glade"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/position"),
        ({"position": 1, "timestamp": "2026-01-01T00:00:00Z"}, "/position"),
        ({"position": 1, "scope": "world"}, "/scope_ref"),
        ({"position": 1, "scope_ref": "world.x"}, "/scope"),
        ({"position": 1, "scope": "global", "scope_ref": "x"}, "/scope_ref"),
    ],
)
def test_a_rollback_says_where_to_and_where(api: Api, body: Json, pointer: str) -> None:
    told = problem(api.post("/rollback", body), 422, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]


def test_a_rollback_needs_a_point_that_there_was(api: Api) -> None:
    problem(api.post("/rollback", {"position": 99}), 404, "not-found")
    problem(api.post("/rollback", {"timestamp": "2999-01-01T00:00:00Z"}), 422, "future-instant")
