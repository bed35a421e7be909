"""The naive model's history: facts, and the spans of time that they begin and end."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.model_levers import Json


@dataclass
class Fact:
    """One line of the history."""

    position: int
    recorded_at: int
    kind: str
    of: Json  # the config, place or lever that it is about
    data: dict[str, Json]


@dataclass
class Span:
    """Something that held over [begin, end); an end of infinity is none."""

    of: Json
    begin: int
    end: float
    data: dict[str, Json]

    def holds(self, at: float) -> bool:
        return self.begin <= at < self.end

    @property
    def ended(self) -> bool:
        return self.end < math.inf


def spans(facts: Iterable[Fact], begins: set[str], ends: set[str]) -> list[Span]:
    """Return the spans in the order of their begins; a begin ends what it finds running."""
    found: list[Span] = []
    for fact in facts:
        if fact.kind not in begins | ends:
            continue
        for span in found:
            if span.of == fact.of and not span.ended:
                span.end = fact.recorded_at
        if fact.kind in begins:
            found.append(Span(fact.of, fact.recorded_at, math.inf, fact.data))
    return found


def activations(facts: Iterable[Fact]) -> list[Span]:
    begins = {"activated", "rolled_back", "rollout_changed"}
    return spans(facts, begins, {"deactivated", "archived"})


def freezes(facts: Iterable[Fact]) -> list[Span]:
    return spans(facts, {"frozen"}, {"unfrozen"})


def kills(facts: Iterable[Fact]) -> list[Span]:
    return spans(facts, {"killed"}, {"restored"})


def shadows(facts: Iterable[Fact]) -> list[Span]:
    return spans(facts, {"shadow_started"}, {"shadow_stopped", "archived"})


def trials(facts: Iterable[Fact]) -> list[Span]:
    begins = {"experiment_started", "experiment_changed"}
    return spans(facts, begins, {"experiment_stopped"})


def running(facts: Iterable[Fact]) -> dict[str, Mapping[str, Json]]:
    return {span.of: span.data for span in trials(facts) if not span.ended}
