"""What a payload may hold: normal forms, severities, and every violation listed."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from ledger.catalog import Catalog, shipped_catalog
from ledger.validation import CODES, Checked, validate

Json = Any

SHIPPED = shipped_catalog()
NAN, INFINITE = float("nan"), float("inf")
HINTS = "SOFT_LOCK_HINT_FREQUENCY"  # float, 0 to 1
MARGIN = "VENDOR_MARGIN_MAX"  # float, 0.1 to 0.8
MEMBERS = "PARTY_MAX_ACTIVE_MEMBERS"  # integer, 1 to 8
TOKENS = "AWF_MAX_INPUT_TOKENS"  # integer, 1000 to 12000, critical
TIERS = "AWF_MODEL_TIER_ALLOWLIST"  # enum_list
GATE = "DIALOGUE_GATE"  # enum
MIX = "PARTY_INTENT_MIX_BIAS"  # object of three floats, 0 to 1


def typed(kind: str, **more: Json) -> Catalog:
    """A catalog of the one lever `it`."""
    entry = {"name": "it", "group": "g", "type": kind, **more}
    return Catalog.from_json({"levers": [entry]})


NIGHT = typed("boolean", default=False)
PAUSE = typed("duration", default=60, min=0, max="1h")


def check(lever: str, value: Json, *, strict: bool = True) -> Checked:
    catalog = {"pause": PAUSE, "night": NIGHT}.get(lever, SHIPPED)
    return validate(catalog, {"it" if catalog is not SHIPPED else lever: value}, strict=strict)


def found(checked: Checked) -> list[tuple[str, str]]:
    return [(violation.severity.value, violation.code) for violation in checked.violations]


# --- Bounds ---


@pytest.mark.parametrize(
    ("lever", "value", "strict", "lenient"),
    [
        (HINTS, 0.0, None, None),
        (HINTS, 1.0, None, None),
        (HINTS, 1.0000000000000002, "warning", "warning"),
        (HINTS, -5e-324, "warning", "warning"),
        (HINTS, 1.5, "warning", "warning"),
        (HINTS, 1.5000000000000002, "error", "warning"),
        (HINTS, -0.5, "warning", "warning"),
        (HINTS, -0.51, "error", "warning"),
        (HINTS, "150%", "warning", "warning"),
        (HINTS, 1e308, "error", "warning"),
        (MARGIN, 1.15, "warning", "warning"),
        (MARGIN, 1.151, "error", "warning"),
        (MARGIN, -0.25, "warning", "warning"),
        (MARGIN, -0.251, "error", "warning"),
        (MEMBERS, 8, None, None),
        (MEMBERS, 11, "warning", "warning"),
        (MEMBERS, 12, "error", "warning"),
        (MEMBERS, 0, "warning", "warning"),
        (MEMBERS, -3, "error", "warning"),
        (TOKENS, 12000, None, None),
        (TOKENS, 12001, "critical", "critical"),
        (TOKENS, 999, "critical", "critical"),
        (TOKENS, 10**9, "critical", "critical"),
        (MIX, {"NEUTRAL": 1.2}, "warning", "warning"),
        (MIX, {"NEUTRAL": 2}, "error", "warning"),
        ("pause", "1h30m", "warning", "warning"),
        ("pause", "1h30m0.001s", "error", "warning"),
    ],
)
def test_how_far_out_of_bounds_says_how_bad_it_is(
    lever: str, value: Json, strict: str | None, lenient: str | None
) -> None:
    for is_strict, severity in ((True, strict), (False, lenient)):
        checked = check(lever, value, strict=is_strict)
        assert found(checked) == ([(severity, "out_of_bounds")] if severity else [])
        assert not checked.refuses_draft
        assert checked.refuses_activation == (severity in {"critical", "error"})


@pytest.mark.parametrize(
    "payload",
    [
        {
            "QUEST_PACING_TEMPO_MULTIPLIER": 0.8,
            "SOFT_LOCK_HINT_FREQUENCY": 0.2,
            "SKILL_CHECK_SUCCESS_RATE_MULTIPLIER": 1.1,
        },
        {
            "DROP_RATE_LEGENDARY_MULTIPLIER": 1.5,
            "ECONOMIC_ACTIVITY_MULTIPLIER": 1.2,
            "VENDOR_MARGIN_MIN": 0.05,
        },
    ],
)
def test_the_seeds_examples_that_step_over_a_bound_activate_with_one_warning(
    payload: dict[str, Json],
) -> None:
    checked = validate(SHIPPED, payload, strict=True)
    assert found(checked) == [("warning", "out_of_bounds")]
    assert not checked.refuses_activation
    assert checked.payload == payload


def test_a_lever_with_no_span_is_far_out_at_once() -> None:
    catalog = typed("float", default=1, min=1, max=1)
    assert found(validate(catalog, {"it": 1.1}, strict=True)) == [("error", "out_of_bounds")]


def test_a_critical_object_is_critical_in_every_field() -> None:
    fields = {"x": {"type": "integer", "min": 0, "max": 9}, "on": {"type": "boolean"}}
    catalog = typed("object", fields=fields, default={"x": 0, "on": True}, critical=True)
    checked = validate(catalog, {"it": {"x": 10, "on": False}}, strict=False)
    assert found(checked) == [("critical", "out_of_bounds")]


# --- Rules between levers ---


@pytest.mark.parametrize(
    ("low", "high", "broken"),
    [
        (0.3, 0.3, False),
        (0.3, 0.2, True),
        ("30%", "20%", True),
        (0.3, None, False),
        (None, 0.1, False),
        (0.3, "low", False),
    ],
)
def test_margins_of_one_payload_must_be_in_order(low: Json, high: Json, *, broken: bool) -> None:
    given = {"VENDOR_MARGIN_MIN": low, "VENDOR_MARGIN_MAX": high}
    payload = {lever: value for lever, value in given.items() if value is not None}
    checked = validate(SHIPPED, payload, strict=False)
    assert (("error", "rule_broken") in found(checked)) == broken
    assert checked.refuses_draft == (broken or high == "low")


# --- What is said of it ---


def test_everything_that_is_wrong_is_listed_in_the_payloads_order() -> None:
    payload = {
        "VENDOR_MARGIN_MIN": 0.6,
        "NO_SUCH_LEVER": 1,
        TIERS: ["gpt-5", "gpt-4", "gpt-4"],
        MIX: {"NEUTRAL": 7, "HOSTILE": 1, "COOPERATIVE": "much"},
        "VENDOR_MARGIN_MAX": 0.5,
    }
    checked = validate(SHIPPED, payload, strict=True)
    assert [(violation.lever, violation.code) for violation in checked.violations] == [
        ("VENDOR_MARGIN_MIN", "out_of_bounds"),
        ("NO_SUCH_LEVER", "unknown_lever"),
        (TIERS, "not_in_enum"),
        (TIERS, "repeated_value"),
        (MIX, "unknown_field"),
        (MIX, "wrong_type"),
        (MIX, "out_of_bounds"),
        ("VENDOR_MARGIN_MIN", "rule_broken"),
    ]


def test_only_levers_without_an_error_of_their_own_are_in_the_payload() -> None:
    payload = {MIX: {"NEUTRAL": 1, "HOSTILE": 1}, HINTS: 0.5, TOKENS: "many"}
    assert validate(SHIPPED, payload, strict=True).payload == {HINTS: 0.5}


@pytest.mark.parametrize(
    ("lever", "value", "written"),
    [
        (
            HINTS,
            2,
            {
                "lever": HINTS,
                "value": 2.0,
                "severity": "error",
                "code": "out_of_bounds",
                "message": f"{HINTS} is 2.0, far outside 0.0 to 1.0",
                "bounds": {"min": 0.0, "max": 1.0},
            },
        ),
        (
            MIX,
            {"NEUTRAL": "a"},
            {
                "lever": MIX,
                "value": "a",
                "severity": "error",
                "code": "wrong_type",
                "message": f'{MIX}.NEUTRAL must be a number, or a percentage like "50%"; got "a"',
                "bounds": {"min": 0.0, "max": 1.0},
                "field": "NEUTRAL",
            },
        ),
        (
            GATE,
            "on",
            {
                "lever": GATE,
                "value": "on",
                "severity": "error",
                "code": "not_in_enum",
                "message": f'{GATE} must be one of off, readonly, full; got "on"',
                "bounds": {"values": ["off", "readonly", "full"]},
            },
        ),
    ],
)
def test_a_violation_says_what_where_and_how_bad(
    lever: str, value: Json, written: dict[str, Json]
) -> None:
    assert [violation.to_json() for violation in check(lever, value).violations] == [written]


@pytest.mark.parametrize(
    ("lever", "value", "bounds"),
    [
        (TIERS, ["x"], {"values": ["gpt-4", "gpt-3.5-turbo", "claude-3", "claude-2"]}),
        (MIX, {"x": 1}, {"fields": ["COOPERATIVE", "COMPETITIVE", "NEUTRAL"]}),
        (MIX, 5, {"fields": ["COOPERATIVE", "COMPETITIVE", "NEUTRAL"]}),
        (MEMBERS, "x", {"min": 1, "max": 8}),
        ("night", 5, None),
        ("NO_SUCH_LEVER", 5, None),
    ],
)
def test_the_bounds_are_those_that_the_value_must_fit(
    lever: str, value: Json, bounds: Json
) -> None:
    assert check(lever, value).violations[0].to_json()["bounds"] == bounds


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("dialogue_gate", "DIALOGUE_GATE"),
        ("DIALOGE_GATE", "DIALOGUE_GATE"),
        (" AWF_MAX_INPUT_TOKEN", "AWF_MAX_INPUT_TOKENS"),
    ],
)
def test_an_unknown_lever_that_looks_like_one_is_answered_with_it(
    name: str, suggested: str
) -> None:
    assert f"did you mean {suggested}?" in check(name, 1).violations[0].message


def test_a_lever_that_looks_like_none_gets_no_suggestion() -> None:
    assert check("xyz", 1).violations[0].message == "the catalog has no lever xyz"


def test_suggestions_end_where_a_payload_is_all_junk() -> None:
    payload = dict.fromkeys([f"DIALOGUE_GATE{number}" for number in range(100)], "off")
    messages = [
        violation.message for violation in validate(SHIPPED, payload, strict=True).violations
    ]
    assert len(messages) == 100
    assert sum("did you mean" in message for message in messages) == 20


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (NAN, "NaN"),
        (INFINITE, "Infinity"),
        (-INFINITE, "-Infinity"),
        (2**64, "18446744073709551616"),
        pytest.param(10**5000, "(a whole number of 16610 bits)", id="huge"),
        ("\ud800", "\\ud800"),
        ("x" * 201, "x" * 200 + "…"),
        (list(range(21)), "(21 parts)"),
        ({"a": [[[NAN]]]}, {"a": [["(1 parts)"]]}),
        (b"bytes", "(bytes)"),
    ],
)
def test_a_value_that_json_cannot_carry_is_shown_as_text(value: Json, shown: Json) -> None:
    violation = check(GATE, value).violations[0]
    assert violation.value == shown
    assert json.loads(orjson.dumps(violation.to_json()))["value"] == shown


def test_every_code_is_in_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "lever-values.md"
    text = page.read_text()
    assert [code for code in sorted(CODES) if f"`{code}`" not in text] == []
