"""Topics in memory, and what reads them in the place of Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Condition
from typing import Self

import pytest

from consumers import replica as replica_module
from consumers.feed import Arrived, FeedLost
from ledger.clock import Instant
from ledger.cloudevents import Record, link_of
from projections.mirror import Mirror
from tests.unit.publishing import Broker, Chronicle


@dataclass
class Topics:
    """Topics in memory that feeds can be opened on; `down` is a broker that does not answer."""

    log: list[Record] = field(default_factory=list)
    active: dict[str, bytes] = field(default_factory=dict)
    down: bool = False
    opened: int = 0
    moved: Condition = field(default_factory=Condition)

    def hold(self, broker: Broker, events: int | None = None) -> None:
        """Show what a broker holds, or the first so many of its events."""
        with self.moved:
            self.log, self.active = broker.events[:events], dict(broker.active)
            self.moved.notify_all()

    def append(self, *records: Record) -> None:
        with self.moved:
            self.log = [*self.log, *records]
            self.moved.notify_all()


class MemoryFeed:
    """A feed on topics in memory."""

    topics: Topics

    def __init__(self, *_: object) -> None:
        self._offset = 0

    def __enter__(self) -> Self:
        self._ask()
        self.topics.opened += 1
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def state(self) -> dict[str, bytes]:
        return dict(self.topics.active)

    def follow(self, since: Instant | None) -> None:
        known = [r for r in self.topics.log if since is not None and r.timestamp_ms < since // 1000]
        self._offset = len(known)

    def poll(self) -> list[Arrived]:
        with self.topics.moved:
            self.topics.moved.wait_for(lambda: len(self.topics.log) != self._offset, 0.05)
            if len(self.topics.log) < self._offset:
                raise FeedLost("the log was cut, or made anew")
            new = self.topics.log[self._offset :]
        self._offset += len(new)
        return [Arrived(link_of(record.headers), record.value or b"") for record in new]

    def end(self) -> int:
        self._ask()
        return len(self.topics.log)

    def offset(self) -> int:
        return self._offset

    def _ask(self) -> None:
        if self.topics.down:
            raise FeedLost("no broker takes connections")


def fed_from_memory(monkeypatch: pytest.MonkeyPatch) -> Topics:
    """Have every replica read topics in memory, which are given back."""
    topics = Topics()
    monkeypatch.setattr(MemoryFeed, "topics", topics, raising=False)
    monkeypatch.setattr(replica_module, "Feed", MemoryFeed)
    return topics


def published(chronicle: Chronicle) -> Broker:
    broker = Broker()
    for _ in broker.publish(chronicle.stored, 500, Mirror()):
        pass
    return broker
