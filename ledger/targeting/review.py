"""What the author of a rule is shown: what it reads, or where it is wrong and why."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.errors import RuleError
from ledger.targeting.rule import check_rule
from ledger.targeting.types import CONTEXT_NAMES

Json = Any

WIDEST = 76
_BEFORE = 48
"""Characters that are shown before the place, of a line that is too long to show."""


class Review(NamedTuple):
    """A rule that was checked.

    `reads` gives the type of each name that it reads, `dyn` where only the context will tell. Of a
    rule that cannot be used: the reason, the offset in characters, and the line with a caret.
    """

    valid: bool
    reads: Mapping[str, str]
    detail: str | None = None
    at: int | None = None
    shown: str | None = None

    def to_json(self) -> dict[str, Json]:
        """Write the review as the API gives it."""
        return {**self._asdict(), "reads": sorted(self.reads), "types": dict(self.reads)}


def review(text: str, declared: Mapping[str, str] | None = None) -> Review:
    """Check a rule as `check_rule` does and answer with all that its author needs."""
    try:
        rule = check_rule(text, declared)
    except RuleError as error:
        at, reason = error.position, error.reason
        return Review(valid=False, reads={}, detail=reason, at=at, shown=pointed(text, at))
    types = {**(declared or {}), **CONTEXT_NAMES}
    return Review(valid=True, reads={name: types.get(name, "dyn") for name in sorted(rule.names)})


def pointed(text: str, at: int) -> str:
    """Show the line around an offset, cut to a terminal's width, and a caret under the place."""
    begin = text.rfind("\n", 0, at) + 1
    line = text[begin:].split("\n", 1)[0]
    place, before, after = at - begin, "", ""
    if len(line) > WIDEST:
        cut = min(max(0, place - _BEFORE), len(line) - WIDEST)
        before, after = "…" * (cut > 0), "…" * (cut + WIDEST < len(line))
        line, place = line[cut : cut + WIDEST], place - cut
    indent = len(before) + sum(map(_columns, line[:place]))
    return f"{before}{''.join(map(_visible, line))}{after}\n{' ' * indent}^"


def _visible(character: str) -> str:
    # What steers a terminal, or reverses the text, must not do so when an author is shown it.
    if character == "\t":
        return " "
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
