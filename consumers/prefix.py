"""The prefix of the ledger that a replica has: whole batches, applied beside what is being read.

Pure: it is given records and says what they lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from ledger.clock import Instant
from ledger.cloudevents import HEAD, Head, Link, Unreadable, read_head, read_thing
from ledger.events import Recorded, decode_envelope
from ledger.live import Live, assemble, evolve_live

Json = Any
Key = TypeVar("Key")


class Gap(Exception):
    """Events are missing before this one."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one swap of the served prefix changed.

    `configs` are those whose activation began, ended or changed, `levers` those that they, kills
    or another catalog say something of; a value need not have changed for it.
    """

    position: int
    recorded_at: Instant
    configs: frozenset[UUID]
    levers: frozenset[str]


class Prefix:
    """Takes events in order and applies them batch by batch.

    `live` is replaced, never changed: whoever has it can go on reading it.
    """

    def __init__(self, live: Live | None = None) -> None:
        self.live = Live() if live is None else live
        self.received = self.live.position
        self._whole: list[Recorded] = []
        self._open: list[Recorded] = []

    def take(self, link: Link, value: bytes) -> None:
        """Take the next event; one that is known already is passed over.

        Raises Gap when events are missing before it, Unreadable when it cannot be read.
        """
        if link.position <= self.received:
            return
        if link.previous != self.received:
            raise Gap(f"event {link.position} follows {link.previous}, not {self.received}")
        self._open.append(_read(link, value))
        self.received = link.position
        if link.ends_batch:
            self._whole += self._open
            self._open.clear()

    def apply(self) -> bool:
        """Apply the batches that are whole; False when there are none."""
        if not self._whole:
            return False
        live = self.live.copy()
        for recorded in self._whole:
            evolve_live(live, recorded)
        self._whole.clear()
        self.live = live
        return True


def _read(link: Link, value: bytes) -> Recorded:
    try:
        recorded = decode_envelope(value)
    except Exception as error:
        # Whatever is wrong with the bytes of a record, it is the record that is wrong.
        raise Unreadable(f"event {link.position} cannot be read: {error}") from error
    if recorded.position != link.position:
        raise Unreadable(f"a record says {link.position} outside and {recorded.position} inside")
    return recorded


def start_from(held: Mapping[str, bytes]) -> Live | None:
    """Put the state together that the compacted topic holds; None when it is not complete.

    Raises Unreadable.
    """
    if HEAD not in held:
        return None
    head = read_head(held[HEAD])
    parts = [read_thing(thing_id, value) for thing_id, value in held.items() if thing_id != HEAD]
    return _assembled(head, parts) if len(parts) == head.things else None


def _assembled(head: Head, parts: Iterable[Mapping[str, Json]]) -> Live:
    try:
        return assemble(head.position, head.recorded_at, parts)
    except Exception as error:
        raise Unreadable(
            f"the state at position {head.position} cannot be read: {error}"
        ) from error


def change(before: Live, after: Live) -> Change:
    """Compare two states of the ledger."""
    configs = _differing(before.activations, after.activations)
    levers = _differing(before.kills, after.kills)
    if before.catalog is not after.catalog:
        levers |= _differing(before.catalog.levers, after.catalog.levers)
    for activations in (before.activations, after.activations):
        found = (activations.get(config_id) for config_id in configs)
        levers.update(*(activation.pinned.payload for activation in found if activation))
    return Change(after.position, after.recorded_at, frozenset(configs), frozenset(levers))


def _differing(before: Mapping[Key, Any], after: Mapping[Key, Any]) -> set[Key]:
    # Most of a state is shared with the one before, and `is` sees that at once.
    return {
        key
        for key in before.keys() | after.keys()
        if (old := before.get(key)) is not (new := after.get(key)) and old != new
    }
