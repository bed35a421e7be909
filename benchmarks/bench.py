"""What all benchmarks share: a row of the table, percentiles, and contestants in turns."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of ours beside its limit or peer, both in `unit`.

    `bar` is the highest ratio that is good enough, `least` the lowest; mostly there is neither.
    """

    what: str
    ours: float
    limit: float
    against: str
    unit: str
    bar: float | None = None
    least: float | None = None

    @property
    def ratio(self) -> float:
        """Ours as a multiple of the limit."""
        return self.ours / self.limit

    @property
    def verdict(self) -> str:
        """Whether the bar is met, in words; nothing where there is none."""
        if self.least is not None:
            return f"{'pass' if self.ratio >= self.least else 'FAIL'}: at least {self.least:g}"
        if self.bar is None:
            return ""
        met = "pass" if self.ratio <= self.bar else "FAIL"
        if self.bar < 1:
            return f"{met}: {1 / self.ratio:.1f} times as fast, at least {1 / self.bar:.0f}"
        return f"{met}: at most {self.bar:g}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share (0 to 1) of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# --- Contestants in turns ---

ROUNDS = 25
_ROUND_SECONDS = 0.03
_FEWEST, _MOST = 10, 1_000


@dataclass(slots=True)
class Contestant:
    """A call to measure, and what draws the arguments for so many calls of it."""

    call: Callable[..., object]
    arguments: Callable[[int], Sequence[tuple[Any, ...]]]
    per_round: int = _FEWEST
    took: list[int] = field(default_factory=list)

    def round(self) -> None:
        """Make one round's calls, each measured alone."""
        call, clock, took = self.call, time.perf_counter_ns, self.took
        for arguments in self.arguments(self.per_round):
            began = clock()
            call(*arguments)
            took.append(clock() - began)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a call takes, in microseconds, without what the clock takes."""

    median: float
    p99: float


def race(contestants: Mapping[str, Contestant], rounds: int = ROUNDS) -> dict[str, Taken]:
    """Measure all in turns, in another order each round: noise of the machine hits all alike.

    What is there before is kept out of the garbage collector's way, which runs as ever.
    """
    idle = Contestant(_nothing, lambda count: [()] * count, _MOST)
    everybody = [*contestants.values(), idle]
    for contestant in contestants.values():
        _warm_up(contestant)
    gc.collect()
    gc.freeze()
    chance = random.Random(rounds)
    for _ in range(rounds):
        chance.shuffle(everybody)
        for contestant in everybody:
            contestant.round()
    gc.unfreeze()
    clock = percentile(idle.took, 0.5) - _call_ns()
    return {name: _taken(each.took, clock) for name, each in contestants.items()}


def _warm_up(contestant: Contestant) -> None:
    contestant.round()
    contestant.took.clear()
    contestant.round()
    each = percentile(contestant.took, 0.5) / 1e9
    contestant.per_round = min(_MOST, max(_FEWEST, int(_ROUND_SECONDS / each)))
    contestant.took.clear()


def _nothing() -> None:
    pass


def _call_ns() -> float:
    """Measure what the call of a function that does nothing takes, without the clock."""
    count = 100_000
    began = time.perf_counter_ns()
    for _ in range(count):
        _nothing()
    return (time.perf_counter_ns() - began) / count


def _taken(took: Sequence[int], clock: float) -> Taken:
    median, p99 = (max(percentile(took, share) - clock, 1) / 1000 for share in (0.5, 0.99))
    return Taken(median, p99)
