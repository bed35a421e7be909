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
from ledger.errors import Conflict, LedgerUnavailable, NotFound, Refused, StreamMoved
from ledger.events import Cause, ConfigEvent, Event, Recorded, decode, encode
from ledger.folding import fold
from ledger.intents import AdoptCatalog, Intent, Terms
from ledger.live import Freeze, Live, Origin
from ledger.scopes import EVERYWHERE
from ledger.state import Config, State, Status, evolve, replay
from ledger.store import Appended, Draft, LedgerStore, Request, Stored

BATCH = 5000
ATTEMPTS = 30
REMEMBERED = 4096

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
    """What a command led to. `events` is empty where nothing had to change.

    `position` is that of the last event, or else the one at which nothing had to.
    """

    events: tuple[Recorded, ...]
    position: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A config right after one of its events: its newest revision and its status then."""

    revision: int
    status: Status


class Ledger:
    """Commands and questions over one store; safe to use from many threads."""

    def __init__(self, store: LedgerStore, *, strict: bool = True, frozen: bool = False) -> None:
        self.store = store
        self._strict = strict
        self.frozen_since: Instant | None = _clock() if frozen else None
        self._state = State()
        self._standings: dict[int, Standing] = {}
        self._lock = threading.Lock()

    # --- Commands ---

    def execute(self, order: Order, plan: Plan) -> Outcome:
        """Decide on the newest state and append what follows, all of it or nothing.

        `plan` turns the state into the intent. Raises a Refused, or LedgerUnavailable when the
        ledger is too busy to find a moment for a decision that rests on all of it.
        """
        if (earlier := self._earlier(order)) is not None:
            return earlier
        try:
            return self._execute(order, plan)
        except Refused:
            # The same request may have been carried out at this very moment: then the refusal
            # is of its own doing.
            if (earlier := self._earlier(order)) is not None:
                return earlier
            raise

    def _earlier(self, order: Order) -> Outcome | None:
        found = None if order.request is None else self.store.find(order.request)
        return None if found is None else _outcome(found)

    def _execute(self, order: Order, plan: Plan) -> Outcome:
        cause = order.cause()
        terms = Terms(self._strict, self.frozen_since is not None, order.reason)
        contested: Conflict | None = None
        for _ in range(ATTEMPTS):
            with self.current() as state:
                decision = decide(state, plan(state), terms)
                expected = _expectations(state, decision)
                head = state.live.position
            if contested is not None:
                raise contested
            if not decision.events:
                return Outcome((), head)
            drafts = _drafts(decision.events, expected, cause)
            try:
                appended = self.store.append(
                    drafts,
                    expected=expected,
                    position=head if decision.whole else None,
                    request=order.request,
                )
            except StreamMoved as moved:
                contested = _contested(decision, moved)
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
                    self._fold(_decoded(stored))
            yield self._state

    def _fold(self, recorded: Recorded) -> None:
        evolve(self._state, recorded)
        if isinstance(recorded.event, ConfigEvent):
            self._standings[recorded.position] = _standing(self._state, recorded.event.config_id)
            if len(self._standings) > REMEMBERED:
                del self._standings[next(iter(self._standings))]

    def now(self, recorded_at: Instant) -> Instant:
        """Read the clock; never before an event that is recorded already."""
        return max(_clock(), recorded_at)

    def status(self, state: State, config: Config) -> Status:
        """Tell a config's status now; in a process started frozen its window clock stands still."""
        return state.status(config, self.frozen_since or self.now(state.live.recorded_at))

    def position(self) -> int:
        """Tell how far this process has read the ledger, without asking the database."""
        return self._state.live.position

    def standing(self, recorded: Recorded) -> Standing:
        """Tell how a config stood right after one of its events, whatever has happened since."""
        event = recorded.event
        if not isinstance(event, ConfigEvent):
            raise TypeError(f"{type(event).__name__} is of no config")
        with self.current():
            found = self._standings.get(recorded.position)
        return found or _standing(self.state_at(recorded.position), event.config_id)

    def live_at(self, position: int, *, start: Live | None = None) -> Live:
        """Fold the prefix that ends at a position; raises NotFound beyond the head.

        `start` is that prefix or an earlier one, folded; it is left as it is.
        """
        if start is not None and start.position == position:
            return start
        self._refuse_beyond_head(position)
        onto = Live() if start is None else start.copy()
        return fold(self.store.states(after=onto.position, upto=position), onto)

    def state_at(self, position: int) -> State:
        """Fold the prefix that ends at a position into all that decisions need."""
        self._refuse_beyond_head(position)
        return replay(map(_decoded, self.store.stream(upto=position)))

    def _refuse_beyond_head(self, position: int) -> None:
        head = self.store.head().position
        if not 0 <= position <= head:
            raise NotFound(f"the ledger has no position {position}: its head is {head}")


def stopped(live: Live, since: Instant) -> Live:
    """Copy a Live in which the window clock stands still, as in a process started frozen."""
    copy = live.copy()
    origin = Origin(0, since, SYSTEM, "LIVEOPS_GLOBAL_FREEZE=true")
    copy.freezes[EVERYWHERE] = (*copy.freezes.get(EVERYWHERE, ()), Freeze(origin))
    return copy


def _clock() -> Instant:
    return time.time_ns() // 1000


def _decoded(stored: Stored) -> Recorded:
    return decode(stored.position, stored.recorded_at, stored.state)


def _outcome(appended: Appended) -> Outcome:
    events = tuple(map(_decoded, appended.events))
    return Outcome(events, events[-1].position, appended.repeated)


def _standing(state: State, config_id: UUID) -> Standing:
    config = state.config(config_id)
    return Standing(config.latest.number, state.status(config, state.live.recorded_at))


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


def _contested(decision: Decision, moved: StreamMoved) -> Conflict | None:
    changed = {event.stream for event in decision.events if isinstance(event, ConfigEvent)}
    if decision.whole or not changed & moved.streams:
        return None
    return Conflict(
        "another command changed this config at the same moment: read it again and retry"
    )
