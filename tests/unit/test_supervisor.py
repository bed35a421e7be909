"""What the supervisor decides, without any process."""

from __future__ import annotations

import signal

import pytest

from commands.supervisor import Backoff, Exit


def test_the_wait_doubles_up_to_the_longest() -> None:
    backoff = Backoff(first=0.1, longest=1.0)
    waits = [backoff.delay(failures) for failures in range(1, 7)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_the_wait_is_bounded_however_often_a_part_has_ended() -> None:
    assert Backoff(longest=5.0).delay(1_000_000) == 5.0


@pytest.mark.parametrize(
    ("exit_code", "clean", "words"),
    [
        (0, True, "ended with exit code 0"),
        (3, False, "ended with exit code 3"),
        (-signal.SIGKILL, False, "ended by SIGKILL"),
        (-250, False, "ended by signal 250"),
    ],
)
def test_an_end_says_how_it_came(exit_code: int, clean: bool, words: str) -> None:
    ended = Exit("publisher", 1, exit_code)
    assert ended.clean is clean
    assert str(ended) == words
