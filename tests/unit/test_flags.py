"""Flags: one lever of an answer in OpenFeature's terms."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.catalog import shipped_catalog
from ledger.errors import NotFound
from ledger.experiments import Experiment, Variation
from ledger.flags import Flag, FlagType, Metadata, TypeMismatch, flag, flag_type, flags
from ledger.intents import KillLever
from ledger.live import Origin, Running
from ledger.resolve import Reason, disabled, resolve
from ledger.scopes import Context
from tests.unit.history import ACTOR, GAME, History

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"
QUOTA = "AWF_TOOL_CALL_QUOTA"
MIX = "PARTY_INTENT_MIX_BIAS"
GATE = "MODS_GATE"


@pytest.fixture
def history() -> History:
    return History()


def found(history: History, key: str, context: Context = GAME) -> Flag:
    return flag(resolve(history.live, context, history.now, explain=True), context, key)


def of(value: Any) -> Flag:
    return Flag("LEVER", value, Reason.STATIC, "a config", {})


# --- Where a value comes from ---


def test_what_no_config_supplies_is_a_default(history: History) -> None:
    history.config(1, "world", "elsewhere", payload={TEMPO: 2.0})
    expected = Flag(TEMPO, 1.0, Reason.DEFAULT, "default", {"ledger_position": 2})
    assert found(history, TEMPO) == expected


def test_a_config_is_the_variant_and_its_event_the_version(history: History) -> None:
    config_id = history.config(1, "world", "w1", name="Weekend", payload={TEMPO: 2.0})
    told = found(history, TEMPO)
    assert (told.value, told.reason, told.variant) == (2.0, Reason.STATIC, "Weekend")
    where = {"config_id": str(config_id), "revision": 1, "scope": "world", "scope_ref": "w1"}
    assert told.metadata == {"version": 2, **where, "ledger_position": 2}


def test_the_reason_is_the_levers_own(history: History) -> None:
    everyone, always = {"percentage": 100}, {"include": "true"}
    history.config(1, "global", "global", payload={TEMPO: 2.0}, targeting=always)
    history.config(2, "world", "w1", payload={QUOTA: 7}, targeting=always, rollout=everyone)
    history.config(3, "world", "w1", payload={GATE: "off"})
    answer = resolve(history.live, GAME, history.now, explain=True)
    told = flags(answer, GAME)
    reasons = [told[key].reason.value for key in (TEMPO, QUOTA, GATE)]
    assert reasons == ["TARGETING_MATCH", "SPLIT", "STATIC"]
    assert list(told) == list(answer.values)


def test_an_object_is_split_when_a_field_of_it_is(history: History) -> None:
    rollout = {"percentage": 100}
    history.config(1, "global", "global", payload={MIX: {"NEUTRAL": 0.5}}, rollout=rollout)
    history.config(2, "world", "w1", name="Later", payload={MIX: {"COOPERATIVE": 0.5}})
    assert found(history, MIX)[2:4] == (Reason.SPLIT, "Later")


def test_an_object_is_static_once_the_field_that_split_it_is_overwritten(history: History) -> None:
    rollout = {"percentage": 100}
    history.config(1, "global", "global", payload={MIX: {"NEUTRAL": 0.5}}, rollout=rollout)
    history.config(2, "world", "w1", payload={MIX: {"NEUTRAL": 0.4}})
    assert found(history, MIX).reason is Reason.STATIC


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({}, Reason.SPLIT),
        ({"x": None}, Reason.SPLIT),
        ({"x": "b"}, Reason.STATIC),
    ],
)
def test_a_variation_is_a_split_when_it_was_assigned(
    history: History, named: dict[str, str | None], reason: Reason
) -> None:
    history.config(1, "experiment", "x:b", payload={TEMPO: 2.0})
    start = Origin(3, history.now, ACTOR, "")
    history.live.experiments["x"] = Running(Experiment("x", (Variation("b", 1),)), start)
    told = found(history, TEMPO, Context("s1", experiments=named))
    assert (told.value, told.reason) == (2.0, reason)


def test_an_experiment_that_a_context_names_is_no_split(history: History) -> None:
    history.config(1, "experiment", "x", payload={TEMPO: 2.0})
    start = Origin(3, history.now, ACTOR, "")
    history.live.experiments["x"] = Running(Experiment("x", (Variation("b", 1),)), start)
    named = Context("s1", experiments={"x": None})
    assert found(history, TEMPO, Context("s1")).reason is Reason.SPLIT
    assert found(history, TEMPO, named).reason is Reason.STATIC


def test_a_killed_lever_is_disabled_by_the_kill(history: History) -> None:
    history.config(1, "world", "w1", payload={GATE: "full"})
    kill = history.do(KillLever(GATE))
    told = found(history, GATE)
    assert (told.value, told.reason, told.variant) == ("off", Reason.DISABLED, "killed")
    assert told.metadata == {"version": kill.position, "ledger_position": kill.position}
    assert not told.switched_off


def test_a_value_for_want_of_fresh_data_is_no_configs(history: History) -> None:
    history.config(1, "world", "w1", payload={GATE: "readonly"})
    answer = resolve(history.live, GAME, history.now, explain=True)
    closed = flag(answer._replace(values={**answer.values, GATE: "off"}), GAME, GATE)
    known: Metadata = {"fallback": True, "ledger_position": 2}
    assert closed == Flag(GATE, "off", Reason.DEFAULT, "fallback", known)
    assert (closed.fell_back, flag(answer, GAME, GATE).fell_back) == (True, False)


def test_all_is_disabled_where_the_system_is() -> None:
    told = flags(disabled(shipped_catalog(), 7, 0), GAME)
    assert {each.reason for each in told.values()} == {Reason.DISABLED}
    assert told[TEMPO][3:] == ("default", {"ledger_position": 7})
    assert told[TEMPO].switched_off


def test_an_unknown_flag_is_not_found(history: History) -> None:
    with pytest.raises(NotFound, match="no lever 'TEMPO' in the catalog"):
        found(history, "TEMPO")


def test_an_answer_without_its_reasons_makes_no_flags(history: History) -> None:
    with pytest.raises(ValueError, match="explain=True"):
        flags(resolve(history.live, GAME, history.now), GAME)


# --- Types ---


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, "boolean"), ("full", "string"), (90, "integer"), (1.5, "float"), (2.0, "float")],
)
def test_a_single_value_has_one_type(value: Any, expected: str) -> None:
    assert flag_type(value) == expected
    assert of(value).as_type(FlagType(expected)) is value


@pytest.mark.parametrize("value", [["claude-3", "gpt-4"], {"NEUTRAL": 0.5}])
def test_lists_and_objects_are_objects(value: Any) -> None:
    assert of(value).as_type(FlagType.OBJECT) is value


def test_an_integer_is_a_float_too() -> None:
    told = of(3).as_type(FlagType.FLOAT)
    assert (told, type(told)) == (3.0, float)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        *((2.0, wanted) for wanted in ("integer", "string", "boolean", "object")),
        *((True, wanted) for wanted in ("integer", "float", "string", "object")),
        *((1, wanted) for wanted in ("boolean", "string", "object")),
        *(("5", wanted) for wanted in ("boolean", "integer", "float", "object")),
        *(({"A": 1}, wanted) for wanted in ("boolean", "integer", "float", "string")),
    ],
)
def test_nothing_else_is_of_two_types(value: Any, wanted: str) -> None:
    with pytest.raises(TypeMismatch):
        of(value).as_type(FlagType(wanted))


def test_a_mismatch_says_what_the_flag_is() -> None:
    with pytest.raises(TypeMismatch, match="LEVER is a float: it cannot be asked as an integer"):
        of(2.0).as_type(FlagType.INTEGER)


def test_every_shipped_lever_has_the_type_of_its_kind() -> None:
    kinds = {"boolean": "boolean", "enum": "string", "float": "float", "integer": "integer"}
    kinds |= {"enum_list": "object", "object": "object", "duration": "integer"}
    for lever in shipped_catalog().levers.values():
        assert flag_type(lever.default) == kinds[lever.type]
