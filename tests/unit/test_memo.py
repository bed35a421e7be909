"""What is kept of sessions: bounded in size and time, ended by a kill, agreed on by threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given

from consumers.memo import TURNS_PER_SESSION, Memo, Pin, alike
from ledger.live import Live
from ledger.plan import Plan
from ledger.settled import NO_ATTRIBUTES
from tests.strategies import json_values

PLAN = Plan.of(Live(5))


class Clock:
    """Monotonic seconds that move when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memo(clock: Clock) -> Memo:
    return Memo(ttl=60.0, largest_size=6, clock=clock)


def pin(memo: Memo, at: int = 0, turn_id: int = 1) -> Pin:
    until = memo.clock() + memo.ttl
    return Pin(turn_id, PLAN, at, memo.epoch, until, None, NO_ATTRIBUTES, None, ())


def begin(memo: Memo, at: int = 0, turn_id: int = 1) -> Pin:
    return memo.pin_turn(memo.record("s"), turn_id, pin(memo, at, turn_id))


def test_a_turn_keeps_what_it_began_with(memo: Memo) -> None:
    first = begin(memo, at=1)
    assert begin(memo, at=2) is first


def test_a_turn_ends_with_a_change_of_kills(memo: Memo) -> None:
    begin(memo, at=1)
    memo.end_turns()
    assert begin(memo, at=2).at == 2


def test_a_turn_ends_when_it_is_too_old(memo: Memo, clock: Clock) -> None:
    begin(memo, at=1)
    clock.now = 59.9
    assert begin(memo, at=2).at == 1
    clock.now = 60.0
    assert begin(memo, at=2).at == 2


def test_without_a_time_to_live_nothing_holds(clock: Clock) -> None:
    memo = Memo(ttl=0.0, clock=clock)
    begin(memo, at=1)
    assert begin(memo, at=2).at == 2


def test_the_sessions_asked_least_recently_go(memo: Memo) -> None:
    records = {name: memo.record(name) for name in "abc"}
    for name in "defgh":
        assert memo.record("a") is records["a"]
        memo.record(name)
    assert memo.record("a") is records["a"]
    assert memo.record("b") is not records["b"]


def test_there_are_never_more_sessions_than_said(memo: Memo) -> None:
    for number in range(50):
        memo.record(str(number))
        assert memo.statistics().size <= 6


def test_a_session_keeps_its_latest_turns(memo: Memo) -> None:
    record = memo.record("s")
    for turn_id in range(10 * TURNS_PER_SESSION):
        record.turns[turn_id] = pin(memo, turn_id=turn_id)
        if len(record.turns) > TURNS_PER_SESSION:
            record.trim()
    assert len(record.turns) <= TURNS_PER_SESSION
    assert 10 * TURNS_PER_SESSION - 1 in record.turns


def test_a_session_that_is_forgotten_begins_anew(memo: Memo) -> None:
    record = memo.record("s")
    assert memo.pin_session(record, pin(memo, at=1)).at == 1
    assert memo.pin_session(record, pin(memo, at=2)).at == 1
    memo.forget("s")
    assert memo.record("s").pin is None


def test_the_statistics_tell_size_and_age(memo: Memo, clock: Clock) -> None:
    begin(memo)
    clock.now = 7.0
    begin(memo, turn_id=2)
    statistics = memo.statistics()
    assert (statistics.size, statistics.largest_size) == (1, 6)
    assert (statistics.age, statistics.ttl) == (7.0, 60.0)
    memo.clear()
    assert (memo.statistics().size, memo.statistics().age) == (0, 0.0)


def test_the_hit_rate(memo: Memo) -> None:
    assert memo.statistics().hit_rate == 0.0
    memo.hits, memo.misses = 3, 1
    assert memo.statistics().hit_rate == 0.75


def test_threads_that_begin_a_turn_at_once_agree() -> None:
    memo = Memo(ttl=60.0)
    together = Barrier(8)

    def play(at: int) -> list[int]:
        together.wait()
        return [begin(memo, at, turn).at for turn in range(TURNS_PER_SESSION)]

    with ThreadPoolExecutor(8) as pool:
        played = list(pool.map(play, range(8)))
    assert all(each == played[0] for each in played)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0, False),
        (0.0, -0.0),
        ([1], [True]),
        ((1,), (1.0,)),
        ({"a": 1}, {"a": 1.0}),
        (MappingProxyType({"a": 1}), MappingProxyType({"a": 1.0})),
        ("1", 1),
    ],
)
def test_what_a_rule_can_tell_apart_is_not_alike(one: Any, other: Any) -> None:
    assert not alike({"x": one}, {"x": other})
    assert not alike({"x": one}, {})


@given(json_values)
def test_a_value_is_like_itself(value: Any) -> None:
    if value == value:
        assert alike({"x": value}, {"x": value})
