"""The ledger as commands and questions see it: load, decide, append; fold, cut, resolve.

A decision rests on the folded stream, never on a view. It is appended on the condition that the
streams it read have not moved; when one has, the state is caught up and decided on again, except
that two commands that change the same config are a conflict, which the later one is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from commands.identity import SYSTEM, uuid7
from ledger.catalog import Catalog
from ledger.clock import Instant
from ledger.decide import Decision, decide
from ledger.errors import Conflict, LedgerUnavailable, NotFound, StreamMoved
from ledger.events import Cause, ConfigEvent, Event, Recorded, decode, encode
from ledger.intents import AdoptCatalog, Intent, Terms
from ledger.live import Freeze, Live, Origin
from ledger.scopes import EVERYWHERE
from ledger.state import State, evolve, replay, replay_live
from ledger.store import Appended, Draft, LedgerStore, Request, Stored

BATCH = 5000
ATTEMPTS = 30

Plan = Callable[[State], Intent]


@dataclass(frozen=True, slots=True)
class Order:
    """One command: what is wanted, by whom and why, and how to recognise it again."""

    actor: UUID
    reason: str = ""
    request: Request | None = None
    correlation_id: UUID | None = None

    def cause(self) -> Cause:
        """Name the order as the cause of the events that follow from it."""
        order_id = uuid7()
        return Cause(self.actor, self.reason, self.correlation_id or order_id, order_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command led to. `events` is empty where nothing had to change."""

    events: tuple[Recorded, ...]
    repeated: bool = False

    @property
    def position(self) -> int:
        """Position of the last event of the command."""
        return self.events[-1].position if self.events else 0


class Ledger:
    """Commands and questions over one store; safe to use from many threads."""

    def __init__(self, store: LedgerStore, *, strict: bool = True, frozen: bool = False) -> None:
        self.store = store
        self._strict = strict
        self._frozen_since = time.time_ns() // 1000 if frozen else None
        self._state = State()
        self._lock = threading.Lock()

    # --- Commands ---

    def execute(self, order: Order, plan: Plan) -> Outcome:
        """Decide on the newest state and append what follows, all of it or nothing.

        `plan` turns the state into the intent. Raises a Refused, or LedgerUnavailable when the
        ledger is too busy to find a moment for a decision that rests on all of it.
        """
        if order.request is not None and (earlier := self.store.find(order.request)):
            return _outcome(earlier)
        cause = order.cause()
        terms = Terms(self._strict, self._frozen_since is not None, order.reason)
        for _ in range(ATTEMPTS):
            with self.current() as state:
                decision = decide(state, plan(state), terms)
                expected = _expectations(state, decision)
                head = state.live.position
            if not decision.events:
                return Outcome(())
            drafts = _drafts(decision.events, expected, cause)
            try:
                appended = self.store.append(
                    drafts,
                    expected=expected,
                    position=head if decision.whole else None,
                    request=order.request,
                )
            except StreamMoved as moved:
                _refuse_if_contested(decision, moved)
            else:
                return _outcome(appended)
        raise LedgerUnavailable("the ledger is too busy for this change: retry in a moment")

    def adopt(self, catalog: Catalog) -> None:
        """Put a catalog in force unless it already is: the ledger's first event does."""
        order = Order(SYSTEM, "the catalog that the program was started with")
        with self.current() as state:
            live = state.live
            if live.catalog_origin is not None and live.catalog == catalog:
                return
        self.execute(order, lambda _: AdoptCatalog(catalog))

    # --- Questions ---

    @contextmanager
    def current(self) -> Iterator[State]:
        """Lend the state at the head of the ledger; it must not be kept or changed."""
        with self._lock:
            while batch := self.store.read(after=self._state.live.position, limit=BATCH):
                for stored in batch:
                    evolve(self._state, _decoded(stored))
            yield self._state

    def live_now(self) -> Live:
        """Copy what resolution needs at the head of the ledger.

        In a process started frozen (LIVEOPS_GLOBAL_FREEZE) its window clock stands still.
        """
        with self.current() as state:
            live = state.live.copy()
        if self._frozen_since is not None:
            origin = Origin(0, self._frozen_since, SYSTEM, "LIVEOPS_GLOBAL_FREEZE=true")
            live.freezes[EVERYWHERE] = (*live.freezes.get(EVERYWHERE, ()), Freeze(origin))
        return live

    def live_at(self, position: int) -> Live:
        """Fold the prefix that ends at a position; raises NotFound beyond the head."""
        self._refuse_beyond_head(position)
        return replay_live(map(_decoded, self.store.stream(upto=position)))

    def state_at(self, position: int) -> State:
        """Fold the prefix that ends at a position into all that decisions need."""
        self._refuse_beyond_head(position)
        return replay(map(_decoded, self.store.stream(upto=position)))

    def _refuse_beyond_head(self, position: int) -> None:
        head = self.store.head().position
        if not 0 <= position <= head:
            raise NotFound(f"the ledger has no position {position}: its head is {head}")


def _decoded(stored: Stored) -> Recorded:
    return decode(stored.position, stored.recorded_at, stored.state)


def _outcome(appended: Appended) -> Outcome:
    return Outcome(tuple(map(_decoded, appended.events)), appended.repeated)


def _expectations(state: State, decision: Decision) -> dict[UUID, int]:
    streams = {event.stream for event in decision.events} | decision.reads
    return {stream: state.versions.get(stream, 0) for stream in streams}


def _drafts(events: tuple[Event, ...], expected: dict[UUID, int], cause: Cause) -> list[Draft]:
    versions = dict(expected)
    drafts = []
    for event in events:
        versions[event.stream] += 1
        state = encode(event, uuid7(), cause)
        drafts.append(Draft(event.stream, versions[event.stream], type(event).__name__, state))
    return drafts


def _refuse_if_contested(decision: Decision, moved: StreamMoved) -> None:
    changed = {event.stream for event in decision.events if isinstance(event, ConfigEvent)}
    if not decision.whole and changed & moved.streams:
        raise Conflict(
            "another command changed this config at the same moment: read it again and retry"
        ) from moved
