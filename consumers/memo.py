"""What each session has been answered, and from which version and instant: bounded, in memory.

What is known is found without a lock; one is taken only when a session or a pin begins, so that of
two threads that begin it at once both are answered from what the first one pinned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import copysign
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.clock import Instant
from ledger.plan import Plan
from ledger.resolve import Resolution

if TYPE_CHECKING:
    from consumers.session import Session

Json = Any

MOST_SESSIONS = 10_000
TURNS_PER_SESSION = 8
_ANSWERS_PER_TURN = 8
_HOLDERS = (list, dict, tuple, Mapping)


class CacheStatistics(NamedTuple):
    """How the memo fares.

    `hits` and `misses` count questions of turns since the start, nearly exactly; `size` counts
    sessions, `age` is that of the oldest turn kept, in seconds.
    """

    hits: int
    misses: int
    size: int
    largest_size: int
    age: float
    ttl: float

    @property
    def hit_rate(self) -> float:
        """The share of questions that were answered from the memo; 0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class Question(NamedTuple):
    """What a session can be asked; `attributes` are those that differ from the session's."""

    turn_id: int | None
    attributes: Mapping[str, Json]
    at: Instant | None = None
    explain: bool = False


class Pin(NamedTuple):
    """What a turn, or a whole session, is answered from, and the answers so far.

    It holds in its epoch of kills, until a monotonic second. `answer` is the one to the session
    and the attributes that began it; `others` are the ones to other questions.
    """

    turn_id: int | None
    plan: Plan
    at: Instant
    epoch: int
    until: float
    session: Session | None
    attributes: Mapping[str, Json]
    answer: Resolution | None
    others: tuple[tuple[Session, Question, Resolution], ...]

    def recall(self, session: Session, question: Question) -> Resolution | None:
        """Find the answer that was given to this question."""
        _, attributes, at, explain = question
        if (
            self.session is not None
            and at is None
            and not explain
            and alike(self.attributes, attributes)
            and session.asks_as(self.session)
        ):
            return self.answer
        for asker, asked, answer in self.others:
            if (
                asked.at == at
                and asked.explain == explain
                and alike(asked.attributes, attributes)
                and session.asks_as(asker)
            ):
                return answer
        return None


def alike(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    """Tell whether two contexts' attributes are the same to a rule: 1 is neither 1.0 nor true."""
    if one is other:
        return True
    if one != other:
        return False
    return all(same(value, other[name]) for name, value in one.items())


def same(value: Json, other: Json) -> bool:
    """Tell whether two values are the same to a rule, type and all; 0.0 is not -0.0."""
    kind = type(value)
    if kind is not type(other):
        return False
    if kind is str or kind is int:
        return bool(value == other)
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, Mapping):
        return alike(value, other)
    if kind is float and value == other == 0.0:
        return copysign(1.0, value) == copysign(1.0, other)
    return bool(value is other or value == other)


def copied(attributes: Mapping[str, Json]) -> dict[str, Json]:
    """Copy attributes, and what is in them, so that their owner can go on changing them."""
    copy = dict(attributes)
    for name, value in copy.items():
        if isinstance(value, _HOLDERS):
            copy[name] = _copied(value)
    return copy


def _copied(value: Json) -> Json:
    if isinstance(value, Mapping):
        return copied(value)
    items = [_copied(item) for item in value] if isinstance(value, list | tuple) else value
    return tuple(items) if isinstance(value, tuple) else items


class Record:
    """What is kept of one session: the pins of its latest turns, and its own.

    `latest` is the handle that asked last; `exposed` the variations that were told of.
    """

    __slots__ = ("exposed", "latest", "pin", "turns")

    def __init__(self) -> None:
        self.turns: dict[int, Pin] = {}
        self.pin: Pin | None = None
        self.latest: Session | None = None
        self.exposed: dict[tuple[str, str], object] = {}

    def keep(self, pin: Pin, session: Session, question: Question, answer: Resolution) -> None:
        """Keep another answer of a turn, unless there are many already.

        One that another thread keeps at the same moment may get lost: it will be worked out again.
        """
        turn_id, others = pin.turn_id, (*pin.others, (session, question, answer))
        if turn_id is None or len(others) > _ANSWERS_PER_TURN:
            return
        if self.turns.get(turn_id) is pin:
            self.turns[turn_id] = pin._replace(others=others)

    def trim(self) -> None:
        """Forget the earlier half of the turns."""
        for earliest in list(self.turns)[: TURNS_PER_SESSION // 2]:
            self.turns.pop(earliest, None)

    def clear(self) -> None:
        """Forget all, also for those who still hold it."""
        self.turns.clear()
        self.exposed.clear()
        self.pin = self.latest = None

    def earliest_end(self) -> float | None:
        """Tell until when the oldest turn kept is kept."""
        return min((pin.until for pin in list(self.turns.values())), default=None)


class Memo:
    """The sessions that are being played, in two generations.

    Who asks is in the young one; when that is half of all there may be, it becomes the old one,
    and the old one goes. So those that were asked least recently go, and nothing is moved about
    while a session is found. Whoever holds a record looks it up again in another `generation`.
    """

    def __init__(
        self,
        ttl: float,
        largest_size: int = MOST_SESSIONS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.ttl = ttl
        self.clock = clock
        self.epoch = 0
        self.generation = 0
        self.hits = 0
        self.misses = 0
        self._largest_size = largest_size
        self._beginning = Lock()
        self._young: dict[str, Record] = {}
        self._old: dict[str, Record] = {}

    def record(self, session_id: str) -> Record:
        """Find what is kept of a session, or begin it."""
        return self._young.get(session_id) or self._admit(session_id)

    def _admit(self, session_id: str) -> Record:
        with self._beginning:
            found = self._young.get(session_id) or self._old.pop(session_id, None) or Record()
            self._young[session_id] = found
            if 2 * len(self._young) >= self._largest_size:
                self._old, self._young = self._young, {}
                self.generation += 1
            return found

    def pin_turn(self, record: Record, turn_id: int, new: Pin) -> Pin:
        """Find what a turn is answered from, or pin it.

        A pin that is too old, or of another epoch of kills, is replaced.
        """
        pin = record.turns.get(turn_id)
        if pin is not None and self._holds(pin):
            return pin
        with self._beginning:
            # Those who begin the next turn do not wait for the lock: of them and us, one is first.
            pin = record.turns.setdefault(turn_id, new)
            if pin is not new and not self._holds(pin):
                pin = record.turns[turn_id] = new
            if len(record.turns) > TURNS_PER_SESSION:
                record.trim()
            return pin

    def _holds(self, pin: Pin) -> bool:
        return pin.epoch == self.epoch and self.clock() < pin.until

    def pin_session(self, record: Record, new: Pin) -> Pin:
        """Find what a session is pinned to, or pin it."""
        with self._beginning:
            if record.pin is None:
                record.pin = new
            return record.pin

    def end_turns(self) -> None:
        """Let no turn be answered from what was pinned before: a lever was killed or restored."""
        with self._beginning:
            self.epoch += 1

    def forget(self, session_id: str) -> None:
        """Forget a session, and what it is pinned to."""
        with self._beginning:
            for records in (self._young, self._old):
                if (record := records.pop(session_id, None)) is not None:
                    record.clear()

    def clear(self) -> None:
        """Forget all sessions."""
        with self._beginning:
            self.epoch += 1
            self._young, self._old = {}, {}
            self.generation += 1

    def renew(self) -> None:
        """Have all handles look up anew what they are answered from."""
        with self._beginning:
            self.generation += 1

    def statistics(self) -> CacheStatistics:
        """Read how the memo fares."""
        records = [*list(self._young.values()), *list(self._old.values())]
        ends = [end for record in records if (end := record.earliest_end()) is not None]
        age = self.clock() - min(ends) + self.ttl if ends else 0.0
        return CacheStatistics(
            self.hits, self.misses, len(records), self._largest_size, age, self.ttl
        )
