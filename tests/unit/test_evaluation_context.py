"""OpenFeature's evaluation contexts, read as contexts of a game."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.evaluation_context import InvalidContext, NoTargetingKey, context_of
from ledger.scopes import Context

Json = Any


def test_the_targeting_key_is_the_session_and_the_rest_are_attributes() -> None:
    read = context_of("s1", {"tier": "gold", "level": 5, "tags": ["a", None], "none": None})
    attributes = {"tier": "gold", "level": 5, "tags": ["a", None], "none": None}
    assert read == Context("s1", attributes=attributes)


def test_reserved_names_are_the_contexts_own_members() -> None:
    named: Json = {
        "session_id": "s1",
        "turn_id": 7,
        "world_id": "w",
        "adventure_id": "a",
        "experiment_id": "e",
        "variation": "v",
    }
    read = context_of("s1", {**named, "experiments": {"x": "b", "y": None}})
    assert read == Context(**named, experiments={"x": "b", "y": None})


def test_reserved_names_that_are_null_are_not_there() -> None:
    absent = ("session_id", "turn_id", "world_id", "variation", "experiments", "at")
    assert context_of("s1", dict.fromkeys(absent)) == Context("s1")


def test_a_turn_in_a_language_with_one_kind_of_number() -> None:
    read = context_of("s1", {"turn_id": 5.0}).turn_id
    assert (read, type(read)) == (5, int)


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_targeting_key_there_is_no_session(key: Json) -> None:
    with pytest.raises(NoTargetingKey, match="targeting key"):
        context_of(key, {"session_id": "s1"})


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"session_id": "another"}, "session_id: .* one and the same"),
        ({"at": "2026-01-01T00:00:00Z"}, "at: "),
        ({"variation": "b"}, "variation: .* experiment_id"),
        ({"turn_id": True}, "turn_id: "),
        ({"turn_id": "5"}, "turn_id: "),
        ({"turn_id": -1}, "turn_id: "),
        ({"turn_id": 5.5}, "turn_id: "),
        ({"turn_id": float("inf")}, "turn_id: "),
        ({"turn_id": 2**31}, "turn_id: "),
        ({"world_id": 5}, "world_id: .* text"),
        ({"world_id": ""}, "world_id: "),
        ({"world_id": "w" * 257}, "world_id: .* 256"),
        ({"experiments": ["x"]}, "experiments: "),
        ({"experiments": {"x": 1}}, "x: .* text"),
        ({"experiments": {"": "b"}}, "experiments: "),
    ],
)
def test_what_cannot_be_is_refused_by_name(attributes: Json, told: str) -> None:
    with pytest.raises(InvalidContext, match=told):
        context_of("s1", attributes)


@pytest.mark.parametrize("key", [5, True, ["s"], "s" * 257])
def test_a_targeting_key_is_a_short_text(key: Json) -> None:
    with pytest.raises(InvalidContext, match="targetingKey"):
        context_of(key, {})
