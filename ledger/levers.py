"""The levers of a game, one by one: type, bounds, default, and the rules between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

Json = Any
Number = int | float


class LeverType(StrEnum):
    """The types that a lever can have."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    ENUM = "enum"
    ENUM_LIST = "enum_list"
    OBJECT = "object"
    DURATION = "duration"


NUMERIC = frozenset({LeverType.INTEGER, LeverType.FLOAT, LeverType.DURATION})
CHOICE = frozenset({LeverType.ENUM, LeverType.ENUM_LIST})

GATES = "gates"
OFF = "off"


class ApplyAt(StrEnum):
    """When players who are in the middle of something get a lever's new value."""

    IMMEDIATE = "immediate"
    TURN = "turn"
    SESSION = "session"


class Fallback(StrEnum):
    """What a client does with a lever once its data is too old."""

    KEEP = "keep"
    DEFAULT = "default"
    CLOSE = "close"


class WhenStale(NamedTuple):
    """What a client does with a lever once its data is older than `after` seconds."""

    do: Fallback
    after: Number

    def to_json(self) -> dict[str, Json]:
        """Write it as a catalog file has it."""
        return {"do": self.do.value, "after": self.after}


class Field(NamedTuple):
    """One field of an object lever: a bounded number, a boolean or an enum."""

    type: LeverType
    min: Number | None = None
    max: Number | None = None
    values: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Json]:
        """Write the field as a catalog file has it."""
        return {"type": self.type.value, **_limits(self)}


class Lever(NamedTuple):
    """One typed, bounded knob. Durations, their bounds too, are in seconds."""

    name: str
    group: str
    type: LeverType
    default: Json
    min: Number | None = None
    max: Number | None = None
    values: tuple[str, ...] | None = None
    fields: Mapping[str, Field] | None = None
    unit: str | None = None
    critical: bool = False
    description: str = ""
    apply_at: ApplyAt = ApplyAt.TURN
    when_stale: WhenStale | None = None

    @property
    def closed(self) -> str | None:
        """The value of a closed gate, as the catalog spells it; None for every other lever."""
        if self.group != GATES or self.type is not LeverType.ENUM:
            return None
        return next((value for value in self.values or () if value.casefold() == OFF), None)

    def to_json(self) -> dict[str, Json]:
        """Write the lever as a catalog file has it, without what is absent."""
        written: dict[str, Json] = {
            "name": self.name,
            "group": self.group,
            "type": self.type.value,
            "default": self.default,
            **_limits(self),
        }
        if self.fields is not None:
            written["fields"] = {name: field.to_json() for name, field in self.fields.items()}
        if self.unit is not None:
            written["unit"] = self.unit
        written |= {"critical": self.critical, "description": self.description}
        if self.apply_at is not ApplyAt.TURN:
            written["apply_at"] = self.apply_at.value
        if self.when_stale is not None:
            written["when_stale"] = self.when_stale.to_json()
        return written


Shape = Lever | Field
"""What a value must fit: both have `type`, `min`, `max` and `values`."""


class Rule(NamedTuple):
    """A rule between two numeric levers: the value of `lower` is at most that of `upper`."""

    lower: str
    upper: str

    @property
    def levers(self) -> tuple[str, str]:
        """Name the two levers."""
        return (self.lower, self.upper)

    def holds(self, values: Mapping[str, Json]) -> bool:
        """Tell whether the values keep the rule; a missing lever breaks nothing."""
        if self.lower not in values or self.upper not in values:
            return True
        return bool(values[self.lower] <= values[self.upper])

    def to_json(self) -> dict[str, Json]:
        """Write the rule as a catalog file has it."""
        return {"at_most": [self.lower, self.upper]}


def _limits(shape: Shape) -> dict[str, Json]:
    limits: dict[str, Json] = {}
    if shape.min is not None:
        limits["min"] = shape.min
    if shape.max is not None:
        limits["max"] = shape.max
    if shape.values is not None:
        limits["values"] = list(shape.values)
    return limits
