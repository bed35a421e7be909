"""The table of turns: bounded in size and time, and ended by a kill."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from consumers.pins import Pins
from ledger.live import Live
from ledger.resolve import resolve
from ledger.scopes import Context

CONTEXT = Context("s", 1)


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
def pins(clock: Clock) -> Pins:
    return Pins(ttl=60.0, largest_size=3, clock=clock)


def begin(pins: Pins, turn_id: int, epoch: int = 0) -> None:
    pins.begin(("s", turn_id), Live(turn_id), 0, epoch)


def test_a_turn_keeps_what_it_began_with(pins: Pins) -> None:
    first = pins.begin(("s", 1), Live(5), 10, 0)
    assert pins.begin(("s", 1), Live(6), 11, 0) is first
    assert pins.find(("s", 1), 0) is first


def test_a_turn_ends_with_a_change_of_kills(pins: Pins) -> None:
    begin(pins, 1, epoch=0)
    assert pins.find(("s", 1), 1) is None
    assert pins.begin(("s", 1), Live(9), 0, 1).live.position == 9


def test_a_turn_ends_when_it_is_too_old(pins: Pins, clock: Clock) -> None:
    begin(pins, 1)
    clock.now = 59.9
    assert pins.find(("s", 1), 0) is not None
    clock.now = 60.0
    assert pins.find(("s", 1), 0) is None


def test_the_turn_asked_least_recently_goes_first(pins: Pins) -> None:
    for turn_id in (1, 2, 3):
        begin(pins, turn_id)
    pins.find(("s", 1), 0)
    begin(pins, 4)
    assert [pins.find(("s", turn_id), 0) is not None for turn_id in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        True,
    ]


def test_without_a_time_to_live_nothing_is_kept(clock: Clock) -> None:
    pins = Pins(ttl=0.0, clock=clock)
    begin(pins, 1)
    assert pins.find(("s", 1), 0) is None
    assert pins.statistics().size == 0


def test_an_answer_is_found_by_its_question(pins: Pins) -> None:
    pin = pins.begin(("s", 1), Live(), 10, 0)
    answer = resolve(pin.live, CONTEXT, 10)
    pin.keep(CONTEXT, 10, answer)
    assert pin.recall(Context("s", 1), 10) is answer
    assert pin.recall(CONTEXT, 11) is None
    assert pin.recall(Context("s", 1, world_id="w"), 10) is None


def test_a_turn_keeps_few_answers(pins: Pins) -> None:
    pin = pins.begin(("s", 1), Live(), 10, 0)
    for at in range(100):
        pin.keep(CONTEXT, at, resolve(pin.live, CONTEXT, at))
    assert len(pin.answers) == 8


def test_the_statistics_tell_size_and_age(pins: Pins, clock: Clock) -> None:
    begin(pins, 1)
    clock.now = 7.0
    begin(pins, 2)
    statistics = pins.statistics()
    assert (statistics.size, statistics.largest_size) == (2, 3)
    assert (statistics.age, statistics.ttl) == (7.0, 60.0)
    pins.clear()
    assert (pins.statistics().size, pins.statistics().age) == (0, 0.0)


def test_threads_that_begin_a_turn_at_once_agree() -> None:
    pins = Pins(ttl=60.0)
    together = Barrier(8)

    def play(position: int) -> list[int]:
        together.wait()
        return [pins.begin(("s", t), Live(position), 0, 0).live.position for t in range(200)]

    with ThreadPoolExecutor(8) as pool:
        played = list(pool.map(play, range(8)))
    assert all(positions == played[0] for positions in played)
