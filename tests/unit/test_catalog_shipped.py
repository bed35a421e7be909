"""The catalog that ships, against the bounds that the seed lists, and its reference page."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from ledger.catalog import Catalog, Rule, shipped_catalog
from ledger.handbook import levers_page

CATALOG = shipped_catalog()
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"

NUMBERS = """
AWF_MAX_INPUT_TOKENS 1000 12000 critical
AWF_MAX_OUTPUT_TOKENS 500 8000 critical
AWF_INPUT_TOKEN_MULTIPLIER 0.1 2.0 critical
AWF_OUTPUT_TOKEN_MULTIPLIER 0.1 2.0 critical
AWF_TOOL_CALL_QUOTA 1 20
AWF_MOD_MICRO_SLICE_CAP 100 2000
QUEST_PACING_TEMPO_MULTIPLIER 0.1 3.0
QUEST_OBJECTIVE_HINT_FREQUENCY 0.0 1.0
SOFT_LOCK_HINT_FREQUENCY 0.0 1.0
SOFT_LOCK_MAX_TURNS_WITHOUT_PROGRESS 5 50
SKILL_CHECK_DIFFICULTY_BIAS -0.5 0.5
SKILL_CHECK_SUCCESS_RATE_MULTIPLIER 0.0 1.0
RESOURCE_REGEN_MULTIPLIER 0.0 1.0
RESOURCE_DECAY_MULTIPLIER 0.0 1.0
TURN_PACING_MULTIPLIER 0.0 1.0
TURN_TIMEOUT_MULTIPLIER 0.0 1.0
DROP_RATE_COMMON_MULTIPLIER 0.0 5.0
DROP_RATE_UNCOMMON_MULTIPLIER 0.0 5.0
DROP_RATE_RARE_MULTIPLIER 0.0 5.0
DROP_RATE_EPIC_MULTIPLIER 0.0 5.0
DROP_RATE_LEGENDARY_MULTIPLIER 0.0 10.0 critical
VENDOR_MARGIN_MIN 0.0 0.5
VENDOR_MARGIN_MAX 0.1 0.8
VENDOR_STOCK_REFRESH_MULTIPLIER 0.0 1.0
CRAFTING_QUALITY_BIAS -0.5 0.5
CRAFTING_SUCCESS_RATE_MULTIPLIER 0.0 1.0
CURRENCY_SINK_DAILY_CAP 0 10000
CURRENCY_SOURCE_DAILY_CAP 0 10000
ECONOMIC_ACTIVITY_MULTIPLIER 0.0 1.0
TRADE_FREQUENCY_MULTIPLIER 0.0 1.0
WORLD_EVENT_RATE_MULTIPLIER 0.0 5.0
WORLD_EVENT_SEVERITY_MULTIPLIER 0.0 1.0
WEATHER_VOLATILITY_MULTIPLIER 0.0 3.0
WEATHER_FRONT_FREQUENCY_MULTIPLIER 0.0 1.0
REGION_DRIFT_STEP_CAP 1 10
REGION_DRIFT_FREQUENCY_MULTIPLIER 0.0 1.0
WORLD_STATE_PERSISTENCE_MULTIPLIER 0.0 1.0
WORLD_STATE_DECAY_MULTIPLIER 0.0 1.0
DIALOGUE_CANDIDATE_CAP 1 20
DIALOGUE_CANDIDATE_SCORE_THRESHOLD 0.0 1.0
DIALOGUE_COOLDOWN_MULTIPLIER 0.0 1.0
ROMANCE_COOLDOWN_TURNS 1 100
ROMANCE_PROGRESSION_MULTIPLIER 0.0 1.0
DIALOGUE_ENGAGEMENT_MULTIPLIER 0.0 1.0
DIALOGUE_DEPTH_MULTIPLIER 0.0 1.0
PARTY_MAX_ACTIVE_MEMBERS 1 8
PARTY_DELEGATE_CHECK_RATE 0.0 1.0
PARTY_COHESION_MULTIPLIER 0.0 1.0
PARTY_CONFLICT_MULTIPLIER 0.0 1.0
PARTY_MEMBER_SATISFACTION_MULTIPLIER 0.0 1.0
PARTY_MEMBER_LOYALTY_MULTIPLIER 0.0 1.0
"""
GATE = ("off", "readonly", "full")
CHOICES = {
    "AWF_MODEL_TIER_ALLOWLIST": ("gpt-4", "gpt-3.5-turbo", "claude-3", "claude-2"),
    "ROMANCE_CONSENT_STRICTNESS": ("strict", "moderate", "lenient"),
    "DIALOGUE_GATE": GATE,
    "WORLDSIM_GATE": GATE,
    "PARTY_GATE": GATE,
    "MODS_GATE": GATE,
    "TOOLS_GATE": GATE,
    "ECONOMY_KERNEL_GATE": GATE,
}


def test_every_numeric_lever_has_the_seeds_bounds_and_critical_mark() -> None:
    listed = [
        f"{lever.name} {lever.min} {lever.max}{' critical' * lever.critical}"
        for lever in CATALOG.levers.values()
        if lever.max is not None
    ]
    assert listed == NUMBERS.split("\n")[1:-1]


def test_every_choice_has_the_seeds_values() -> None:
    chosen = {lever.name: lever.values for lever in CATALOG.levers.values() if lever.values}
    assert chosen == CHOICES


def test_the_intent_mix_is_three_bounded_fields() -> None:
    fields = CATALOG.levers["PARTY_INTENT_MIX_BIAS"].fields or {}
    assert list(fields) == ["COOPERATIVE", "COMPETITIVE", "NEUTRAL"]
    assert {(field.type, field.min, field.max) for field in fields.values()} == {("float", 0, 1)}


def test_there_are_sixty_levers_and_one_rule_between_two() -> None:
    assert len(CATALOG.levers) == 60
    assert CATALOG.rules == (Rule("VENDOR_MARGIN_MIN", "VENDOR_MARGIN_MAX"),)


def test_the_file_is_what_its_catalog_writes() -> None:
    shipped = json.loads(files("ledger").joinpath("catalog.json").read_bytes())
    assert json.dumps(CATALOG.to_json()) == json.dumps(shipped)
    assert Catalog.from_json(shipped) == CATALOG


def test_defaults_are_in_the_files_order() -> None:
    assert list(CATALOG.defaults) == list(CATALOG.names)
    assert CATALOG.defaults["AWF_MAX_INPUT_TOKENS"] == 4000


@pytest.mark.parametrize("gate", [name for name in CHOICES if name.endswith("_GATE")])
def test_a_killed_gate_is_off(gate: str) -> None:
    assert CATALOG.kill_value(gate) == "off"
    assert CATALOG.defaults[gate] == "full"


def test_any_other_killed_lever_is_at_its_default() -> None:
    others = [name for name in CATALOG.names if not name.endswith("_GATE")]
    assert len(others) == 54
    assert all(CATALOG.kill_value(name) == CATALOG.defaults[name] for name in others)


# --- Documentation ---


def test_the_reference_page_is_current() -> None:
    assert (REFERENCE / "levers.md").read_text() == levers_page(CATALOG), "run: make docs"


def test_the_reference_page_has_a_row_for_every_lever() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)`", levers_page(CATALOG), re.MULTILINE)
    assert rows == list(CATALOG.names)
