"""Which values a lever takes, and the one form in which each is stored."""

from typing import Any

import pytest

from ledger.catalog import Catalog, shipped_catalog
from ledger.validation import validate

Json = Any

SHIPPED = shipped_catalog()
NAN, INFINITE = float("nan"), float("inf")
HINTS = "SOFT_LOCK_HINT_FREQUENCY"  # float
BIAS = "CRAFTING_QUALITY_BIAS"  # float
TOKENS = "AWF_MAX_INPUT_TOKENS"  # integer, critical
TIERS = "AWF_MODEL_TIER_ALLOWLIST"  # enum_list
GATE = "DIALOGUE_GATE"  # enum
MIX = "PARTY_INTENT_MIX_BIAS"  # object of three floats

OTHERS = Catalog.from_json(
    {
        "levers": [
            {"name": "night", "group": "g", "type": "boolean", "default": False},
            {
                "name": "pause",
                "group": "g",
                "type": "duration",
                "default": 9,
                "min": 0,
                "max": 99999,
            },
        ]
    }
)


def catalog_of(lever: str) -> Catalog:
    return OTHERS if lever in OTHERS.levers else SHIPPED


@pytest.mark.parametrize(
    ("lever", "value", "stored"),
    [
        (HINTS, "50%", 0.5),
        (HINTS, " 12.5 % ", 0.125),
        (HINTS, "+.5%", 0.005),
        (HINTS, "7.%", 0.07),
        (HINTS, "29%", 0.29),
        (HINTS, "-0%", 0.0),
        (HINTS, 1, 1.0),
        (HINTS, -0.0, 0.0),
        (HINTS, 5e-324, 5e-324),
        (BIAS, "-25%", -0.25),
        (TOKENS, 5000.0, 5000),
        (TOKENS, 5000, 5000),
        ("CURRENCY_SINK_DAILY_CAP", -0.0, 0),
        (GATE, "\tReadOnly ", "readonly"),
        (TIERS, ["Claude-3", " GPT-4"], ["claude-3", "gpt-4"]),
        (TIERS, ("gpt-4",), ["gpt-4"]),
        (MIX, {"NEUTRAL": "10%"}, {"NEUTRAL": 0.1}),
        (MIX, {"NEUTRAL": 1, "COOPERATIVE": 0}, {"NEUTRAL": 1.0, "COOPERATIVE": 0.0}),
        ("pause", "90s", 90),
        ("pause", "5m", 300),
        ("pause", " 1h30m ", 5400),
        ("pause", "1h 30m", 5400),
        ("pause", "0.5h", 1800),
        ("pause", "250ms", 0.25),
        ("pause", "1m0.1s", 60.1),
        ("pause", "0d", 0),
        ("pause", 90, 90),
        ("pause", 90.0, 90),
        ("pause", 0.5, 0.5),
        ("night", True, True),
    ],
)
def test_a_value_is_stored_in_its_normal_form(lever: str, value: Json, stored: Json) -> None:
    checked = validate(catalog_of(lever), {lever: value}, strict=True)
    assert repr(checked.payload) == repr({lever: stored})
    assert checked.violations == ()


REFUSED: list[tuple[str, str, list[Json]]] = [
    (HINTS, "wrong_type", [True, None, [], {}, "", "0.5", "50", "NaN", "50 percent"]),
    (HINTS, "wrong_type", ["%", "-%", "50%%", "5 0%", "1e1%", "1_0%", "\u0665%", "\ud800%"]),
    (HINTS, "wrong_type", ["9" * 31 + "%", "0x10%", "fifty%", "NaN%", "1,5%"]),
    (HINTS, "not_finite", [NAN, INFINITE, -INFINITE]),
    (HINTS, "too_large", [2**53 + 1, 10**400, -(10**5000)]),
    (TOKENS, "wrong_type", [5000.5, False, "5000", "50%", None, [5000]]),
    (TOKENS, "not_finite", [NAN, INFINITE]),
    (TOKENS, "too_large", [2**53, -(2**53), 1e300, 10**5000]),
    (GATE, "not_in_enum", ["on", "", "of f", "\ud800"]),
    (GATE, "wrong_type", [0, False, None, ["off"]]),
    (TIERS, "wrong_type", ["gpt-4", None, {"gpt-4": 1}, 5]),
    (TIERS, "not_in_enum", [["gpt-5"], [4], [["gpt-4"]], [None]]),
    (TIERS, "empty_list", [[]]),
    (TIERS, "repeated_value", [["gpt-4", " GPT-4"]]),
    (MIX, "wrong_type", [[], 5, None, "NEUTRAL", {"NEUTRAL": True}, {"NEUTRAL": None}]),
    (MIX, "empty_object", [{}]),
    (MIX, "unknown_field", [{"neutral": 0.5}, {"": 0.5}]),
    (MIX, "not_finite", [{"NEUTRAL": NAN}]),
    ("pause", "wrong_type", ["90", "", "5", "s", "1h-1m", "1m1h", "1h1h", "5M", "1 h", "-5s"]),
    ("pause", "wrong_type", ["5%", "1w", "1..5s", "\u0665s", True, None, []]),
    ("pause", "not_finite", [NAN, -INFINITE]),
    ("pause", "too_large", [2**53, 1e300, "999999999999999d"]),
    ("night", "wrong_type", [0, 1, 0.0, "true", "false", None, []]),
    ("NO_SUCH_LEVER", "unknown_lever", [5, None]),
    ("dialogue_gate", "unknown_lever", ["off"]),
]


@pytest.mark.parametrize(("lever", "code", "values"), REFUSED, ids=range(len(REFUSED)))
def test_a_value_without_a_normal_form_is_refused(
    lever: str, code: str, values: list[Json]
) -> None:
    for value in values:
        checked = validate(catalog_of(lever), {lever: value}, strict=False)
        assert [(each.severity, each.code) for each in checked.violations] == [("error", code)]
        assert not checked.payload
        assert checked.refuses_draft
        assert checked.refuses_activation
