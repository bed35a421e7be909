"""Folding straight from the database."""

from __future__ import annotations

import pytest

from benchmarks.ledgers import Past, grow
from commands.ledger import Ledger
from ledger.events import decode
from ledger.live import things
from ledger.state import replay_live
from ledger.store import LedgerStore
from tests.integration.drafting import append


@pytest.mark.parametrize(("after", "upto"), [(0, None), (0, 6), (4, None), (3, 8), (10, None)])
def test_states_are_the_events_without_their_streams(
    store: LedgerStore, after: int, upto: int | None
) -> None:
    append(store, 10)

    expected = [
        (stored.position, stored.recorded_at, stored.state)
        for stored in store.stream(after=after, upto=upto)
    ]
    for batch in (1, 2, 3, 100):
        assert list(store.states(after=after, upto=upto, batch=batch)) == expected


def test_a_prefix_is_folded_as_its_events_one_by_one(database: str, store: LedgerStore) -> None:
    grow(database, Past(), 6500)
    ledger = Ledger(store)

    for position in (0, 1, 4500, 6500):
        events = [decode(s.position, s.recorded_at, s.state) for s in store.stream(upto=position)]
        folded = ledger.live_at(position)
        assert things(folded) == things(replay_live(events))
        assert folded.position == position
