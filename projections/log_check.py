"""Checks the ledger row by row: what is stored must be whole, in order, and what was signed.

Nothing here asks a database: rows, leaves and checkpoints are handed in, in order. Each row's
columns must say what its bytes say; its leaf must be the one that the tree holds; and at the size
of each signed checkpoint the tree of the rows must have the root that was signed. So whatever is
changed in the log is found, and its place named: by the leaf where the tree was left alone, and
else by the two checkpoints that it lies between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from ledger.clock import Instant, format_instant
from ledger.events import Recorded, decode, envelope
from ledger.merkle import Frontier, Hash, leaf_hash
from ledger.notes import NoteRefused, Verifier, open_checkpoint
from projections.checkpoints import SignedHead

MOST = 20
"""So many faults of the log are told; one change in the middle would else be told for ever."""


class LogRow(NamedTuple):
    """A row of `liveops_events`."""

    position: int
    recorded_at: Instant
    stream: UUID
    version: int
    topic: str
    actor: UUID | None
    state: bytes


class Fault(NamedTuple):
    """Something that is not as the ledger's events make it, and where."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class LogCheck:
    """One walk over the log from its first row.

    `leaf_at` gives the leaf that the tree holds for a position, None beyond its end. The
    checkpoints come by size, from whoever holds them, and must be signed by one of `keys`.
    """

    def __init__(
        self,
        leaf_at: Callable[[int], Hash | None],
        checkpoints: Iterator[SignedHead],
        keys: Sequence[Verifier] = (),
        origin: str | None = None,
    ) -> None:
        self.position = 0
        self.rows = 0
        self.checkpoints = 0
        self.untold = 0
        self._recorded_at: Instant | None = None
        self._versions: dict[UUID, int] = {}
        self._tree = Frontier()
        self._leaf_at = leaf_at
        self._checkpoints = checkpoints
        self._due = next(checkpoints, None)
        self._keys = keys
        self._origin = origin
        self._agreed = 0
        self._faults: list[Fault] = []
        self._leaves: dict[Fault, int] = {}

    def add(self, row: LogRow) -> Recorded | None:
        """Check the next row; gives its event, or None if that cannot be read."""
        self._order(row)
        recorded = self._read(row)
        self._fingerprint(row)
        self.rows += 1
        self.position, self._recorded_at = row.position, row.recorded_at
        if self._origin is None and recorded is not None and row.position == 1:
            self._origin = f"liveops-ledger/{recorded.event_id}"
        while self._due is not None and self._due.size <= row.position:
            self._compare(self._due)
            self._due = next(self._checkpoints, None)
        return recorded

    def end(self, tree_size: int = 0, *, whole: bool = True) -> list[Fault]:
        """Check that nothing is missing behind the last row, if the walk went to the end.

        Returns all faults, the first places in front.
        """
        after = f"position {self.position + 1}"
        if whole and tree_size > self.position:
            self._tell(
                Fault(after, f"missing: the ledger ends, but liveops_tree holds {tree_size}")
            )
        if whole and self._due is not None:
            among = f"among positions {self._agreed + 1} to {self._due.size}"
            what = f"the ledger ends before its {_named(self._due)}: something {among} is missing"
            self._tell(Fault(after, what))
        return [self._explained(fault) for fault in self._faults]

    def _order(self, row: LogRow) -> None:
        place = f"position {row.position}"
        if row.position > self.position + 1:
            last = row.position - 1
            missing = "" if last == self.position + 1 else f" to {last}"
            self._tell(Fault(f"position {self.position + 1}{missing}", "missing"))
        elif row.position <= self.position:
            self._tell(Fault(place, f"stands behind position {self.position}"))
        if self._recorded_at is not None and row.recorded_at <= self._recorded_at:
            before = format_instant(self._recorded_at)
            what = f"recorded_at {format_instant(row.recorded_at)} is not after {before}"
            self._tell(Fault(place, what))
        wanted = self._versions.get(row.stream, 0) + 1
        if row.version != wanted:
            what = f"originator_version is {row.version} where {wanted} follows in its stream"
            self._tell(Fault(place, what))
        self._versions[row.stream] = row.version

    def _read(self, row: LogRow) -> Recorded | None:
        place = f"position {row.position}"
        try:
            recorded = decode(row.position, row.recorded_at, row.state)
        # Whatever is in the way of reading it, the bytes are no event.
        except Exception as error:
            self._tell(Fault(place, f"state cannot be read as an event: {error!r}"))
            return None
        kind = type(recorded.event).__name__
        if row.topic != kind:
            self._tell(Fault(place, f"topic is {row.topic}, its bytes say {kind}"))
        if row.stream != recorded.event.stream:
            what = f"originator_id is {row.stream}, its bytes say {recorded.event.stream}"
            self._tell(Fault(place, what))
        if row.actor not in (None, recorded.cause.actor):
            what = f"actor is {row.actor}, its bytes say {recorded.cause.actor}"
            self._tell(Fault(place, what))
        return recorded

    def _fingerprint(self, row: LogRow) -> None:
        leaf = leaf_hash(envelope(row.position, row.recorded_at, row.state))
        self._tree.add(leaf)
        held = self._leaf_at(row.position)
        if held is not None and held != leaf:
            fault = Fault(
                f"position {row.position}",
                f"the event has the leaf {leaf.hex()[:16]}…, liveops_tree {held.hex()[:16]}…",
            )
            self._leaves[fault] = row.position
            self._tell(fault)

    def _compare(self, signed: SignedHead) -> None:
        self.checkpoints += 1
        try:
            said = open_checkpoint(signed.note, self._keys, self._origin)
        except NoteRefused as error:
            self._tell(Fault(_named(signed), f"its note: {error}"))
            return
        if (said.size, said.root) != (signed.size, signed.root):
            self._tell(Fault(_named(signed), "its note says another size or root than its row"))
        elif self._tree.root() == signed.root:
            self._agreed = signed.size
        else:
            among = f"among positions {self._agreed + 1} to {signed.size}"
            what = f"the events are not those that were signed: something {among} was changed"
            self._tell(Fault(_named(signed), what))

    def _tell(self, fault: Fault) -> None:
        if len(self._faults) < MOST:
            self._faults.append(fault)
        else:
            self.untold += 1

    def _explained(self, fault: Fault) -> Fault:
        """Say which of the two was changed where a signature knows."""
        position = self._leaves.get(fault)
        if position is None:
            return fault
        whose = "the leaf was changed" if position <= self._agreed else "one of them was changed"
        return fault._replace(what=f"{fault.what}: {whose}")


def _named(signed: SignedHead) -> str:
    return f"checkpoint of {signed.size} events"
