"""Answers that are kept for a moment, outside any turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, cast

import pytest

from consumers.openfeature import moment as moment_module
from consumers.openfeature.moment import MOMENT_SECONDS, Moments
from consumers.replica import Replica
from ledger.live import Live
from ledger.resolve import Resolution, resolve
from ledger.scopes import Context


@dataclass
class Asked:
    """Stands for a replica, and writes down what it is asked."""

    position: int = 1
    contexts: list[Context] = field(default_factory=list)

    def resolve(self, context: Context, *, explain: bool) -> Resolution:
        self.contexts.append(context)
        return resolve(Live(), context, 0, explain=explain)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(moment_module, "monotonic", clock)
    return clock


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def moments(asked: Asked, clock: Clock) -> Moments:
    return Moments(cast("Replica", asked))


def of(**attributes: Any) -> Context:
    return Context("s1", attributes=attributes)


def test_one_after_the_other_is_answered_at_once(moments: Moments, asked: Asked) -> None:
    first = moments.answer(of(level=5))
    assert first.explanation is not None
    assert moments.answer(of(level=5)) is first
    assert len(asked.contexts) == 1


def test_it_is_kept_for_a_moment_only(moments: Moments, asked: Asked, clock: Clock) -> None:
    moments.answer(of())
    clock.now += MOMENT_SECONDS
    moments.answer(of())
    assert len(asked.contexts) == 2


def test_it_is_not_kept_beyond_an_event(moments: Moments, asked: Asked) -> None:
    moments.answer(of())
    asked.position += 1
    moments.answer(of())
    assert len(asked.contexts) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"level": 1}, {"level": 1.0}),
        ({"level": 1}, {"level": True}),
        ({"tags": ["a"]}, {"tags": ["a", "b"]}),
        ({}, {"level": None}),
    ],
)
def test_it_is_not_for_another_context(
    moments: Moments, asked: Asked, one: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    for attributes in (one, other):
        moments.answer(of(**attributes))
    assert len(asked.contexts) == 2


def test_it_is_not_for_another_session_or_place(moments: Moments, asked: Asked) -> None:
    for context in (Context("s1"), Context("s2"), Context("s2", world_id="w1")):
        moments.answer(context)
    assert len(asked.contexts) == 3


def test_a_turn_is_left_to_the_replica(moments: Moments, asked: Asked) -> None:
    for _ in range(2):
        moments.answer(Context("s1", turn_id=1))
    assert len(asked.contexts) == 2


def test_each_thread_has_its_own(moments: Moments, asked: Asked) -> None:
    moments.answer(of(level=5))
    other = Thread(target=moments.answer, args=[of(level=6)])
    other.start()
    other.join()
    moments.answer(of(level=5))
    assert [context.attributes["level"] for context in asked.contexts] == [5, 6]
