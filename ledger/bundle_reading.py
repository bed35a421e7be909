"""A bundle's lines one after the other: what they hold, and the first that cannot be right.

A tile of events is held at a time. The reading goes on behind a fault, for only the end tells whose
fault it is: where the listed hashes lead to the signed root, an event that differs was changed;
where the events do, the list was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from ledger.bundle import TILE, Part, leaves_line, part_of
from ledger.bundle_faults import HEAD_BYTES, Fault, Found, Kind, difference
from ledger.merkle import HASH_BYTES, Frontier, Hash, leaf_hash

Each = Callable[[int, bytes], None]
"""Told every event's line and its number in the order of the bundle, from 1."""

ENDING = (Part.CHECKPOINT, Part.KEYS, Part.TOKEN, Part.ANSWER, Part.END)
NEEDED = (Part.HEADER, Part.CHECKPOINT, Part.KEYS, Part.END)
NAMES = {
    Part.HEADER: "the header",
    Part.EVENT: "an event",
    Part.LEAVES: "a list of hashes",
    Part.CHECKPOINT: "the checkpoint",
    Part.KEYS: "the list of keys",
    Part.TOKEN: "the token",
    Part.ANSWER: "the answer",
    Part.END: "the end",
}


class Line(NamedTuple):
    """A line, its number from 1."""

    number: int
    text: bytes


@dataclass(slots=True)
class Reading:
    """What was read so far; `wanted` are sizes at which the events' root is to be kept.

    `seen` is the tree of the events as they are, `listed` that of the listed hashes: the same one,
    and not kept twice, up to the first difference. `judged_by` is the list that showed it.
    """

    each: Each | None = None
    wanted: frozenset[int] = frozenset()
    lines: int = 0
    parts: dict[Part, Line] = field(default_factory=dict)
    fault: Fault | None = None
    judged_by: int = 0
    roots: dict[int, Hash] = field(default_factory=dict)
    first: str = ""
    last: str = ""
    seen: Frontier = field(default_factory=Frontier)
    listed: Frontier | None = None
    _events: int = 0
    _next: int = 1
    _window: list[Found] = field(default_factory=list)
    _partial: bool = False
    _whole: bool = True

    def take(self, line: bytes) -> None:
        """Read a line, with its newline."""
        self.lines += 1
        text = line.removesuffix(b"\n")
        self._whole = len(text) < len(line)
        part, among_events = part_of(text), not any(part in self.parts for part in ENDING)
        coming = self._coming()
        if part in coming:
            self._unlisted()
            self._skipped(coming[: coming.index(part)])
            self.parts[part] = Line(self.lines, text)
        elif self.lines == 1 and part is not Part.EVENT:
            self._found(Part.HEADER, Kind.CHANGED, "this is not how a bundle begins")
        elif part is Part.LEAVES and among_events:
            self._leaves(text)
        elif part in {Part.EVENT, None} and among_events:
            if self.lines == 1:
                self._found(Part.HEADER, Kind.MISSING, "here the header should be")
            # What is no line of a bundle may be an event; comparing it with its hash tells more.
            self._event(text)
        else:
            what = "nothing that a bundle has" if part is None else f"{NAMES[part]}, out of place"
            self._found(part, Kind.ADDED, f"here is {what}")

    def _coming(self) -> tuple[Part, ...]:
        """List what may be next besides events and their hashes."""
        if self.lines == 1:
            return (Part.HEADER,)
        return ENDING[
            max((ENDING.index(part) + 1 for part in self.parts if part in ENDING), default=0) :
        ]

    def _skipped(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if part in NEEDED:
                self._found(part, Kind.MISSING, f"before it {NAMES[part]} is missing")

    def _found(
        self, part: Part | None, kind: Kind, words: str, position: int | None = None
    ) -> None:
        self._fault(Fault(part, kind, self.lines, f"Line {self.lines}: {words}.", position))

    def _fault(self, fault: Fault) -> None:
        self.fault = self.fault or fault

    # --- Events and the hashes behind them ---

    def _event(self, text: bytes) -> None:
        self._events += 1
        self._window.append(Found(self.lines, leaf_hash(text), text[:HEAD_BYTES]))
        if self.each is not None:
            self.each(self._events, text)
        if len(self._window) > 2 * TILE:
            self._unlisted()

    def _leaves(self, text: bytes) -> None:
        found = self._window
        leaves = [each.leaf for each in found]
        fits = 0 < len(found) <= TILE and not self._partial
        if fits and text == leaves_line(self._next, leaves):
            self._in_order(found)
            self._partial = len(found) < TILE
        else:
            leaves = self._differing(text)
        self._close(leaves)

    def _differing(self, text: bytes) -> list[Hash]:
        """Tell how the events since the last list differ from this one; return what it lists."""
        own, due, listed = [each.leaf for each in self._window], self._next, _listed(text)
        if listed is None or self._partial or not 0 < len(listed[1]) <= TILE:
            words = f"the list of hashes of the events from {due} on is damaged"
            self._found(Part.LEAVES, Kind.CHANGED, words, due)
            return own
        first, leaves = listed
        if first == due:
            self.judged_by = self.judged_by if self.fault else self.lines
            self._fault(difference(first, self._window, leaves, self.lines))
        elif first == due + TILE and len(own) == TILE + len(leaves):
            line = self._window[TILE].line
            words = f"Line {line}: before it the hashes of events {due} to {first - 1} are missing."
            self._fault(Fault(Part.LEAVES, Kind.MISSING, line, words, due))
            return own[:TILE] + leaves
        else:
            words = f"these should be the hashes of the events from {due} on, not from {first}"
            self._found(Part.LEAVES, Kind.MOVED, words, due)
        return leaves

    def _unlisted(self) -> None:
        """Go on behind events that no list of hashes follows."""
        if not self._window:
            return
        first, line = self._window[0], self._window[-1].line + 1
        if first.says is None:
            words = f"Line {first.line}: here is nothing that a bundle has."
            self._fault(Fault(None, Kind.CHANGED, first.line, words, self._next))
        words = f"Line {line}: the hashes of the events from {self._next} on are missing."
        self._fault(Fault(Part.LEAVES, Kind.MISSING, line, words, self._next))
        self._close([each.leaf for each in self._window])

    def _in_order(self, found: Sequence[Found]) -> None:
        """See that events are numbered as they stand, each recorded after the one before."""
        for position, each in enumerate(found, self._next):
            if each.says != position or each.stamp <= self.last:
                words = f"event {position} says it is {each.says}, recorded at {each.stamp!r}"
                self._fault(Fault(Part.EVENT, Kind.MOVED, each.line, words, position))
            self.first = self.first or each.stamp
            self.last = each.stamp

    def _close(self, listed: Sequence[Hash]) -> None:
        """Go on behind a list of hashes."""
        if self.listed is None and self.fault is not None:
            self.listed = self.seen.copy()
        for each in self._window:
            self.seen.add(each.leaf)
            if self.seen.size in self.wanted:
                self.roots[self.seen.size] = self.seen.root()
        if self.listed is not None:
            for leaf in listed:
                self.listed.add(leaf)
        self._next += len(listed)
        self._window = []

    # --- The end ---

    def finish(self) -> None:
        """Say what is missing, as no line comes any more."""
        behind = self._next + len(self._window)
        position = None if self._partial else behind - (not self._whole and behind > self._next)
        if not self._whole and (self.fault is None or self.fault.line == self.lines):
            self.fault = None
            self._found(None, Kind.TRUNCATED, "the bundle ends in the middle of it", position)
        missing = [part for part in NEEDED if part not in self.parts]
        if Part.END in missing:
            where = "" if position is None else f", behind event {position - 1}"
            self._found(None, Kind.TRUNCATED, f"with it the bundle ends{where}", position)
        self._skipped(missing)
        self._unlisted()


def _listed(text: bytes) -> tuple[int, list[Hash]] | None:
    """Read a list of hashes; None if that is not what it is."""
    try:
        members = orjson.loads(text)
        first, leaves = members["leaves"], [bytes.fromhex(leaf) for leaf in members["sha256"]]
    except (ValueError, TypeError, KeyError):
        return None
    whole = all(len(leaf) == HASH_BYTES for leaf in leaves)
    return (first, leaves) if whole and type(first) is int else None
