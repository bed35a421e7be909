"""The values of a targeting rule, and what is raised where a rule has no answer.

Values are plain Python ones: bool, int, float, str, None, list, dict with text keys, and Timestamp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Value = Any

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1


class EvaluationError(Exception):
    """A rule met a value it has no answer for: a missing attribute, a wrong type, an overflow."""


class Timestamp(NamedTuple):
    """An instant as a rule sees it: whole microseconds since the Unix epoch, UTC.

    A tuple, because tuples compare among themselves at the speed of C and with nothing else.
    """

    micros: int


_KINDS = {
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    type(None): "null",
    list: "list",
    dict: "map",
    Timestamp: "timestamp",
}


def kind_of(value: Value) -> str:
    """Name a value's CEL type, or its Python type where it has none."""
    return _KINDS.get(type(value), type(value).__name__)


def is_plain(value: Value) -> bool:
    """Tell whether a value is of one of CEL's types itself, not of a subclass or look-alike."""
    return type(value) in _KINDS


def plain(value: Value) -> Value:
    """Give a value in CEL's type for it: games in Python have enums, tuples and mappings too."""
    if type(value) in _KINDS:
        return value
    # Not str(value): a subclass may write itself otherwise.
    match value:
        case str():
            return str.__str__(value)
        case int():
            return int.__int__(value)
        case float():
            return float.__float__(value)
        case list() | tuple():
            return list(value)
        case Mapping():
            return dict(value)
    return value
