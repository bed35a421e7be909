"""The prefix of the ledger that a replica has: whole batches, applied beside what is being read.

Pure: it is given records and says what they lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import UUID

from ledger.clock import Instant, format_instant
from ledger.cloudevents import HEAD, Head, Link, Unreadable, read_head, read_thing
from ledger.live import CATALOG, Activation, Live, assemble, evolve_live
from ledger.plan import Plan
from ledger.scopes import Place
from ledger.segments import Segment

if TYPE_CHECKING:
    from ledger.events import Recorded

Json = Any
Key = TypeVar("Key")


class Gap(Exception):
    """Events are missing before this one."""


class Forked(Exception):
    """The events are of another history than what is known: an earlier backup was restored."""


class Mark(NamedTuple):
    """An event that is known, and when it was recorded: no two histories have that in common."""

    position: int
    recorded_at: Instant


NOTHING = Mark(0, 0)


class Change(NamedTuple):
    """What one swap of the served prefix changed.

    `configs` are those whose activation began, ended or changed, `levers` those that they, kills,
    experiments or another catalog say something of; a value need not have changed for it.
    """

    position: int
    recorded_at: Instant
    configs: frozenset[UUID]
    levers: frozenset[str]


class Prefix:
    """Takes events in order and applies them batch by batch.

    `live` goes on with every batch; `plan` is replaced, and whoever has it can go on reading it.
    `served` is what an earlier prefix came to: `confirmed` once this one was seen to continue it.
    Raises Forked when it does not.
    """

    def __init__(self, live: Live | None = None, served: Mark = NOTHING) -> None:
        self.live = Live() if live is None else live
        self.plan = Plan.of(self.live)
        self.confirmed = served.position == 0
        self._served = served
        self._last = Mark(self.live.position, self.live.recorded_at)
        self._agree(self._last)
        self._whole: list[Recorded] = []
        self._open: list[Recorded] = []

    def take(self, link: Link, value: bytes) -> None:
        """Take the next event; one that is known already is passed over.

        Raises Gap when events are missing before it, Unreadable when it cannot be read, Forked
        when it is not the one that is known.
        """
        if link.position <= self.received:
            # A topic that is filled again tells everything anew. It must be the same.
            if link.position in (self.received, self._served.position):
                self._agree(Mark(link.position, _read(link, value).recorded_at))
            return
        if link.previous != self.received:
            raise Gap(f"event {link.position} follows {link.previous}, not {self.received}")
        recorded = _read(link, value)
        self._agree(Mark(link.position, recorded.recorded_at))
        self._open.append(recorded)
        self._last = Mark(link.position, recorded.recorded_at)
        if link.ends_batch:
            self._whole += self._open
            self._open.clear()

    @property
    def received(self) -> int:
        """The position of the last event that was taken."""
        return self._last.position

    def _agree(self, mark: Mark) -> None:
        for known in (self._served, self._last):
            if mark.position == known.position and mark != known:
                was, is_now = format_instant(known.recorded_at), format_instant(mark.recorded_at)
                raise Forked(
                    f"event {mark.position} was recorded at {was}, and now one of {is_now} is in "
                    "its place: the ledger was restored to before it, and went on otherwise"
                )
        self.confirmed = self.confirmed or mark == self._served

    def apply(self) -> bool:
        """Apply the batches that are whole; False when there are none."""
        if not self._whole:
            return False
        self.fold(self._whole)
        self._whole.clear()
        return True

    def fold(self, events: Iterable[Recorded]) -> None:
        """Go on to the state after some events, and to its plan."""
        places: set[Place] = set()
        common = False
        for recorded in events:
            stream = recorded.event.stream
            before = self.live.activations.get(stream)
            changed = evolve_live(self.live, recorded)
            after = self.live.activations.get(stream)
            if before is not after:
                places.update(each.pinned.place for each in (before, after) if each is not None)
            common = common or any(thing_id == CATALOG or ":" in thing_id for thing_id in changed)
        self.plan = self.plan.after(self.live, places, common=common)


def _read(link: Link, value: bytes) -> Recorded:
    from ledger.events import decode_envelope  # with the first event, and not with the game

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


def change(before: Plan, after: Plan) -> Change:
    """Compare two versions."""
    configs: set[UUID] = set()
    levers = _differing(before.kills, after.kills)
    if before.catalog is not after.catalog:
        levers |= _differing(before.catalog.levers, after.catalog.levers)
    for here, there in after.differing(before):
        for activation in _changed(here, there):
            configs.add(activation.config_id)
            levers.update(activation.pinned.payload)
    for experiment in _differing(before.experiments, after.experiments):
        levers.update(*(each.pinned.payload for each in after.in_experiment(experiment)))
    return Change(after.position, after.recorded_at, frozenset(configs), frozenset(levers))


def _changed(here: Segment, there: Segment) -> Iterator[Activation]:
    now, then = (
        {activation.config_id: activation for activation in segment.activations}
        for segment in (here, there)
    )
    for config_id in _differing(now, then):
        yield from (known[config_id] for known in (now, then) if config_id in known)


def _differing(before: Mapping[Key, Any], after: Mapping[Key, Any]) -> set[Key]:
    # Most of a version is shared with the one before, and `is` sees that at once.
    return {
        key
        for key in before.keys() | after.keys()
        if (old := before.get(key)) is not (new := after.get(key)) and old != new
    }
