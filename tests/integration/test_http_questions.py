"""Questions over HTTP: now, then, planned, and the same answer again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.clock import format_instant, parse_instant
from ledger.store import LedgerStore
from tests.integration.calling import DROPS, Api, problem, serving

Json = Any

LEGENDARY = "DROP_RATE_LEGENDARY_MULTIPLIER"
GLADE = {"session_id": "s", "world_id": "world.forest_glade"}


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def ask(api: Api, context: Json = GLADE, **question: Json) -> Json:
    answer = api.post("/resolve", {"context": context, **question})
    assert answer.status_code == 200, answer.text
    assert answer.headers["ledger-position"] == str(answer.json()["position"])
    return answer.json()


def shifted(instant: str, microseconds: int) -> str:
    return format_instant(parse_instant(instant) + microseconds)


def test_an_answer_has_every_lever_and_says_how_it_came_about(api: Api) -> None:
    assert ask(api)["reason"] == "DEFAULT"
    api.activated()
    answer = ask(api)
    assert len(answer["values"]) == 60
    assert answer["values"][LEGENDARY] == 1.5
    assert answer["reason"] == "STATIC"
    assert "explanation" not in answer


def test_an_explanation_names_the_event_that_supplied_a_value(api: Api) -> None:
    config_id = api.activated(reason="the festival")
    explained = ask(api, explain=True)["explanation"][LEGENDARY]
    assert explained["config_id"] == config_id
    assert explained["position"] == api.head()


def test_what_was_in_force_at_a_position(api: Api) -> None:
    config_id = api.activated()
    position = api.head()
    api.post(f"/configs/{config_id}/deactivate")
    assert ask(api)["values"][LEGENDARY] == 1.0
    then = ask(api, position=position)
    assert then["values"][LEGENDARY] == 1.5
    assert then["position"] == position
    assert ask(api, position=position - 1)["values"][LEGENDARY] == 1.0


def test_what_was_in_force_at_an_instant(api: Api) -> None:
    config_id = api.activated()
    activated = ask(api, position=api.head())["at"]
    api.post(f"/configs/{config_id}/deactivate")
    assert ask(api, as_of=activated)["values"][LEGENDARY] == 1.5
    assert ask(api, at=activated)["values"][LEGENDARY] == 1.5
    assert ask(api, as_of=shifted(activated, -1))["values"][LEGENDARY] == 1.0
    assert ask(api, as_of=activated)["at"] == activated


def test_a_prefix_that_reaches_an_instant_answers_as_every_other(api: Api) -> None:
    config_id = api.activated()
    position = api.head()
    then = ask(api, position=position)["at"]
    api.post(f"/configs/{config_id}/deactivate")
    answers = [ask(api, at=then), ask(api, as_of=then), ask(api, position=position, at=then)]
    assert [answer["position"] for answer in answers] == [position] * 3
    assert answers[0] == answers[1] == answers[2]


def test_what_was_planned_for_an_instant_to_come(api: Api) -> None:
    api.activated(valid_from="2999-01-01T00:00:00Z")
    assert ask(api)["values"][LEGENDARY] == 1.0
    assert ask(api, at="2999-01-01T00:00:00Z")["values"][LEGENDARY] == 1.5
    planned = ask(api, position=1, at="2999-01-01T00:00:00Z")
    assert planned["values"][LEGENDARY] == 1.0


def test_an_as_of_answer_is_final(api: Api) -> None:
    at = ask(api)["at"]
    first = ask(api, as_of=at)
    api.activated()
    assert ask(api, as_of=at) == first


def test_an_as_of_to_come_is_refused(api: Api) -> None:
    question = {"context": GLADE, "as_of": "2999-01-01T00:00:00Z"}
    told = problem(api.post("/resolve", question), 422, "future-instant")
    assert [error["pointer"] for error in told["errors"]] == ["/as_of"]


@pytest.mark.parametrize("position", [0, 1])
def test_the_empty_prefix_and_the_first_event_can_be_asked(api: Api, position: int) -> None:
    assert ask(api, position=position)["position"] == position


def test_a_position_beyond_the_head_is_not_found(api: Api) -> None:
    told = problem(api.post("/resolve", {"context": GLADE, "position": 99}), 404, "not-found")
    assert [error["pointer"] for error in told["errors"]] == ["/position"]


# --- Tokens ---

QUESTIONS: dict[str, Json] = {
    "live": {},
    "explained": {"explain": True},
    "at a position": {"position": 2},
    "before the ledger": {"at": "2001-01-01T00:00:00Z"},
    "planned": {"at": "2999-01-01T00:00:00Z"},
}
ODD = {
    **GLADE,
    "turn_id": 7,
    "experiments": {"drops": "b", "other": None},
    "attributes": {"tier": "göld", "level": 3, "score": 1.0, "tags": ["a", {"b": None}]},
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_token_repeats_the_answer_byte_for_byte(api: Api, name: str) -> None:
    config_id = api.activated(targeting={"include": 'tier == "göld"'})
    first = api.post("/resolve", {"context": ODD, **QUESTIONS[name]})
    api.post(f"/configs/{config_id}/archive")
    api.post("/freeze")
    token = first.json()["token"]
    assert api.post("/resolve", {"token": token}).content == first.content
    assert api.get("/resolve/preview", token=token).content == first.content


def test_a_token_repeats_an_answer_in_any_process(store: LedgerStore, database: str) -> None:
    with serving(store, database, enabled=False) as off:
        off.activated()
        disabled = off.post("/resolve", {"context": GLADE})
        assert (disabled.json()["reason"], disabled.json()["values"][LEGENDARY]) == ("DISABLED", 1)
    with serving(store, database) as on:
        token = disabled.json()["token"]
        assert on.post("/resolve", {"token": token}).content == disabled.content
        assert ask(on)["values"][LEGENDARY] == 1.5


def test_a_process_that_was_started_frozen_holds_its_windows(
    store: LedgerStore, database: str
) -> None:
    with serving(store, database) as before:
        before.activated(valid_from="2999-01-01T00:00:00Z")
    with serving(store, database, global_freeze=True) as frozen:
        planned = frozen.post("/resolve", {"context": GLADE, "at": "2999-01-01T00:00:00Z"})
        assert planned.json()["values"][LEGENDARY] == 1.0
    with serving(store, database) as after:
        token = planned.json()["token"]
        assert after.post("/resolve", {"token": token}).content == planned.content
        assert ask(after, at="2999-01-01T00:00:00Z")["values"][LEGENDARY] == 1.5


def test_the_largest_context_has_a_token_that_can_be_asked(api: Api) -> None:
    context = {"session_id": "s", "attributes": {"x": "€" * 16_000}}
    first = api.post("/resolve", {"context": context})
    token = first.json()["token"]
    assert api.post("/resolve", {"token": token}).content == first.content
    context["attributes"] = {"x": "x" * 17_000}
    told = problem(api.post("/resolve", {"context": context}), 422, "invalid")
    assert [error["pointer"] for error in told["errors"]] == ["/context"]


@pytest.mark.parametrize("damage", ["", "x", "AAAA", "é", "=", "a" * 200])
def test_a_damaged_token_is_refused(api: Api, damage: str) -> None:
    problem(api.post("/resolve", {"token": damage}), 400, "bad-token")


def test_a_token_with_any_character_changed_is_refused(api: Api) -> None:
    token = ask(api)["token"]
    for index in range(len(token)):
        other = "A" if token[index] != "A" else "B"
        damaged = token[:index] + other + token[index + 1 :]
        problem(api.post("/resolve", {"token": damaged}), 400, "bad-token")


@pytest.mark.parametrize(
    ("question", "pointer"),
    [
        ({}, "/context"),
        ({"token": "x", "explain": True}, "/explain"),
        ({"token": "x", "context": GLADE}, "/context"),
        ({"context": GLADE, "position": 1, "as_of": "2026-01-01T00:00:00Z"}, "/position"),
        ({"context": {**GLADE, "variation": "a"}}, "/context/variation"),
        ({"context": {"session_id": "s", "attributes": {"at": 1}}}, "/context/attributes/at"),
    ],
)
def test_a_question_is_one_question(api: Api, question: Json, pointer: str) -> None:
    told = problem(api.post("/resolve", question), 422, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]


# --- The same as a query ---


def test_a_preview_is_the_answer_to_its_context(api: Api) -> None:
    rule = 'tier == "gold" && level > 2 && vip && code == "007" && size(name) == 1'
    api.activated(targeting={"include": rule})
    query = {f"attributes.{name}": value for name, value in (
        ("tier", "gold"), ("level", "3"), ("vip", "true"), ("code", "007"), ("name", '"5"')
    )}  # fmt: skip
    answer = api.get("/resolve/preview", **GLADE, **query)
    assert answer.json()["values"][LEGENDARY] == 1.5


def test_a_preview_names_variations(api: Api) -> None:
    api.activated(scope="experiment", scope_ref="drops:b")
    answer = api.get("/resolve/preview", session_id="s", **{"experiments.drops": "b"})
    assert answer.json()["values"][LEGENDARY] == 1.5
    answer = api.get("/resolve/preview", session_id="s", experiment_id="drops", variation="b")
    assert answer.json()["values"][LEGENDARY] == 1.5


def test_a_preview_takes_the_same_times_as_a_body(api: Api) -> None:
    api.activated()
    at = ask(api, position=api.head())["at"]
    for times in ({"as_of": at}, {"position": api.head()}, {"at": at, "explain": "true"}):
        wanted = {**times, **({"explain": True} if "explain" in times else {})}
        assert api.get("/resolve/preview", **GLADE, **times).json() == ask(api, **wanted)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({}, "/session_id"),
        ({"session_id": ""}, "/session_id"),
        ({"session_id": "s", "turn_id": "x"}, "/turn_id"),
        ({"session_id": "s", "at": "yesterday"}, "/at"),
        ({"session_id": "s", "position": "-1"}, "/position"),
        ({"session_id": "s", "variation": "b"}, "/variation"),
        ({"session_id": "s", "attributes.at": "b"}, "/attributes.at"),
        ({"session_id": "s", "attributes.": "b"}, "/attributes."),
        ({"session_id": "s", "wold_id": "b"}, "/wold_id"),
        ({"session_id": "s", "token": "b"}, "/token"),
        ({"session_id": ["s", "t"]}, "/session_id"),
        ({"session_id": "s\0"}, "/session_id"),
    ],
)
def test_a_preview_names_the_parameter_that_is_wrong(api: Api, query: Json, pointer: str) -> None:
    told = problem(api.get("/resolve/preview", **query), 422, "invalid")
    assert [(error["pointer"], error["in"]) for error in told["errors"]] == [(pointer, "query")]


# --- Checking a content ---


def test_validate_lists_everything_and_stores_nothing(api: Api) -> None:
    head = api.head()
    checked = api.post(
        "/validate",
        {
            "payload": {LEGENDARY: "150%", "ECONOMIC_ACTIVITY_MULTIPLIER": 1.2, "NO_SUCH": 1},
            "targeting": {"include": "tier == 'gold' && level > 2", "exclude": "1 +"},
            "valid_from": "2026-01-02T00:00:00Z",
            "valid_to": "2026-01-01T00:00:00Z",
        },
    ).json()
    assert checked["payload"] == {LEGENDARY: 1.5, "ECONOMIC_ACTIVITY_MULTIPLIER": 1.2}
    assert [v["severity"] for v in checked["violations"]] == ["warning", "error"]
    assert checked["targeting"]["include"]["reads"] == ["level", "tier"]
    assert checked["targeting"]["exclude"]["valid"] is False
    assert [error["pointer"] for error in checked["errors"]] == ["/valid_to"]
    assert (checked["valid"], checked["activatable"], api.head()) == (False, False, head)


def test_validate_takes_a_whole_config(api: Api) -> None:
    assert api.post("/validate", DROPS).json()["activatable"] is True
    critical = {**DROPS, "payload": {"AWF_MAX_INPUT_TOKENS": 13_000}}
    checked = api.post("/validate", critical).json()
    assert (checked["valid"], checked["activatable"]) == (True, False)
