"""Eight threads resolve while a thousand events and more a second are applied.

Every batch sets two configs to its own number, so that half a batch shows; a reader that has waited
for a position must find at least that, in a new turn, without a turn, and not in an old one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import UUID

import pytest

from consumers.replica import Replica
from consumers.session import Session
from ledger.cloudevents import Record
from ledger.content import Content, Pinned
from ledger.events import Cause, ConfigActivated, Recorded, encode
from ledger.resolve import Resolution
from ledger.scopes import Context
from ledger.store import Stored
from projections.mirror import Mirror
from tests.unit.feeding import Topics, fed_from_memory
from tests.unit.publishing import Broker

READERS = 8
BATCHES = 10_000
CHUNK, BACKLOG = 7, 50  # an odd chunk parts batches
THINKING_SECONDS = 0.002
SECONDS = 60.0
TOKENS, QUOTA = "CURRENCY_SINK_DAILY_CAP", "CURRENCY_SOURCE_DAILY_CAP"
START = 1_767_225_600_000_000


def _activated(number: int, config: int, lever: str, place: tuple[str, str]) -> ConfigActivated:
    data = {"name": "n", "scope": place[0], "scope_ref": place[1], "payload": {lever: number}}
    content = Content.from_json(data)
    return ConfigActivated(UUID(int=config), Pinned.of(number + 1, content, content.window))


def _batches() -> Iterator[Stored]:
    for number in range(BATCHES):
        cause = Cause(UUID(int=1), "", UUID(int=number + 1), UUID(int=number + 1))
        both = [
            _activated(number, 1, TOKENS, ("global", "global")),
            _activated(number, 2, QUOTA, ("world", "w1")),
        ]
        for position, event in enumerate(both, start=2 * number + 1):
            at = START + position
            recorded = Recorded(position, at, UUID(int=position), cause, event)
            state = encode(event, recorded.event_id, cause)
            yield Stored(position, at, event.stream, number + 1, "ConfigActivated", state)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    broker = Broker()
    for _ in broker.publish(list(_batches()), 500, Mirror()):
        pass
    return broker.events


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    return fed_from_memory(monkeypatch)


def number(answer: Resolution) -> int:
    """Which batch an answer is of; it is of no half."""
    assert answer.values[TOKENS] == answer.values[QUOTA]
    assert answer.position == 2 * answer.values[TOKENS] + 2
    return int(answer.values[TOKENS])


class Reader:
    """Asks in every way there is, all the time but for a moment's thought."""

    def __init__(self, replica: Replica, seed: int, over: Event) -> None:
        self._replica = replica
        self._rng = random.Random(seed)
        self._over = over
        self.answers = 0

    def read(self) -> None:
        session = self._replica.session(Context(f"s{self._rng.randrange(4)}", world_id="w1"))
        turn = self._rng.randrange(10**6)
        last = 0
        while not self._over.wait(self._rng.uniform(0, THINKING_SECONDS)):
            position = self._replica.position
            last = max(last, self._unpinned(max(position, last)))
            turn += 1
            first = self._turn(session, turn, position)
            assert self._again(session, turn) == first
            self.answers += 4

    def _unpinned(self, position: int) -> int:
        assert self._replica.wait_for(position, SECONDS)
        answer = self._replica.resolve(Context("other", world_id="w1"))
        number(answer)
        assert answer.position >= position
        return answer.position

    def _turn(self, session: Session, turn: int, position: int) -> Resolution:
        answer = session.turn(turn)
        number(answer)
        assert answer.position >= position
        return answer

    def _again(self, session: Session, turn: int) -> Resolution:
        context = Context(session.context.session_id, turn, world_id="w1")
        assert self._replica.resolve(context) == session.turn(turn)
        return session.turn(turn)


def test_readers_see_whole_batches_and_what_they_waited_for(
    topics: Topics, records: list[Record]
) -> None:
    over = Event()
    with Replica("memory") as replica, ThreadPoolExecutor(READERS) as pool:
        topics.append(*records[:CHUNK])
        assert replica.wait_for(CHUNK - 1, SECONDS)
        readers = [Reader(replica, seed, over) for seed in range(READERS)]
        reading = [pool.submit(reader.read) for reader in readers]
        began = time.monotonic()
        try:
            for begin in range(CHUNK, len(records), CHUNK):
                topics.append(*records[begin : begin + CHUNK])
                assert replica.wait_for(begin - BACKLOG, SECONDS)
            assert replica.wait_for(len(records), SECONDS)
        finally:
            took = time.monotonic() - began
            over.set()
        for read in reading:
            read.result()
    assert all(reader.answers >= 40 for reader in readers)
    assert len(records) / took >= 1_000, f"only {len(records) / took:.0f} events a second"
