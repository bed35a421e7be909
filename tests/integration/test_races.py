"""Under load the ledger's promises hold; without its guards each check notices."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.store import LedgerStore
from tests.integration import racing
from tests.integration.racing import Observed, Sabotage, race

ATTEMPTS = 5

Check = Callable[[Observed], None]


def test_all_promises_hold_under_load(database: str) -> None:
    _check_everything(race(database))


@pytest.mark.parametrize("hardship", [racing.STEPPING_CLOCK, racing.SLOW_COMMITS], ids=str)
def test_all_promises_hold_under_hardship(database: str, hardship: Sabotage) -> None:
    hardship.install(database)
    _check_everything(race(database))


@pytest.mark.parametrize(
    ("guard_removed", "check"),
    [
        (racing.UNLOCKED, racing.no_gap),
        (racing.UNLOCKED, racing.stamps_increase),
        (racing.UNLOCKED, racing.tail_misses_nothing),
        (racing.UNEXPECTING, racing.no_activation_in_a_freeze),
        (racing.UNEXPECTING, racing.no_lost_update),
        (racing.FORGETFUL, racing.no_doubled_request),
        (racing.TRUSTING, racing.stamps_increase),
        (racing.IMPATIENT, racing.answers_stay),
        (racing.CARELESS, racing.answers_stay),
    ],
    ids=lambda value: str(getattr(value, "__name__", value)),
)
def test_without_its_guard_a_check_fails(
    database: str, guard_removed: Sabotage, check: Check
) -> None:
    guard_removed.install(database)
    assert any(_fails(check, race(database)) for _ in range(ATTEMPTS))


def test_an_answer_about_an_instant_that_is_not_closed_changes(database: str) -> None:
    racing.SLOW_COMMITS.install(database)
    with LedgerStore(database) as store:
        answers = (race(database, ask=store.position_at) for _ in range(ATTEMPTS))
        assert any(_fails(racing.answers_stay, seen) for seen in answers)


def _check_everything(seen: Observed) -> None:
    for check in racing.CHECKS:
        check(seen)


def _fails(check: Check, seen: Observed) -> bool:
    try:
        check(seen)
    except AssertionError:
        return True
    return False
