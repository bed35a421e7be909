"""Windows, and the clock that freezes stop."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.schedule import Interval, Window, frozen_clock
from tests.strategies import freezes, instants, ticks, windows

NOON = "2026-01-01T12:00:00.000000Z"
LATER = "2026-01-01T12:00:00.000001Z"


@pytest.mark.parametrize(
    ("window", "inside"),
    [
        (Window(None, None), [0, 9, 10, 19, 20, 99]),
        (Window(10, None), [10, 19, 20, 99]),
        (Window(None, 20), [0, 9, 10, 19]),
        (Window(10, 20), [10, 19]),
    ],
)
def test_a_window_begins_at_valid_from_and_ends_before_valid_to(
    window: Window, inside: list[int]
) -> None:
    assert [clock for clock in (0, 9, 10, 19, 20, 99) if window.holds(clock)] == inside


@given(windows(instants))
def test_a_window_reads_back_from_its_json_among_other_members(window: Window) -> None:
    assert Window.from_json(window.to_json() | {"name": "n"}) == window


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"valid_from": "tomorrow"}, "/valid_from"),
        ({"valid_from": 5}, "/valid_from"),
        ({"valid_to": True}, "/valid_to"),
        ({"valid_to": "2026-01-01T12:00:00"}, "/valid_to"),
        ({"valid_from": NOON, "valid_to": NOON}, "/valid_to"),
        ({"valid_from": LATER, "valid_to": NOON}, "/valid_to"),
    ],
)
def test_a_window_that_cannot_be_is_refused_with_the_side_that_is_wrong(
    data: dict[str, object], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        Window.from_json(data)
    assert [error["pointer"] for error in refused.value.errors] == [pointer]


def test_a_window_may_be_one_microsecond_long() -> None:
    window = Window.from_json({"valid_from": NOON, "valid_to": LATER})
    assert window.valid_from is not None
    assert window.holds(window.valid_from)
    assert not window.holds(window.valid_from + 1)


@pytest.mark.parametrize(
    ("at", "freezes", "clock"),
    [
        (5, [], 5),
        (5, [(3, 8)], 3),
        (8, [(3, 8)], 8),
        (3, [(3, 8)], 3),
        (2, [(3, None)], 2),
        (99, [(3, None)], 3),
        (9, [(7, 12), (3, 8)], 3),
        (9, [(7, 12), (3, 7)], 7),
        (9, [(7, 12), (7, 10)], 7),
        (20, [(15, None), (9, 16), (4, 10), (1, 4)], 4),
    ],
)
def test_the_clock_stands_still_while_frozen(at: int, freezes: list[Interval], clock: int) -> None:
    assert frozen_clock(at, freezes) == clock


def step_by_step(at: int, freezes: list[Interval], pick: int) -> int:
    """The SPEC's words: f for an `at` inside [f, u), again while inside another freeze."""
    left = list(freezes)
    while inside := [f for f in left if f[0] <= at and (f[1] is None or at < f[1])]:
        left.remove(inside[pick % len(inside)])
        at = inside[pick % len(inside)][0]
    return at


@given(ticks, st.lists(freezes(), max_size=6), st.integers(0, 5))
def test_the_clock_is_what_leaving_one_freeze_after_another_comes_to(
    at: int, some: list[Interval], pick: int
) -> None:
    assert frozen_clock(at, some) == step_by_step(at, some, pick)


@given(ticks, st.lists(freezes(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_the_freezes_does_not_matter(
    at: int, some: list[Interval], random: Random
) -> None:
    shuffled = random.sample(some, len(some))
    assert frozen_clock(at, shuffled) == frozen_clock(at, some)


@given(ticks, st.lists(freezes(), max_size=6))
def test_reading_the_clock_again_changes_nothing(at: int, some: list[Interval]) -> None:
    clock = frozen_clock(at, some)
    assert clock <= at
    assert frozen_clock(clock, some) == clock


@given(ticks, ticks, st.lists(freezes(), max_size=6))
def test_the_clock_never_runs_backwards(one: int, other: int, some: list[Interval]) -> None:
    earlier, later = sorted((one, other))
    assert frozen_clock(earlier, some) <= frozen_clock(later, some)


@given(ticks, st.lists(freezes(), max_size=6), windows(ticks))
def test_a_window_neither_opens_nor_closes_inside_a_freeze(
    at: int, some: list[Interval], window: Window
) -> None:
    for begin, end in some:
        if begin <= at and (end is None or at < end):
            clocks = (frozen_clock(begin, some), frozen_clock(at, some))
            assert window.holds(clocks[0]) == window.holds(clocks[1])
