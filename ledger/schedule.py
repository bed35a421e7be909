"""When a config is in force: its window, and the clock that a freeze stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledger.clock import Instant, format_instant, parse_instant
from ledger.errors import Invalid

Json = Any

Interval = tuple[Instant, Instant | None]
"""A freeze over [begin, end); None while it is in force."""


class Window(NamedTuple):
    """From `valid_from` until just before `valid_to`; None leaves that side open."""

    valid_from: Instant | None = None
    valid_to: Instant | None = None

    def holds(self, clock: Instant) -> bool:
        """Tell whether an instant lies inside."""
        if self.valid_from is not None and clock < self.valid_from:
            return False
        return self.valid_to is None or clock < self.valid_to

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Window:
        """Read `valid_from` and `valid_to` of an object, which may have other members too.

        Raises Invalid with a pointer to the side that is wrong, or to `valid_to` when the window
        is empty.
        """
        if data.get("valid_from") is None and data.get("valid_to") is None:
            return cls()
        window = cls(_instant(data, "valid_from"), _instant(data, "valid_to"))
        if window.valid_from is not None and not window.holds(window.valid_from):
            raise Invalid.at("/valid_to", "valid_to must be later than valid_from")
        return window

    def to_json(self) -> dict[str, Json]:
        """Write both sides, null where open."""
        return {"valid_from": _written(self.valid_from), "valid_to": _written(self.valid_to)}


def _instant(data: Mapping[str, Json], name: str) -> Instant | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Invalid.at(f"/{name}", f"{name} must be an instant like 2026-01-31T18:05:00Z")
    try:
        return parse_instant(value)
    except ValueError as error:
        raise Invalid.at(f"/{name}", f"{name}: {error}") from None


def _written(at: Instant | None) -> str | None:
    return None if at is None else format_instant(at)


def frozen_clock(at: Instant, freezes: Sequence[Interval]) -> Instant:
    """Read the clock that windows and ramps go by: it stands still from a freeze's begin.

    `at` goes back to the begin of a freeze that it lies in, then of one that this begin lies in,
    and so on. Always from a later begin to an earlier one, so one pass over the freezes, latest
    first, reaches the end, and which of several freezes is left first makes no difference.
    """
    clock = at
    for begin, end in sorted(freezes, key=_begin, reverse=True):
        if begin < clock and (end is None or clock < end):
            clock = begin
    return clock


def _begin(freeze: Interval) -> Instant:
    return freeze[0]
