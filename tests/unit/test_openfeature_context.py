"""Evaluation contexts of Python programs, read as contexts of a game."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import InvalidContextError, TargetingKeyMissingError

from consumers.openfeature.context import DEEPEST, read_context
from ledger.scopes import Context


class Tier(StrEnum):
    GOLD = "gold"


class Rank(IntEnum):
    FIRST = 1


class Money(float):
    pass


def attribute(value: Any) -> Any:
    return read_context(EvaluationContext("s1", {"it": value})).attributes["it"]


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


def test_reserved_names_and_attributes_are_told_apart() -> None:
    given: dict[str, Any] = {"turn_id": 7, "world_id": "w", "experiments": {"x": "b"}, "level": 5}
    expected = Context(
        "s1", turn_id=7, world_id="w", experiments={"x": "b"}, attributes={"level": 5}
    )
    assert read_context(EvaluationContext("s1", given)) == expected


@pytest.mark.parametrize("value", [None, True, 5, 5.0, "a", [1, None], {"a": {"b": [2.5]}}])
def test_what_json_has_is_left_as_it_is(value: Any) -> None:
    assert (attribute(value), type(attribute(value))) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Tier.GOLD, "gold"),
        (Rank.FIRST, 1),
        (Money(2), 2.0),
        ((1, (2,)), [1, [2]]),
        (MappingProxyType({"tier": Tier.GOLD}), {"tier": "gold"}),
    ],
)
def test_other_types_become_the_plain_ones(value: Any, expected: Any) -> None:
    read = attribute(value)
    assert (repr(read), type(read)) == (repr(expected), type(expected))


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 31, 18, 5),  # noqa: DTZ001
        datetime(2026, 1, 31, 18, 5, tzinfo=UTC),
        datetime(2026, 1, 31, 20, 5, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_datetime_is_an_instant_in_utc(value: datetime) -> None:
    assert attribute([value]) == ["2026-01-31T18:05:00.000000Z"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Decimal("1.5"), "it: a value of the type Decimal cannot be read by rules"),
        (b"bytes", "it: a value of the type bytes"),
        (float("nan"), "it: a value of the type float .* a finite number"),
        ({"tags": [1, {2}]}, r"it\.tags\[1\]: a value of the type set"),
        ({1: "a"}, "it: a value of the type int cannot be a name"),
        (nested(DEEPEST + 1), r"it(\[0\])*: lies deeper than 20 levels"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "it: .* years 1 to 9999"),
    ],
)
def test_what_rules_cannot_read_is_refused_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(InvalidContextError) as refused:
        attribute(value)
    assert re.match(told, refused.value.error_message or "")


def test_attributes_may_be_deep() -> None:
    assert attribute(nested(DEEPEST)) == nested(DEEPEST)


@pytest.mark.parametrize("asked", [None, EvaluationContext(), EvaluationContext("")])
def test_without_a_targeting_key_there_is_no_session(asked: EvaluationContext | None) -> None:
    with pytest.raises(TargetingKeyMissingError) as refused:
        read_context(asked)
    assert "targeting key" in (refused.value.error_message or "")


def test_what_cannot_be_of_the_game_is_refused() -> None:
    with pytest.raises(InvalidContextError) as refused:
        read_context(EvaluationContext("s1", {"world_id": 5}))
    assert (refused.value.error_message or "").startswith("world_id: must be a text")
