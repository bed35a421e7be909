"""Typed views: every lever in exactly one, of its type, and not to be changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from consumers import views
from consumers.views import VIEWS, GameSystems, Gate, MissingLever, TokenBudget, Value, View
from ledger.catalog import LeverType, shipped_catalog
from ledger.live import Live
from ledger.resolve import Resolution, resolve
from ledger.scopes import Context

CATALOG = shipped_catalog()
TYPES: dict[LeverType, type] = {
    LeverType.INTEGER: int,
    LeverType.FLOAT: float,
    LeverType.ENUM: str,
    LeverType.ENUM_LIST: list,
    LeverType.OBJECT: dict,
}


def systems(**values: Any) -> GameSystems:
    defaults = resolve(Live(), Context("s"), 0)
    return GameSystems(Resolution({**defaults.values, **values}, 0, defaults.at, defaults.reason))


def properties() -> list[tuple[type[View], str, str]]:
    return [(view, name, lever) for view in VIEWS for name, lever in view.properties().items()]


def test_every_lever_is_in_exactly_one_view() -> None:
    counted = Counter(lever for _, _, lever in properties())
    assert counted == Counter(CATALOG.names)
    assert len(counted) == 60


def test_every_view_is_of_one_group_of_levers() -> None:
    for view in VIEWS:
        assert len({CATALOG.levers[lever].group for lever in view.properties().values()}) == 1


def test_properties_are_named_after_their_levers() -> None:
    for view, name, lever in properties():
        short = lever.lower().removeprefix("awf_")
        assert name == (short.removesuffix("_gate") if view is views.Gates else short)


def test_every_property_tells_its_meaning_and_unit() -> None:
    for view, name, lever in properties():
        doc = getattr(view, name).__doc__
        unit = CATALOG.levers[lever].unit
        assert doc.endswith(".")
        assert unit is None or unit.split("/")[0] in doc, lever


def test_every_property_has_the_type_of_its_lever() -> None:
    game = systems()
    attributes = {type(getattr(game, name)): name for name in GameSystems.__slots__}
    for view, name, lever in properties():
        value = getattr(getattr(game, attributes[view]), name)
        if view is not views.Gates:
            assert type(value) is TYPES[CATALOG.levers[lever].type]
            assert value == CATALOG.defaults[lever]


def test_a_value_is_read_where_it_belongs() -> None:
    game = systems(DROP_RATE_LEGENDARY_MULTIPLIER=1.5, AWF_MAX_INPUT_TOKENS=5000)
    assert game.economy.drop_rate_legendary_multiplier == 1.5
    assert game.tokens.max_input_tokens == 5000
    assert game.resolution.values["AWF_MAX_INPUT_TOKENS"] == 5000


@pytest.mark.parametrize(
    ("mode", "enabled", "readonly"),
    [("off", False, False), ("readonly", True, True), ("full", True, False)],
)
def test_a_gate_tells_what_a_module_may_do(mode: str, enabled: bool, readonly: bool) -> None:
    gate = systems(DIALOGUE_GATE=mode).gates.dialogue
    assert isinstance(gate, Gate)
    assert (gate.mode, gate.is_enabled, gate.is_readonly) == (mode, enabled, readonly)


def test_a_view_cannot_be_changed() -> None:
    tokens = systems().tokens
    with pytest.raises(AttributeError, match="in the ledger"):
        tokens.max_input_tokens = 1
    with pytest.raises(AttributeError):
        tokens.anything = 1  # type: ignore[attr-defined]


def test_a_lever_that_the_catalog_lacks_is_named() -> None:
    with pytest.raises(MissingLever, match="AWF_MAX_INPUT_TOKENS"):
        _ = TokenBudget({}).max_input_tokens


def test_a_property_of_the_class_names_its_lever() -> None:
    described = TokenBudget.tool_call_quota
    assert isinstance(described, Value)
    assert described.lever == "AWF_TOOL_CALL_QUOTA"


def test_a_view_shows_what_it_reads() -> None:
    assert "max_input_tokens=4000" in repr(systems().tokens)
    assert repr(systems().gates.tools) == "Gate('full')"
