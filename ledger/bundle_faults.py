"""What can be wrong with a bundle, and which event it is: told by the hashes they must have.

Between two lists of hashes stand the events of a tile. Where what stands there is not what the
list says, comparing the two tells a changed event from one that is missing, added or moved.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ledger.bundle import Part
from ledger.merkle import Hash

HEAD_BYTES = 90
"""So much of an event's line is kept: its position and its stamp are in there."""

_HEAD = re.compile(rb'\{"position":([0-9]{1,19}),"recorded_at":"([^"]{1,40})",')


class Kind(StrEnum):
    """What happened to it."""

    CHANGED = "changed"
    MISSING = "missing"
    ADDED = "added"
    MOVED = "moved"
    TRUNCATED = "truncated"
    OLDER = "older"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: with which kind of line, which line from 1, which event."""

    part: Part | None
    kind: Kind
    line: int
    words: str
    position: int | None = None


class Found(NamedTuple):
    """An event's line as it was found: its number, the hash of it, how it begins."""

    line: int
    leaf: Hash
    head: bytes

    @property
    def says(self) -> int | None:
        """The position that it says it has."""
        match = _HEAD.match(self.head)
        return None if match is None else int(match[1])

    @property
    def stamp(self) -> str:
        """The instant at which it says that it was recorded."""
        match = _HEAD.match(self.head)
        return "" if match is None else match[2].decode(errors="replace")


def difference(first: int, found: Sequence[Found], leaves: Sequence[Hash], line: int) -> Fault:
    """Name the first event, of those from position `first` on, that is not what it must be.

    `leaves` are the hashes that they must have, listed on `line`.
    """
    index = _same(found, leaves)
    position = first + index
    if index == len(found):
        if index == len(leaves):
            words = f"The hashes on line {line} are right, but not written as the format has them."
            return Fault(Part.LEAVES, Kind.CHANGED, line, words, first)
        return _missing(position, len(leaves) - index, found[-1].line + 1 if found else line)
    if index == len(leaves):
        return _added(position, found[index], leaves)
    return _other(position, found[index:], leaves, index)


def _same(found: Sequence[Found], leaves: Sequence[Hash]) -> int:
    """Count how many are as they must be before the first that is not."""
    pairs = enumerate(zip(found, leaves, strict=False))
    return next(
        (index for index, (each, leaf) in pairs if each.leaf != leaf),
        min(len(found), len(leaves)),
    )


def _missing(position: int, count: int, line: int) -> Fault:
    what = (
        f"Event {position} is" if count == 1 else f"Events {position} to {position + count - 1} are"
    )
    return Fault(
        Part.EVENT,
        Kind.MISSING,
        line,
        f"{what} missing: should be on line {line}.",
        position,
    )


def _added(position: int, stray: Found, leaves: Sequence[Hash]) -> Fault:
    what = "is an event for a second time" if stray.leaf in leaves else "does not belong there"
    words = f"Line {stray.line} was added: behind event {position - 1} it {what}."
    return Fault(Part.EVENT, Kind.ADDED, stray.line, words, position)


def _other(position: int, found: Sequence[Found], leaves: Sequence[Hash], index: int) -> Fault:
    """Say what stands in an event's place: a later one, a stray line, or itself, changed."""
    wrong, wanted, line = found[0], leaves[index], found[0].line
    still_there = any(each.leaf == wanted for each in found[1:])
    if wrong.leaf in leaves[index + 1 :]:
        if still_there:
            other = position + leaves[index:].index(wrong.leaf)
            words = f"Event {position} was moved: in its place, on line {line}, is event {other}."
            return Fault(Part.EVENT, Kind.MOVED, line, words, position)
        return _missing(position, leaves[index:].index(wrong.leaf), line)
    if still_there:
        return _added(position, wrong, leaves)
    if wrong.says in (position, None):
        words = f"Event {position} was changed: line {line} is not what was recorded."
        return Fault(Part.EVENT, Kind.CHANGED, line, words, position)
    words = (
        f"In the place of event {position}, on line {line}, is what says it is event {wrong.says}."
    )
    return Fault(Part.EVENT, Kind.MOVED, line, words, position)
