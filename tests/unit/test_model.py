"""The oracle against examples of the SPEC, worked out by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmh3
import pytest

from tests.model import Model
from tests.model_levers import bucket_of, murmur3, severities

CATALOG = json.loads((Path(__file__).parents[2] / "ledger" / "catalog.json").read_text())
TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"  # 0.1 … 3.0, default 1.0
HINTS = "SOFT_LOCK_HINT_FREQUENCY"  # 0 … 1, default 0.05
LOW, HIGH = "VENDOR_MARGIN_MIN", "VENDOR_MARGIN_MAX"  # defaults 0.1 and 0.3
REFS = {"global": "global", "world": "w1", "adventure": "a1", "experiment": "x", "session": "s1"}
MIX = "PARTY_INTENT_MIX_BIAS"
TOKENS = "AWF_MAX_INPUT_TOKENS"  # 1000 … 12000, critical, default 4000

NOBODY = {"session_id": "nobody"}
PLAYER = {
    "session_id": "s1",
    "world_id": "w1",
    "adventure_id": "a1",
    "experiment_id": "x",
    "variation": "b",
}


def content(payload: Mapping[str, Any], scope: str = "global", **more: Any) -> dict[str, Any]:
    ref = REFS[scope]
    return {"name": "n", "scope": scope, "scope_ref": ref, "payload": dict(payload)} | more


def tempo(value: float, scope: str = "global", **more: Any) -> dict[str, Any]:
    return content({TEMPO: value}, scope, **more)


@pytest.fixture
def model() -> Model:
    """A ledger whose first fact, the catalog's adoption, is of instant 0."""
    return Model(CATALOG)


def at(model: Model, instant: int, lever: str = TEMPO, position: int | None = None) -> Any:
    return model.resolve(position or model.head, PLAYER, instant)[lever]


# --- the hash ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a", 0x3C2569B2),
        ("abc", 0xB3DD93FA),
        ("hello", 0x248BFA47),
        ("The quick brown fox jumps over the lazy dog", 0x2E4FF723),
    ],
)
def test_murmur3_gives_the_published_vectors(text: str, expected: int) -> None:
    assert murmur3(text.encode()) == expected


def test_murmur3_agrees_with_the_c_library_on_every_length() -> None:
    texts = ["añ☃" * (n % 3) + "z" * n for n in range(20)]
    assert [murmur3(t.encode()) for t in texts] == [mmh3.hash(t, 0, signed=False) for t in texts]


def test_bucket_of_hello_is_the_hash_scaled_to_a_hundred_thousand() -> None:
    # murmur3("he:llo") is not "hello": the colon is part of what is hashed.
    expected = mmh3.hash("he:llo", 0, signed=False) * 100_000 // 2**32
    assert bucket_of("he", "llo") == expected != 0x248BFA47 * 100_000 // 2**32


# --- violations ---


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"SKILL_CHECK_SUCCESS_RATE_MULTIPLIER": 1.1}, {"warning"}),
        ({"ECONOMIC_ACTIVITY_MULTIPLIER": 1.2}, {"warning"}),
        ({"ECONOMIC_ACTIVITY_MULTIPLIER": 1.5}, {"warning"}),  # exactly half of the span of 1
        ({"ECONOMIC_ACTIVITY_MULTIPLIER": 1.501}, {"range"}),
        ({"ECONOMIC_ACTIVITY_MULTIPLIER": -0.5}, {"warning"}),
        ({TEMPO: 4.45}, {"warning"}),  # 1.45 above 3.0: exactly half of 2.9, also in binary floats
        ({TEMPO: 4.451}, {"range"}),
        ({TOKENS: 12_000}, set()),
        ({TOKENS: 12_001}, {"critical"}),
        ({TOKENS: 90_000}, {"critical"}),
        ({LOW: 0.2, HIGH: 0.2}, set()),
        ({LOW: 0.3, HIGH: 0.2}, {"error"}),
        ({MIX: {"NEUTRAL": 1.5}}, {"warning"}),
        ({MIX: {"NEUTRAL": 1.6, "COMPETITIVE": 0.5}}, {"range"}),
        (
            {TOKENS: 1, TEMPO: 9.0, HINTS: 1.2, "NO_SUCH_LEVER": 1},
            {"critical", "range", "warning", "error"},
        ),
    ],
)
def test_severities(payload: dict[str, Any], expected: set[str]) -> None:
    assert severities(CATALOG, payload) == expected


@pytest.mark.parametrize(
    ("lever", "value"),
    [
        (TEMPO, True),
        (TEMPO, "1.5"),
        (TEMPO, float("nan")),
        (TEMPO, float("inf")),
        (TEMPO, None),
        (TOKENS, 5000.5),
        (TOKENS, "50%"),
        (TOKENS, [5000]),
        ("DIALOGUE_GATE", "ajar"),
        ("DIALOGUE_GATE", 1),
        ("AWF_MODEL_TIER_ALLOWLIST", []),
        ("AWF_MODEL_TIER_ALLOWLIST", ["gpt-4", " GPT-4 "]),
        ("AWF_MODEL_TIER_ALLOWLIST", "gpt-4"),
        (MIX, {"NICE": 0.1}),
        (MIX, {"NEUTRAL": "much"}),
        (MIX, 0.5),
    ],
)
def test_a_value_of_another_type_is_refused_when_it_is_written(lever: str, value: Any) -> None:
    model = Model(CATALOG)
    assert model.create("c", content({lever: value}), 10) == 422
    assert model.head == 1


@pytest.mark.parametrize(
    ("lever", "written", "stored"),
    [
        (TEMPO, "50%", 0.5),
        (TEMPO, " 0.7% ", 0.007),
        (TOKENS, 5000.0, 5000),
        ("DIALOGUE_GATE", " ReadOnly ", "readonly"),
        ("AWF_MODEL_TIER_ALLOWLIST", ["Claude-3", "gpt-4"], ["claude-3", "gpt-4"]),
        (MIX, {"NEUTRAL": "25%"}, {"COOPERATIVE": 0.4, "COMPETITIVE": 0.3, "NEUTRAL": 0.25}),
    ],
)
def test_normalised_values_are_what_resolves(lever: str, written: Any, stored: Any) -> None:
    model = Model(CATALOG, strict=False)
    model.create("c", content({lever: written}), 10)
    model.activate("c", 20)
    assert at(model, 20, lever) == stored


def test_a_draft_may_hold_what_may_not_be_activated(model: Model) -> None:
    assert model.create("critical", content({TOKENS: 12_001}), 10) == "ok"
    assert model.create("far", tempo(9.0), 20) == "ok"
    assert model.create("near", tempo(3.5), 30) == "ok"
    assert [model.activate(c, 40) for c in ("critical", "far", "near")] == [422, 422, "ok"]


def test_without_strict_bounds_only_critical_ones_stop_an_activation() -> None:
    model = Model(CATALOG, strict=False)
    model.create("critical", content({TOKENS: 12_001}), 10)
    model.create("far", tempo(9.0), 20)
    assert [model.activate("critical", 30), model.activate("far", 40)] == [422, "ok"]


# --- precedence and merge ---


def test_defaults_when_nothing_is_active(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    values = model.resolve(model.head, PLAYER, 99)
    assert values == {lever["name"]: lever["default"] for lever in CATALOG["levers"]}
    assert len(values) == 60


def test_a_higher_scope_wins_whatever_its_priority_and_time(model: Model) -> None:
    scopes = [("session", 1.5), ("experiment", 1.4), ("adventure", 1.3), ("world", 1.2)]
    for n, (scope, value) in enumerate([*scopes, ("global", 1.1)]):
        model.create(scope, tempo(value, scope, priority=n), 10 * n + 1)
        model.activate(scope, 10 * n + 2)
    assert [at(model, instant) for instant in (2, 12, 99)] == [1.5, 1.5, 1.5]
    strangers = [PLAYER | {"session_id": "s2"}, {"world_id": "w1"}, NOBODY]
    assert [model.resolve(model.head, who, 99)[TEMPO] for who in strangers] == [1.4, 1.2, 1.1]


def test_inside_a_scope_priority_first_then_rank(model: Model) -> None:
    for n, (config, priority) in enumerate([("a", 5), ("b", 0), ("c", 5), ("d", 0)]):
        model.create(config, tempo(1.0 + n / 10, priority=priority), 10 * n + 1)
        model.activate(config, 10 * n + 2)
    assert [at(model, instant) for instant in (2, 12, 22, 32)] == [1.0, 1.0, 1.2, 1.2]


def test_experiments_of_a_context_are_taken_together(model: Model) -> None:
    model.create("y", tempo(1.5, "experiment", scope_ref="y", priority=1), 1)
    model.create("xb", tempo(1.6, "experiment", scope_ref="x:b"), 2)
    model.activate("y", 3)
    model.activate("xb", 4)
    both = {"session_id": "s", "experiments": {"x": "b", "y": "a"}}
    other = {"session_id": "s", "experiments": {"x": "a"}}
    values = [model.resolve(model.head, asked, 9)[TEMPO] for asked in (both, PLAYER, other)]
    assert values == [1.5, 1.6, 1.0]


def test_objects_are_merged_field_by_field(model: Model) -> None:
    model.create("g", content({MIX: {"COOPERATIVE": 0.9, "NEUTRAL": 0.1}}), 1)
    model.create("w", content({MIX: {"NEUTRAL": 0.7}}, "world"), 2)
    model.activate("w", 3)
    model.activate("g", 4)
    assert at(model, 9, MIX) == {"COOPERATIVE": 0.9, "COMPETITIVE": 0.3, "NEUTRAL": 0.7}
    assert at(model, 3, MIX) == {"COOPERATIVE": 0.4, "COMPETITIVE": 0.3, "NEUTRAL": 0.7}


def test_crossed_margins_keep_the_last_pair_that_held(model: Model) -> None:
    model.create("g", content({LOW: 0.2}), 1)  # 0.2 … 0.3 holds
    model.create("w", content({LOW: 0.4}, "world"), 2)  # 0.4 … 0.3 does not
    model.create("a", content({HIGH: 0.35}, "adventure"), 3)  # 0.4 … 0.35 still does not
    for n, config in enumerate("gwa"):
        model.activate(config, 10 + n)
    values = model.resolve(model.head, PLAYER, 12)
    assert (values[LOW], values[HIGH]) == (0.2, 0.3)


def test_margins_that_cross_on_the_way_but_not_at_the_end_count(model: Model) -> None:
    model.create("w", content({LOW: 0.4}, "world"), 1)
    model.create("a", content({HIGH: 0.5}, "adventure"), 2)
    model.activate("w", 3)
    model.activate("a", 4)
    between, after = (model.resolve(model.head, PLAYER, instant) for instant in (3, 4))
    assert (between[LOW], between[HIGH]) == (0.1, 0.3)
    assert (after[LOW], after[HIGH]) == (0.4, 0.5)


def test_a_kill_comes_after_the_margins_are_mended(model: Model) -> None:
    model.create("g", content({LOW: 0.4, HIGH: 0.5}), 1)
    model.activate("g", 2)
    model.kill(HIGH, 3)
    values = model.resolve(model.head, PLAYER, 3)
    assert (values[LOW], values[HIGH]) == (0.4, 0.3)


# --- intervals ---


def test_an_activation_holds_from_its_begin_until_before_its_end(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.activate("c", 20)
    model.deactivate("c", 30)
    assert [at(model, instant) for instant in (19, 20, 29, 30)] == [1.0, 2.0, 2.0, 1.0]


def test_a_prefix_that_ends_earlier_gives_what_was_planned(model: Model) -> None:
    model.create("c", tempo(2.0, valid_from=50, valid_to=60), 10)
    model.activate("c", 20)
    model.deactivate("c", 30)
    planned = [at(model, instant, position=3) for instant in (49, 50, 59, 60)]
    assert planned == [1.0, 2.0, 2.0, 1.0]
    assert at(model, 50) == 1.0


def test_the_window_of_the_request_replaces_that_of_the_revision(model: Model) -> None:
    model.create("c", tempo(2.0, valid_from=50, valid_to=60), 10)
    model.activate("c", 20, valid_to=80)
    assert [at(model, instant) for instant in (20, 79, 80)] == [2.0, 2.0, 1.0]
    model.activate("c", 90, immediate=True)
    assert at(model, 90) == 1.0  # without its valid_from, but valid_to = 60 still counts
    assert model.activate("c", 91, valid_from=7, valid_to=7) == 422


def test_a_revision_is_a_draft_until_it_is_activated(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.activate("c", 20)
    assert model.revise("c", tempo(2.5), 1, 30) == "ok"
    assert model.revise("c", tempo(2.6), 1, 31) == 412
    assert at(model, 40) == 2.0
    model.activate("c", 50)
    assert (at(model, 49), at(model, 50)) == (2.0, 2.5)


def test_statuses_of_a_life(model: Model) -> None:
    model.create("c", tempo(2.0, valid_from=30, valid_to=40), 10)
    model.activate("c", 20)
    model.deactivate("c", 50)
    model.archive("c", 60)
    instants = (9, 10, 20, 29, 30, 39, 40, 49, 50, 60)
    draft, scheduled, active, expired = (
        ["draft"],
        ["scheduled"] * 2,
        ["active"] * 2,
        ["expired"] * 2,
    )
    expected = ["unknown", *draft, *scheduled, *active, *expired, "inactive", "archived"]
    assert [model.status(model.head, "c", instant) for instant in instants] == expected


@pytest.mark.parametrize("command", ["activate", "deactivate", "archive", "revise"])
def test_an_archived_config_refuses_to_change(model: Model, command: str) -> None:
    model.create("c", tempo(2.0), 10)
    model.activate("c", 20)
    model.archive("c", 30)
    more = (tempo(2.5), None) if command == "revise" else ()
    assert getattr(model, command)("c", *more, now=40) == 409
    assert (at(model, 29), at(model, 30)) == (2.0, 1.0)


def test_an_unknown_config_is_not_found(model: Model) -> None:
    assert model.activate("c", 1) == model.deactivate("c", 1) == model.archive("c", 1) == 404
    assert model.roll_back_config("c", 1) == model.change_rollout("c", 1, percentage=1) == 404
    assert model.revise("c", tempo(2.0), None, 1) == model.kill("NO_SUCH_LEVER", 1) == 404


# --- rollback ---


def test_rollback_restores_the_activation_before_with_its_rank(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.create("rival", tempo(3.0), 11)
    model.activate("c", 20)
    model.activate("rival", 21)
    model.revise("c", tempo(2.5), None, 30)
    model.activate("c", 40)
    assert at(model, 40) == 2.5
    assert model.roll_back_config("c", 50) == "ok"
    assert at(model, 50) == 3.0  # the restored rank is below the rival's


def test_rollback_twice_is_there_and_back(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.activate("c", 20)
    model.revise("c", tempo(2.5), None, 30)
    model.activate("c", 40)
    assert [model.roll_back_config("c", now) for now in (50, 60)] == ["ok", "ok"]
    assert [at(model, instant) for instant in (49, 50, 60)] == [2.5, 2.0, 2.5]


def test_rollback_brings_an_archived_config_back_to_life(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    assert model.roll_back_config("c", 11) == 409
    model.activate("c", 20)
    assert model.roll_back_config("c", 21) == 409
    model.archive("c", 30)
    assert model.roll_back_config("c", 40, revision=2) == 409
    assert model.roll_back_config("c", 40, revision=1) == "ok"
    assert (at(model, 39), at(model, 40)) == (1.0, 2.0)
    assert model.status(model.head, "c", 40) == "active"


def test_rollback_of_everything_is_one_append_of_what_differs(model: Model) -> None:
    for n, (config, scope) in enumerate([("same", "global"), ("off", "world"), ("new", "session")]):
        model.create(config, content({TEMPO: 1.2 + n / 10}, scope), 10 + n)
    model.activate("same", 20)
    model.activate("off", 21)  # position 6: the target
    model.deactivate("off", 30)
    model.activate("new", 40)
    assert model.roll_back(6, 50) == "ok"
    assert [(f.kind, f.of, f.recorded_at) for f in model.facts[8:]] == [
        ("rolled_back", "off", 50),
        ("deactivated", "new", 51),
    ]
    assert (at(model, 49), at(model, 51)) == (1.4, 1.3)


def test_rollback_to_what_is_so_already_appends_nothing(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.activate("c", 20)
    assert model.roll_back(3, 30) == "ok"
    assert model.head == 3


def test_rollback_of_a_place_leaves_the_others(model: Model) -> None:
    model.create("g", tempo(1.5), 10)
    model.create("w", tempo(1.6, "world"), 11)
    model.activate("g", 20)
    model.activate("w", 21)
    assert model.roll_back(1, 30, scope="world") == 422
    assert model.roll_back(1, 30, scope="world", ref="w1") == "ok"
    assert at(model, 30) == 1.5
    assert model.roll_back(1, 40, scope="global") == "ok"
    assert at(model, 40) == 1.0


# --- freezes ---


def frozen_world(model: Model) -> Model:
    """World w1 is frozen from 100 to 200, everything from 150 to 180."""
    model.create("w", tempo(2.0, "world", valid_from=120, valid_to=190), 10)
    model.create("g", content({HINTS: 0.5}, valid_from=120, valid_to=170), 20)
    model.activate("w", 30)
    model.activate("g", 40)
    model.freeze("world", "w1", 100)
    model.freeze("global", "global", 150)
    model.unfreeze("global", "global", 180)
    model.unfreeze("world", "w1", 200)
    return model


def test_windows_neither_open_nor_close_under_a_freeze(model: Model) -> None:
    frozen_world(model)
    # The world's clock stands at 100 until 200, when its window is over already.
    assert {at(model, instant) for instant in range(95, 205)} == {1.0}
    assert model.status(8, "w", 195) == "scheduled"
    assert model.status(model.head, "w", 199) == "scheduled"
    assert model.status(model.head, "w", 200) == "expired"


def test_a_freeze_of_a_world_does_not_stop_a_global_config(model: Model) -> None:
    frozen_world(model)
    values = [at(model, instant, HINTS) for instant in (119, 120, 150, 179, 180)]
    assert values == [0.05, 0.5, 0.5, 0.5, 0.05]


def test_what_a_freeze_refuses(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.create("draft", tempo(2.0), 11)
    model.activate("c", 20)
    model.activate("c", 30)
    model.freeze("global", "global", 40)
    assert model.activate("c", 50) == model.deactivate("c", 50) == model.archive("c", 50) == 423
    assert model.change_rollout("c", 50, percentage=5) == model.roll_back_config("c", 50) == 423
    assert model.kill(TEMPO, 50) == model.roll_back(1, 50) == 423
    assert model.freeze("global", "global", 50) == model.restore(TEMPO, 50) == 409
    assert model.create("other", tempo(2.0), 50) == model.revise("c", tempo(2.5), 1, 60) == "ok"
    assert model.archive("draft", 70) == model.unfreeze("global", "global", 80) == "ok"


def test_break_glass_needs_a_reason(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.activate("c", 20)
    model.freeze("world", "w1", 30)
    assert model.kill(TEMPO, 40) == 423
    assert model.kill(TEMPO, 40, break_glass=True) == 422
    assert model.kill(TEMPO, 40, break_glass=True, reason="fire") == "ok"
    assert (at(model, 39), at(model, 40)) == (2.0, 1.0)


def test_a_rollback_that_changes_nothing_under_the_freeze_is_let_through(model: Model) -> None:
    model.create("g", tempo(1.5), 10)
    model.create("w", tempo(1.6, "world"), 11)
    model.activate("w", 20)
    model.freeze("world", "w1", 30)
    model.activate("g", 40)
    assert model.roll_back(4, 50) == "ok"
    assert model.roll_back(3, 60) == 423
    assert model.roll_back(3, 60, break_glass=True, reason="fire") == "ok"


# --- kills ---


def test_a_killed_lever_is_its_default_and_a_gate_is_off(model: Model) -> None:
    model.create("c", content({TEMPO: 2.0, "TOOLS_GATE": "readonly"}), 10)
    model.activate("c", 20)
    model.kill(TEMPO, 30)
    model.kill("TOOLS_GATE", 31)
    model.restore("TOOLS_GATE", 40)
    assert [at(model, instant) for instant in (29, 30, 99)] == [2.0, 1.0, 1.0]
    gates = [at(model, instant, "TOOLS_GATE") for instant in (30, 31, 39, 40)]
    assert gates == ["readonly", "off", "off", "readonly"]


# --- targeting and rollout ---


def ruled(rule: str, bindings: Mapping[str, Any]) -> Any:
    return {"high": lambda b: b["level"] >= 10, "eu": lambda b: b["region"] == "eu"}[rule](bindings)


@pytest.mark.parametrize(
    ("targeting", "attributes", "applies"),
    [
        (None, {}, True),
        ({"include": "high"}, {"level": 10}, True),
        ({"include": "high"}, {"level": 9}, False),
        ({"include": "high"}, {}, False),
        ({"exclude": "eu"}, {"region": "us"}, True),
        ({"exclude": "eu"}, {"region": "eu"}, False),
        ({"exclude": "eu"}, {}, False),
        ({"include": "high", "exclude": "eu"}, {"level": 10, "region": "us"}, True),
        ({"include": "high", "exclude": "eu"}, {"level": 10, "region": "eu"}, False),
    ],
)
def test_targeting(targeting: Any, attributes: dict[str, Any], applies: bool) -> None:
    model = Model(CATALOG, matches=ruled)
    model.create("c", tempo(2.0, targeting=targeting), 10)
    model.activate("c", 20)
    values = model.resolve(model.head, {"session_id": "s", "attributes": attributes}, 20)
    assert values[TEMPO] == (2.0 if applies else 1.0)


def test_a_percentage_includes_the_buckets_below_it(model: Model) -> None:
    edge = bucket_of("salt", "s1") / 1000
    for n, percentage in enumerate((edge, round(edge + 0.001, 3))):
        rollout = {"percentage": percentage, "unit": "session_id", "salt": "salt"}
        model.create(str(n), tempo(2.0 + n, rollout=rollout), 10 * n + 1)
        model.activate(str(n), 10 * n + 2)
    assert (at(model, 2), at(model, 12)) == (1.0, 3.0)


def test_a_missing_unit_is_not_included_even_at_all_of_them(model: Model) -> None:
    model.create("c", tempo(2.0, rollout={"percentage": 100, "unit": "guild"}), 10)
    model.activate("c", 20)
    asked = [{"session_id": "s", "attributes": attributes} for attributes in ({}, {"guild": "g"})]
    assert [model.resolve(3, context, 20)[TEMPO] for context in asked] == [1.0, 2.0]


def test_a_ramp_is_nothing_before_its_first_step(model: Model) -> None:
    ramp = [{"at": 50, "percentage": 100}, {"at": 60, "percentage": 0}]
    model.create("c", tempo(2.0, rollout={"ramp": ramp, "unit": "session_id"}), 10)
    model.activate("c", 20)
    assert [at(model, instant) for instant in (49, 50, 59, 60)] == [1.0, 2.0, 2.0, 1.0]
    model.freeze("global", "global", 55)
    assert [at(model, instant) for instant in (54, 60, 99)] == [2.0, 2.0, 2.0]


def test_a_rollout_change_gives_a_new_rank(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.create("rival", tempo(3.0), 11)
    model.activate("c", 20)
    model.activate("rival", 21)
    assert model.change_rollout("c", 30, percentage=100) == "ok"
    assert (at(model, 29), at(model, 30)) == (3.0, 2.0)
    assert model.change_rollout("c", 40, percentage=0.0005) == 422
    assert model.change_rollout("c", 40, percentage=100.001) == 422
    model.roll_back_config("c", 50)
    assert at(model, 50) == 3.0


# --- experiments ---

ALL = {"percentage": 100, "unit": "session_id", "group": None, "holdout": None}


def experiment(name: str, **more: Any) -> dict[str, Any]:
    return {"experiment_id": name, "variations": [("a", 1), ("b", 1)], **ALL, **more}


def given(model: Model, **context: Any) -> dict[str, str]:
    return model.variations(model.head, {"session_id": "s1", **context}, 10**6)


def test_the_first_variation_above_the_place_of_the_hash_is_drawn(model: Model) -> None:
    h = mmh3.hash(b"x:variation:s1", signed=False)
    for weights in ([1, 1], [1, 9], [9, 1], [0, 1], [1, 0], [3, 4]):
        variations = list(zip("ab", weights, strict=True))
        model.start_experiment(experiment("x", variations=variations), model.head)
        expected = "a" if weights[0] > (h * sum(weights)) >> 32 else "b"
        assert given(model) == {"x": expected}
        model.stop_experiment("x", model.head)


def test_an_experiment_takes_the_buckets_below_its_percentage(model: Model) -> None:
    edge = bucket_of("x", "s1") / 1000
    model.start_experiment(experiment("x", percentage=edge), 10)
    assert given(model) == {}
    model.change_experiment("x", round(edge + 0.001, 3), 20)
    assert given(model).keys() == {"x"}


def test_who_is_held_out_is_in_nothing_unless_it_says_so(model: Model) -> None:
    edge = bucket_of("h:holdout", "s1") / 1000
    model.start_experiment(experiment("x", holdout=("h", round(edge + 0.001, 3))), 10)
    model.start_experiment(experiment("y", holdout=("i", 0)), 11)
    assert given(model).keys() == {"y"}
    assert given(model, experiments={"x": "b", "y": "c"}) == {"x": "b", "y": "c"}
    assert given(model, experiment_id="x").keys() == {"y"}


def test_a_group_gives_its_lowest_free_buckets(model: Model) -> None:
    for name, percentage in [("x", 40), ("y", 30)]:
        assert model.start_experiment(experiment(name, percentage=percentage, group="g"), 1) == "ok"
    assert model.start_experiment(experiment("z", percentage=30.001, group="g"), 2) == 409
    assert model.change_experiment("x", 60, 3) == "ok"
    assert model.change_experiment("x", 50, 4) == "ok"
    buckets = [fact.data["buckets"] for fact in model.facts[1:]]
    assert buckets[1] == [*range(40_000, 70_000)]
    assert buckets[2] == [*range(40_000), *range(70_000, 90_000)]
    assert buckets[3] == [*range(40_000), *range(70_000, 80_000)]


def test_experiments_that_cannot_run_together(model: Model) -> None:
    model.start_experiment(experiment("x", percentage=10, group="g", holdout=("h", 5)), 10)
    assert model.start_experiment(experiment("x"), 20) == 409
    assert model.start_experiment(experiment("y", group="g", unit="world_id"), 20) == 409
    assert model.start_experiment(experiment("y", holdout=("h", 6)), 20) == 409
    assert model.start_experiment(experiment("y", holdout=("h", 5), unit="world_id"), 20) == 409
    assert model.start_experiment(experiment("y", holdout=("i", 6), unit="world_id"), 20) == "ok"


def test_what_is_asked_of_experiments_in_vain(model: Model) -> None:
    assert model.change_experiment("x", 50, 1) == model.stop_experiment("x", 1) == 404
    model.start_experiment(experiment("x"), 10)
    assert model.change_experiment("x", 100, 20) == 409
    model.freeze("experiment", "x:b", 30)
    assert model.change_experiment("x", 50, 40) == model.stop_experiment("x", 40) == 423
    assert model.start_experiment(experiment("y", variations=[("b", 1)]), 40) == "ok"
    model.unfreeze("experiment", "x:b", 50)
    model.stop_experiment("x", 60)
    assert model.change_experiment("x", 50, 70) == model.stop_experiment("x", 70) == 409


def test_configs_of_an_experiment_reach_who_is_given_a_variation(model: Model) -> None:
    model.create("x", tempo(1.5, "experiment"), 10)
    model.create("xb", tempo(2.0, "experiment", scope_ref="x:b", priority=1), 11)
    model.activate("x", 12)
    model.activate("xb", 13)
    model.start_experiment(experiment("x", variations=[("b", 1)]), 20)
    model.stop_experiment("x", 30)
    values = [model.resolve(model.head, NOBODY, instant)[TEMPO] for instant in (19, 20, 29, 30)]
    assert values == [1.0, 2.0, 2.0, 1.0]


def test_a_rollback_turns_experiments_back_in_one_order(model: Model) -> None:
    for name in ("ended", "shrank"):
        model.start_experiment(experiment(name, percentage=50, group="g"), 10)
    target = model.head
    model.stop_experiment("ended", 20)
    model.change_experiment("shrank", 10, 21)
    model.start_experiment(experiment("begun"), 22)
    before = model.head
    assert model.roll_back(target, 30, scope="experiment", ref="begun") == "ok"
    assert model.roll_back(target, 40) == "ok"
    assert [(fact.kind, fact.of) for fact in model.facts[before:]] == [
        ("experiment_stopped", "begun"),
        ("experiment_changed", "shrank"),
        ("experiment_started", "ended"),
    ]


def test_an_experiment_whose_buckets_another_has_by_now_is_not_turned_back_alone(
    model: Model,
) -> None:
    model.start_experiment(experiment("x", percentage=60, group="g"), 10)
    target = model.head
    model.change_experiment("x", 50, 20)
    model.start_experiment(experiment("y", percentage=50, group="g"), 30)
    assert model.roll_back(target, 40, scope="experiment", ref="x") == 409
    assert model.roll_back(target, 40) == "ok"


# --- shadows ---


def test_a_shadow_shows_beside_what_is(model: Model) -> None:
    model.create("c", tempo(2.0), 10)
    model.activate("c", 20)
    model.revise("c", tempo(4.46), 1, 30)
    assert model.start_shadow("c", 40) == "ok"
    model.stop_shadow("c", 50)
    instants = (39, 40, 49, 50)
    beside = [model.resolve(6, PLAYER, instant, shadow=True)[TEMPO] for instant in instants]
    assert beside == [2.0, 4.46, 4.46, 2.0]
    assert [at(model, instant) for instant in instants] == [2.0] * 4


def test_what_is_asked_of_shadows_in_vain(model: Model) -> None:
    assert model.start_shadow("c", 1) == model.stop_shadow("c", 1) == 404
    model.create("c", tempo(2.0), 10)
    model.revise("c", tempo(2.5), 1, 20)
    assert model.stop_shadow("c", 30) == 409
    assert model.start_shadow("c", 30, revision=3) == 404
    assert model.start_shadow("c", 30, expected_revision=1) == 412
    assert model.start_shadow("c", 30) == "ok"
    assert model.start_shadow("c", 40, revision=2) == 409
    assert model.start_shadow("c", 40, revision=1) == model.archive("c", 50) == "ok"
    assert model.start_shadow("c", 60) == model.stop_shadow("c", 60) == 409


# --- another catalog ---


def test_a_lever_that_the_catalog_in_force_lacks_is_skipped(model: Model) -> None:
    model.create("c", content({TEMPO: 2.0, HINTS: 0.5}), 10)
    model.activate("c", 20)
    only = {"levers": [lever for lever in CATALOG["levers"] if lever["name"] == HINTS]}
    model.adopt(only, 30)
    assert model.resolve(model.head, PLAYER, 30) == {HINTS: 0.5}
    assert at(model, 29) == 2.0
