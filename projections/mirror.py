"""What the compacted topic must hold: the things of the prefix that has been published.

Folded along with publication, pure: it says what to write, and the publisher writes it. Only the
ends of batches are mirrored, so whoever starts from the topic never sees half a command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from ledger.cloudevents import (
    HEAD,
    Record,
    Stamp,
    Unreadable,
    event_record,
    head_record,
    read_head,
    thing_record,
)
from ledger.events import Recorded, decode
from ledger.live import Live, evolve_live, thing, things
from ledger.store import Stored


class Pending(NamedTuple):
    """An event on its way to the topics."""

    stored: Stored
    recorded: Recorded
    ends_batch: bool

    def record(self) -> Record:
        """Write it as it stands in the topic of events."""
        stamp = Stamp(self.stored.position, self.stored.recorded_at)
        return event_record(stamp, self.stored.state, ends_batch=self.ends_batch)


class Mirror:
    """The state of the published prefix, and how the compacted topic differs from it."""

    def __init__(self) -> None:
        self.live = Live()
        self._stamps: dict[str, Stamp] = {}
        self._touched: set[str] = set()
        self._cause: UUID | None = None
        self._held: Mapping[str, bytes] | None = None
        self._held_position = 0

    def copy(self) -> Mirror:
        """Return an independent mirror."""
        mirror = Mirror()
        mirror.live = self.live.copy()
        mirror._stamps = dict(self._stamps)
        mirror._touched = set(self._touched)
        mirror._cause = self._cause
        mirror._held, mirror._held_position = self._held, self._held_position
        return mirror

    @property
    def stamp(self) -> Stamp:
        """The last event that was folded."""
        return Stamp(self.live.position, self.live.recorded_at)

    def apply(self, recorded: Recorded) -> None:
        """Fold the next event."""
        for thing_id in evolve_live(self.live, recorded):
            self._touched.add(thing_id)
            self._stamps[thing_id] = Stamp(recorded.position, recorded.recorded_at)
        self._cause = recorded.cause.causation_id

    def continued_by(self, following: Recorded) -> bool:
        """Tell whether an event belongs to the batch that the last folded event is of."""
        return following.cause.causation_id == self._cause

    def expect(self, held: Mapping[str, bytes]) -> None:
        """Take note of what the topic was found to hold: the next comparison is with all of it."""
        self._held = held
        self._held_position = head_position(held)

    def due(self) -> list[Record]:
        """List what the topic lacks, at the end of a batch; from then on it counts as written.

        A topic that is ahead of what has been folded is right, and left alone until then.
        """
        if self._held is None:
            changed = [*self._records(self._touched), self._head()]
        elif self._held_position > self.live.position or self.live.position == 0:
            return []
        else:
            changed = self._differences(self._held)
            self._held = None
        self._touched.clear()
        return changed

    def _differences(self, held: Mapping[str, bytes]) -> list[Record]:
        ids = {*held, *things(self.live)} - {HEAD}
        records = [*self._records(ids), self._head()]
        return [record for record in records if held.get(record.key.decode()) != record.value]

    def _records(self, ids: Iterable[str]) -> list[Record]:
        return [
            thing_record(thing_id, self._thing(thing_id), self._stamps.get(thing_id, self.stamp))
            for thing_id in sorted(ids)
        ]

    def _thing(self, thing_id: str) -> Mapping[str, object] | None:
        try:
            return thing(self.live, thing_id)
        except ValueError:
            return None  # what the topic held under a key that is none of ours

    def _head(self) -> Record:
        live = self.live
        count = len(live.activations) + len(live.shadows) + len(live.experiments)
        count += len(live.freezes) + len(live.kills) + (live.catalog_origin is not None)
        return head_record(self.stamp, count)


def head_position(held: Mapping[str, bytes]) -> int:
    """Tell which position the compacted topic was found to be of; 0 when it does not say."""
    try:
        return read_head(held[HEAD]).position
    except (KeyError, Unreadable):
        return 0


def decoded(stored: Stored) -> Recorded:
    """Read an event as the store gave it."""
    return decode(stored.position, stored.recorded_at, stored.state)


def transaction(read: Sequence[Stored], limit: int) -> list[Pending]:
    """Cut what was read to one transaction: whole batches if one fits, else a part of one.

    One event more than `limit` must have been read, if there was one; without it the last one is
    the ledger's, and as an append is seen whole or not at all, it ends its batch.
    """
    events = [decoded(stored) for stored in read]
    ends = [
        following is None or event.cause.causation_id != following.cause.causation_id
        for event, following in zip(events, [*events[1:], None], strict=True)
    ]
    pending = [Pending(*each) for each in zip(read, events, ends, strict=True)][:limit]
    whole = max((index + 1 for index, event in enumerate(pending) if event.ends_batch), default=0)
    return pending[: whole or limit]
