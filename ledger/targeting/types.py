"""The types that names in a targeting rule have: those of the context, and declared ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

CONTEXT_NAMES: Mapping[str, str] = {
    "session_id": "string",
    "turn_id": "int",
    "world_id": "string",
    "adventure_id": "string",
    "experiment_id": "string",
    "variation": "string",
    "at": "timestamp",
}


class Type(NamedTuple):
    """A type: its name, and what a list or a map holds."""

    name: str
    of: Type | None = None

    def __str__(self) -> str:
        if self.of is None:
            return self.name
        return f"list({self.of})" if self.name == "list" else f"map(string, {self.of})"

    @property
    def held(self) -> Type:
        """What an item is."""
        return self.of or DYN


DYN = Type("dyn")
BOOL = Type("bool")
INT = Type("int")
DOUBLE = Type("double")
STRING = Type("string")

_PLAIN = {each.name: each for each in (DYN, BOOL, INT, DOUBLE, STRING)}
_SHAPES = (("list", r"list(?:\((.+)\))?"), ("map", r"map(?:\( *string *, *(.+)\))?"))
_DEEPEST_TYPE = 8


def read_type(text: str, deepest: int = _DEEPEST_TYPE) -> Type:
    """Read the type that an attribute is declared to have; raises ValueError.

    One of `bool`, `int`, `double`, `string`, `dyn`, `list(T)`, `map(string, T)`; a `list` or
    `map` without more holds `dyn`.
    """
    text = text.strip()
    if text in _PLAIN:
        return _PLAIN[text]
    for name, shape in _SHAPES:
        if (found := re.fullmatch(shape, text)) and deepest:
            return Type(name, read_type(found.group(1) or "dyn", deepest - 1))
    raise ValueError(
        f"{text[:64]!r} is not a type; it must be bool, int, double, string, dyn, list(…) or"
        " map(string, …)"
    )
