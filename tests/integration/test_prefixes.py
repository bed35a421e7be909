"""Prefixes of the ledger: which are kept, for how long, and how that is counted."""

from __future__ import annotations

import pytest

from commands.ledger import Ledger
from commands.prefixes import Prefixes
from ledger.scopes import Context
from ledger.store import LedgerStore
from tests.integration.publishing import Operator

CONTEXT = Context("s", world_id="w")


class Clock:
    """Shows what it is set to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(store: LedgerStore) -> Ledger:
    """A ledger of five events."""
    operator = Operator(store)
    operator.config(1.5)
    operator.config(2.0)
    return operator.ledger


def test_what_nobody_asks_for_is_forgotten(ledger: Ledger, clock: Clock) -> None:
    prefixes = Prefixes(ledger, ttl=60, clock=clock)
    for position in (2, 4):
        prefixes.at(position, CONTEXT)
    clock.now += 59
    prefixes.at(4, CONTEXT)
    clock.now += 1
    assert prefixes.statistics().positions == (4,)
    assert prefixes.statistics().oldest_age == 60


def test_the_longest_unasked_makes_room(ledger: Ledger, clock: Clock) -> None:
    prefixes = Prefixes(ledger, limit=2, clock=clock)
    for position in (1, 2, 1, 3):
        prefixes.at(position, CONTEXT)
    assert prefixes.statistics().positions == (1, 3)


def test_only_a_fold_is_a_miss(ledger: Ledger, clock: Clock) -> None:
    prefixes = Prefixes(ledger, clock=clock)
    for _ in range(3):
        assert prefixes.newest().position == 5
        assert prefixes.at(3, CONTEXT).position == 3
    kept = prefixes.statistics()
    assert (kept.hits, kept.misses) == (5, 1)


def test_without_time_to_live_nothing_is_kept(ledger: Ledger, clock: Clock) -> None:
    prefixes = Prefixes(ledger, ttl=0, clock=clock)
    assert [prefixes.at(3, CONTEXT).position, prefixes.newest().position] == [3, 5]
    assert prefixes.statistics().positions == ()
