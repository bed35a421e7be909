"""Attributes of a context as targeting rules read them: numbers in the type that is declared."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.catalog import Catalog
from ledger.targeting import compile_rule
from tests.strategies import json_values

Json = Any

LEVER = {"name": "night", "group": "economy", "type": "boolean", "default": False}
TYPES = ["bool", "int", "double", "string", "dyn", "list(double)", "map(string, list(int))"]


def declaring(attributes: dict[str, str] | None) -> Catalog:
    return Catalog.from_json({"levers": [LEVER], "attributes": attributes})


@pytest.mark.parametrize(
    ("declared", "given", "read"),
    [
        ("double", [5, 5.0, 0, -0.0, 2**53], [5.0, 5.0, 0.0, -0.0, 2.0**53]),
        ("double", [2**53 + 1, 2**63, 10**400], [2**53 + 1, 2**63, 10**400]),
        ("int", [5.0, 5, 5.5, -0.0, 1e300], [5, 5, 5.5, 0, 1e300]),
        ("int", [-(2.0**63), 2.0**63], [-(2**63), 2.0**63]),
        ("int", [True, "5", None, [5.0]], [True, "5", None, [5.0]]),
        ("double", [True, "5", None, [5]], [True, "5", None, [5]]),
        ("list(double)", [[1, 2.5, "x"], 1, {"a": 1}], [[1.0, 2.5, "x"], 1, {"a": 1}]),
        ("map(string, int)", [{"a": 1.0, "b": 2.5}, [1.0]], [{"a": 1, "b": 2.5}, [1.0]]),
        ("map(string, list(double))", [{"a": [1], "b": 1}], [{"a": [1.0], "b": 1}]),
        ("dyn", [5.0, 5], [5.0, 5]),
        ("list", [[5.0, 5]], [[5.0, 5]]),
        (" double ", [5], [5.0]),
    ],
)
def test_numbers_are_read_in_their_declared_type(
    declared: str, given: list[Json], read: list[Json]
) -> None:
    catalog = declaring({"it": declared})
    assert repr([catalog.read_attributes({"it": value})["it"] for value in given]) == repr(read)


def test_what_is_read_leaves_the_given_attributes_as_they_are() -> None:
    held = {"scores": [1, 2], "other": 5}
    read = declaring({"scores": "list(double)"}).read_attributes(held)
    assert repr(read) == "{'scores': [1.0, 2.0], 'other': 5}"
    assert repr(held) == "{'scores': [1, 2], 'other': 5}"


@pytest.mark.parametrize("declared", [None, {}, {"name": "string"}, {"level": "int"}])
def test_attributes_in_which_nothing_changes_are_the_same_object(
    declared: dict[str, str] | None,
) -> None:
    held = {"level": 5, "rate": 5.0, "name": "x"}
    assert declaring(declared).read_attributes(held) is held


@given(st.dictionaries(st.sampled_from(TYPES), json_values))
def test_whatever_is_given_is_read_once_and_for_all(held: dict[str, Json]) -> None:
    catalog = declaring({f"a{index}": kind for index, kind in enumerate(TYPES)})
    named = {f"a{TYPES.index(kind)}": value for kind, value in held.items()}
    read = catalog.read_attributes(named)
    assert repr(catalog.read_attributes(read)) == repr(read)
    assert catalog.read_attributes(read) is read


def test_a_rule_adds_up_what_json_has_written_without_its_point() -> None:
    read = declaring({"rate": "double"}).read_attributes({"rate": 1})
    assert compile_rule("rate + 0.5 > 1.4").matches(read)
