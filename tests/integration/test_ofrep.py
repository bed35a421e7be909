"""OFREP: levers as flags, entity tags that tell when an answer changed, and errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.clock import parse_instant
from ledger.store import LedgerStore
from tests.integration.calling import DROPS, TOKEN, Api, serving
from tests.integration.evaluating import FLAGS, GLADE, evaluate, evaluated, failed
from tests.strategies import json_values

Json = Any

LEGENDARY = "DROP_RATE_LEGENDARY_MULTIPLIER"
ELSEWHERE = {"targetingKey": "s1"}
OPENS, CLOSES = "2999-01-01T00:00:00Z", "2999-01-02T00:00:00Z"


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def moved_to(api: Api, monkeypatch: pytest.MonkeyPatch, instant: str) -> None:
    """Let it be this instant for the ledger's answers."""
    monkeypatch.setattr(api.ledger, "now", lambda _: parse_instant(instant))


# --- What a flag says ---


def test_a_flag_is_a_lever_and_says_where_its_value_comes_from(api: Api) -> None:
    config_id = api.activated()
    assert evaluated(api, LEGENDARY) == {
        "key": LEGENDARY,
        "value": 1.5,
        "reason": "STATIC",
        "variant": "Drops",
        "metadata": {
            "version": api.head(),
            "ledger_position": api.head(),
            "config_id": config_id,
            "revision": 1,
            "scope": "world",
            "scope_ref": "world.forest_glade",
        },
    }


def test_a_flag_that_no_config_supplies_has_the_default(api: Api) -> None:
    api.activated()
    told = evaluated(api, LEGENDARY, ELSEWHERE)
    assert (told["value"], told["reason"], told["variant"]) == (1.0, "DEFAULT", "default")


def test_attributes_and_the_session_are_what_rules_and_rollouts_read(api: Api) -> None:
    api.activated(
        targeting={"include": 'tier == "gold" && level > 2 && session_id == "s1"'},
        rollout={"percentage": 100, "unit": "team"},
    )
    context = {**GLADE, "tier": "gold", "level": 3, "team": "blue"}
    assert evaluated(api, LEGENDARY, context)["reason"] == "SPLIT"
    assert evaluated(api, LEGENDARY, {**context, "tier": None})["reason"] == "DEFAULT"
    other = {**context, "targetingKey": "s2"}
    assert evaluated(api, LEGENDARY, other)["reason"] == "DEFAULT"


def test_a_context_names_its_variations(api: Api) -> None:
    api.activated(scope="experiment", scope_ref="drops:b")
    named = {"targetingKey": "s1", "experiments": {"drops": "b"}}
    assert evaluated(api, LEGENDARY, named)["value"] == 1.5
    alone = {"targetingKey": "s1", "experiment_id": "drops", "variation": "b"}
    assert evaluated(api, LEGENDARY, alone)["value"] == 1.5


def test_a_killed_lever_is_disabled(api: Api) -> None:
    api.activated()
    api.post(f"/levers/{LEGENDARY}/kill")
    told = evaluated(api, LEGENDARY)
    assert (told["value"], told["reason"], told["variant"]) == (1.0, "DISABLED", "killed")


def test_a_disabled_process_answers_with_defaults(store: LedgerStore, database: str) -> None:
    with serving(store, database, enabled=False) as api:
        api.activated()
        told = evaluated(api, LEGENDARY)
        assert (told["value"], told["reason"], told["variant"]) == (1.0, "DISABLED", "default")


def test_a_process_that_was_started_frozen_holds_its_windows(
    store: LedgerStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(store, database) as before:
        before.activated(valid_from=OPENS)
    with serving(store, database, global_freeze=True) as frozen:
        moved_to(frozen, monkeypatch, OPENS)
        assert evaluated(frozen, LEGENDARY)["value"] == 1.0


def test_whole_numbers_of_a_float_lever_keep_their_decimal_point(api: Api) -> None:
    api.activated(payload={LEGENDARY: 2})
    assert b'"value":2.0,' in evaluate(api, LEGENDARY).content
    assert b'"value":4000,' in evaluate(api, "AWF_MAX_INPUT_TOKENS").content


def test_all_flags_are_one_answer_of_every_lever(api: Api) -> None:
    api.activated()
    answer = evaluate(api)
    told = answer.json()
    assert told["metadata"] == {"version": api.head()}
    assert answer.headers["ledger-position"] == str(api.head())
    assert len(told["flags"]) == 60
    for one in told["flags"]:
        alone = evaluated(api, one["key"])
        assert alone["metadata"].pop("ledger_position") == told["metadata"]["version"]
        assert one == alone


def test_a_flag_that_an_event_left_alone_is_the_same_as_before(api: Api) -> None:
    before = evaluate(api).json()["flags"]
    api.activated()
    after = evaluate(api).json()["flags"]
    changed = [now["key"] for then, now in zip(before, after, strict=True) if then != now]
    assert changed == [LEGENDARY]


def test_values_are_those_that_the_api_resolves(api: Api) -> None:
    api.activated(targeting={"include": "tier == 'gold'"})
    flags = evaluate(api, context={**GLADE, "tier": "gold"}).json()["flags"]
    context = {"session_id": "s1", "world_id": GLADE["world_id"], "attributes": {"tier": "gold"}}
    values = api.post("/resolve", {"context": context}).json()["values"]
    assert {one["key"]: one["value"] for one in flags} == values
    assert values[LEGENDARY] == 1.5


# --- Entity tags ---


def test_the_same_answer_again_is_not_modified(api: Api) -> None:
    first = evaluate(api)
    tag = first.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    again = evaluate(api, If_None_Match=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert again.headers["ledger-position"] == str(api.head())
    assert "content-type" not in again.headers


@pytest.mark.parametrize("written", ['W/"{}"', "{}", '"other", "{}"', '"other" , W/"{}"'])
def test_a_tag_is_known_however_it_was_passed_on(api: Api, written: str) -> None:
    tag = evaluate(api).headers["etag"].strip('"')
    assert evaluate(api, If_None_Match=written.format(tag)).status_code == 304


@pytest.mark.parametrize("tag", ["", '""', "*", '"0"', ","])
def test_another_tag_is_answered_in_full(api: Api, tag: str) -> None:
    assert evaluate(api, If_None_Match=tag).status_code == 200


def test_an_event_changes_the_tag(api: Api) -> None:
    tag = evaluate(api).headers["etag"]
    api.activated()
    changed = evaluate(api, If_None_Match=tag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_a_draft_is_no_change_of_values_but_of_the_ledger(api: Api) -> None:
    before = evaluate(api)
    api.created(DROPS)
    after = evaluate(api, If_None_Match=before.headers["etag"])
    assert after.json()["metadata"]["version"] == before.json()["metadata"]["version"] + 1


def test_another_context_has_another_tag(api: Api) -> None:
    tag = evaluate(api).headers["etag"]
    for context in (ELSEWHERE, {**GLADE, "targetingKey": "s2"}, {**GLADE, "level": 1}):
        assert evaluate(api, context=context, If_None_Match=tag).status_code == 200
    reordered = dict(reversed(GLADE.items()))
    assert evaluate(api, context=reordered, If_None_Match=tag).status_code == 304


def test_a_window_that_opens_and_closes_changes_the_tag(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.activated(valid_from=OPENS, valid_to=CLOSES)
    planned = evaluate(api).headers["etag"]
    moved_to(api, monkeypatch, OPENS)
    opened = evaluate(api, If_None_Match=planned)
    assert opened.status_code == 200
    assert evaluate(api, If_None_Match=opened.headers["etag"]).status_code == 304
    moved_to(api, monkeypatch, CLOSES)
    assert evaluate(api, If_None_Match=opened.headers["etag"]).status_code == 200
    assert evaluate(api, If_None_Match=planned).status_code == 304


def test_a_ramps_step_changes_the_tag(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [{"at": "2001-01-01T00:00:00Z", "percentage": 0}, {"at": OPENS, "percentage": 100}]
    api.activated(rollout={"ramp": steps})
    before = evaluate(api).headers["etag"]
    moved_to(api, monkeypatch, OPENS)
    assert evaluate(api, If_None_Match=before).status_code == 200
    assert evaluated(api, LEGENDARY)["reason"] == "SPLIT"


def test_a_rule_that_reads_the_instant_changes_the_tag(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.activated(targeting={"include": f'at >= timestamp("{OPENS}")'})
    before = evaluate(api).headers["etag"]
    moved_to(api, monkeypatch, OPENS)
    assert evaluate(api, If_None_Match=before).status_code == 200


def test_one_flag_alone_is_always_answered(api: Api) -> None:
    tag = evaluate(api).headers["etag"]
    alone = evaluate(api, LEGENDARY, If_None_Match=tag)
    assert alone.status_code == 200
    assert "etag" not in alone.headers


# --- Errors ---


@pytest.mark.parametrize("key", ["NO_SUCH_LEVER", "a%2Fb", "a/b", "%C3%A9", "x%20y", ""])
def test_a_key_that_is_no_lever_is_not_found(api: Api, key: str) -> None:
    answer = evaluate(api, key)
    assert "no lever" in failed(answer, 404, "FLAG_NOT_FOUND")
    decoded = {"a%2Fb": "a/b", "%C3%A9": "é", "x%20y": "x y"}
    assert answer.json()["key"] == decoded.get(key, key)
    assert answer.headers["ledger-position"] == str(api.head())


def test_a_key_may_be_percent_encoded(api: Api) -> None:
    assert evaluated(api, LEGENDARY.replace("_", "%5F"))["key"] == LEGENDARY


@pytest.mark.parametrize("path", [FLAGS, f"{FLAGS}/{LEGENDARY}"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{}", "TARGETING_KEY_MISSING"),
        ('{"context":{}}', "TARGETING_KEY_MISSING"),
        ('{"context":{"targetingKey":null}}', "TARGETING_KEY_MISSING"),
        ('{"context":{"targetingKey":"","session_id":"s"}}', "TARGETING_KEY_MISSING"),
        ('{"context":{"targetingKey":7}}', "INVALID_CONTEXT"),
        ('{"context":{"targetingKey":"s","turn_id":"x"}}', "INVALID_CONTEXT"),
        ('{"context":{"targetingKey":"s","at":"2026-01-01T00:00:00Z"}}', "INVALID_CONTEXT"),
        ('{"context":{"targetingKey":"s","x":"\\u0000"}}', "INVALID_CONTEXT"),
        ('{"context":null}', "INVALID_CONTEXT"),
        ('{"context":[]}', "INVALID_CONTEXT"),
        ('{"context":"s"}', "INVALID_CONTEXT"),
        ("[]", "INVALID_CONTEXT"),
        ("null", "INVALID_CONTEXT"),
        ("", "PARSE_ERROR"),
        ("{", "PARSE_ERROR"),
        ('{"context":{"targetingKey":"s","targetingKey":"t"}}', "PARSE_ERROR"),
        ('{"context":{"targetingKey":"\\ud800"}}', "PARSE_ERROR"),
        ('{"context":{"targetingKey":"s","x":' + "[" * 40 + "]" * 40 + "}}", "PARSE_ERROR"),
    ],
)
def test_a_bad_body_is_told_why(api: Api, path: str, body: str, code: str) -> None:
    answer = api.client.post(path, content=body)
    failed(answer, 400, code)
    assert answer.json().get("key") == (LEGENDARY if path.endswith(LEGENDARY) else None)


NAMES = ["targetingKey", "turn_id", "world_id", "variation", "experiments", "at", "tier", "x"]
contexts = st.dictionaries(st.sampled_from(NAMES), json_values).flatmap(
    lambda noise: st.sampled_from([noise, {**noise, "targetingKey": "s"}])
)
keys = st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=20)


@pytest.fixture
def ruled(api: Api) -> Api:
    """An API with rules that read what the contexts may have in any type."""
    api.activated(scope="global", scope_ref="global", targeting={"include": "size(x) > tier"})
    api.activated(scope="global", scope_ref="global", rollout={"percentage": 50, "unit": "x"})
    return api


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=json_values | st.fixed_dictionaries({"context": contexts | json_values}), key=keys)
def test_no_body_is_a_failure_of_the_server(ruled: Api, body: Json, key: str) -> None:
    for path in (FLAGS, f"{FLAGS}/{LEGENDARY}", f"{FLAGS}/{quote(key)}"):
        answer = ruled.client.post(path, content=json.dumps(body))
        assert answer.status_code in {200, 400, 404}, answer.text
        assert answer.is_success or answer.json()["errorDetails"]


def test_members_that_a_later_version_may_add_are_no_error(api: Api) -> None:
    body = {"context": GLADE, "flags": ["x"]}
    assert api.client.post(FLAGS, json=body, params={"flagConfigEtag": "x"}).status_code == 200


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    failed(evaluate(api, context={**GLADE, "x": "x" * (1 << 20)}), 413, "GENERAL")


def test_an_answer_can_be_demanded_to_know_a_position(api: Api) -> None:
    assert evaluate(api, Ledger_Min_Position=str(api.head())).status_code == 200
    failed(evaluate(api, Ledger_Min_Position=str(api.head() + 1)), 412, "GENERAL")
    failed(evaluate(api, LEGENDARY, Ledger_Min_Position="x"), 400, "PARSE_ERROR")


def test_a_database_that_is_away_is_to_be_asked_again(api: Api) -> None:
    api.ledger.store.close()
    answer = evaluate(api)
    failed(answer, 503, "GENERAL")
    assert answer.headers["retry-after"] == "1"


def test_a_failure_is_told_without_its_details(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(api.ledger, "now", fail)
    answer = evaluate(api, LEGENDARY)
    assert "secret" not in failed(answer, 500, "GENERAL")
    assert answer.json()["key"] == LEGENDARY


# --- Who may ask ---


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"X-API-Key": "x"}])
def test_without_the_token_nothing_is_evaluated(api: Api, headers: Json) -> None:
    api.client.headers.pop("Authorization")
    for path in (FLAGS, f"{FLAGS}/{LEGENDARY}"):
        answer = api.client.post(path, content="never read", headers=headers)
        failed(answer, 401, "GENERAL")
        assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_the_token_may_come_as_an_api_key(api: Api) -> None:
    api.client.headers.pop("Authorization")
    assert evaluate(api, X_API_Key=TOKEN).status_code == 200
    wrong = evaluate(api, X_API_Key=TOKEN, Authorization="Bearer other")
    assert wrong.status_code == 401
