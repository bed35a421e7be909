"""Answers kept for the turn that they were given in.

The first resolution of a turn settles which prefix and which instant the whole turn is answered
from; within the turn the same question gets the same answer, and another question (more of the
context known, say) one from the same moment. A kill ends every pin.

An answer that is kept is found without a lock. Only the first question of a turn takes one, so
that of two threads which begin a turn at once both are answered from what the first one pinned.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic

from ledger.clock import Instant
from ledger.live import Live
from ledger.resolve import Resolution
from ledger.scopes import Context

Turn = tuple[str, int]

LARGEST_TABLE = 10_000
_ANSWERS_PER_TURN = 8


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """How the table of turns fares.

    `hits` and `misses` count resolutions since the start, nearly exactly; `age` is that of the
    oldest turn kept, in seconds.
    """

    hits: int
    misses: int
    size: int
    largest_size: int
    age: float
    ttl: float


@dataclass(slots=True)
class Pin:
    """What one turn is answered from, and the answers given so far."""

    live: Live
    at: Instant
    epoch: int
    began: float
    answers: list[tuple[Context, Instant, Resolution]] = field(default_factory=list)

    def recall(self, context: Context, at: Instant) -> Resolution | None:
        """Find the answer that was given to this question."""
        for asked, instant, answer in self.answers:
            if instant == at and (asked is context or asked == context):
                return answer
        return None

    def keep(self, context: Context, at: Instant, answer: Resolution) -> None:
        """Keep an answer for the rest of the turn, unless there are many already."""
        if len(self.answers) < _ANSWERS_PER_TURN:
            self.answers.append((context, at, answer))


class Pins:
    """The turns that are being played: bounded, the least recently asked goes first."""

    def __init__(
        self,
        ttl: float,
        largest_size: int = LARGEST_TABLE,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.ttl = ttl
        self.hits = 0
        self.misses = 0
        self._largest_size = largest_size
        self._clock = clock
        self._beginning = Lock()
        self._turns: OrderedDict[Turn, Pin] = OrderedDict()

    def find(self, turn: Turn, epoch: int) -> Pin | None:
        """Find the pin of a turn, unless it is too old or of another epoch of kills."""
        pin = self._turns.get(turn)
        if pin is None or pin.epoch != epoch or self._clock() - pin.began >= self.ttl:
            return None
        with suppress(KeyError):  # another thread may just have dropped it; here it still holds
            self._turns.move_to_end(turn)
        return pin

    def begin(self, turn: Turn, live: Live, at: Instant, epoch: int) -> Pin:
        """Pin a turn, unless another thread has just done so; return what holds."""
        with self._beginning:
            pin = self.find(turn, epoch)
            if pin is None:
                pin = self._turns[turn] = Pin(live, at, epoch, self._clock())
                self._turns.move_to_end(turn)
            if len(self._turns) > self._largest_size or self.ttl <= 0:
                self._turns.popitem(last=False)
        return pin

    def statistics(self) -> CacheStatistics:
        """Read how the table fares."""
        oldest = min((pin.began for pin in list(self._turns.values())), default=self._clock())
        age = self._clock() - oldest
        return CacheStatistics(
            self.hits, self.misses, len(self._turns), self._largest_size, age, self.ttl
        )

    def clear(self) -> None:
        """Forget every turn."""
        with self._beginning:
            self._turns.clear()
