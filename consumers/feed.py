"""The topics as a replica reads them. All Kafka of a game's process is here.

There is no group and no stored offset: a replica reads from what it finds. Kafka's client is
imported only when a feed is opened, for a game's start must not wait for it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ledger.clock import Instant
from ledger.cloudevents import Link, link_of
from ledger.topics import Topics, open_client

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

_POLL_MS = 200
_ASK_MS = 3_000
_BUSY_SECONDS = 1.0
_BUSY_LOOK, _QUIET_LOOK = 0.002, 0.02
"""Seconds between two looks for records, within _BUSY_SECONDS after the last one and later."""
_LONGEST_SILENCE = 50
"""Polls without a record, where there must be one."""

_CONSUMER = {
    # Out of range means that the log was cut or made anew. That calls for a new start from the
    # state, never for a jump to either end of the log.
    "auto_offset_reset": "none",
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
    "max_poll_records": 5_000,
    "metrics_enabled": False,
}


class FeedLost(Exception):
    """The feed cannot go on from where it was."""


class Arrived(NamedTuple):
    """A record of the topic of events; `link` None for one that is no event."""

    link: Link | None
    value: bytes


class Feed:
    """One connection to the topics, for one thread. After an error, close it and open another."""

    def __init__(self, bootstrap: str, topics: Topics, options: Mapping[str, Any]) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._options = {**options, "bootstrap_servers": bootstrap.split(",")}
        self._context = contextlib.ExitStack()
        self._busy_until = 0.0

    def __enter__(self) -> Self:
        from kafka import TopicPartition
        from kafka.errors import KafkaError

        _reach(self._bootstrap)
        self._events = TopicPartition(self._topics.events, 0)
        self._active = TopicPartition(self._topics.active, 0)
        try:
            # Reading what is not committed is right here, and only here. An event is in the ledger
            # for good before it is published, and the same position always has the same bytes: an
            # aborted transaction has only said early what is said again. So no transaction that
            # hangs, and no broker that mistakes which ones were aborted, can stop us.
            self._consumer = self._open("read_uncommitted")
        except KafkaError as error:
            raise FeedLost(
                f"{self._bootstrap} takes connections but does not answer as a broker: "
                f"are security_protocol, user and password right? ({error})"
            ) from error
        self._context.callback(self._consumer.close, timeout_ms=_ASK_MS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.close()

    def state(self) -> dict[str, bytes]:
        """Read the compacted topic to its end as of now: values by key, without what is gone."""
        held: dict[str, bytes] = {}
        with contextlib.closing(self._open("read_committed")) as consumer:
            begin = _ask(consumer.beginning_offsets, self._active)
            # A transaction ends exactly there: what comes after may be half of another one.
            end = _ask(consumer.end_offsets, self._active)
            consumer.assign([self._active])
            consumer.seek(self._active, begin)
            silent = 0
            while consumer.position(self._active) < end:
                records = _poll(consumer, self._active, _POLL_MS)
                silent = 0 if records else silent + 1
                if silent > _LONGEST_SILENCE:
                    raise FeedLost(f"{self._topics.active} does not come to its end")
                for record in records:
                    if record.offset < end:
                        _put(held, record)
        return held

    def follow(self, since: Instant | None) -> None:
        """Go to the first event recorded at or after an instant; None for the very first."""
        start = _ask(self._consumer.beginning_offsets, self._events)
        if since is not None:
            end = self.end()
            asked = {self._events: since // 1000}
            found = self._consumer.offsets_for_times(asked, timeout_ms=_ASK_MS)[self._events]
            start = end if found is None else found.offset
        self._consumer.assign([self._events])
        self._consumer.seek(self._events, start)

    def poll(self) -> list[Arrived]:
        """Wait a moment for records; raises FeedLost when the log is not the one it was."""
        from kafka.errors import OffsetOutOfRangeError

        try:
            records = self._await_records()
        except OffsetOutOfRangeError:
            raise FeedLost("the log was cut, or made anew") from None
        return [Arrived(link_of(record.headers), record.value or b"") for record in records]

    def _await_records(self) -> list[Any]:
        # The embedded broker answers at once that there is nothing, and a client that may wait asks
        # it again at once: two thirds of a core for a game that stands still. So we look instead.
        give_up = time.monotonic() + _POLL_MS / 1000
        while not (records := _poll(self._consumer, self._events, 0)):
            now = time.monotonic()
            if now > give_up:
                return []
            time.sleep(_BUSY_LOOK if now < self._busy_until else _QUIET_LOOK)
        self._busy_until = time.monotonic() + _BUSY_SECONDS
        return records

    def end(self) -> int:
        """Ask for the end of the log; raises when no broker answers."""
        return _ask(self._consumer.end_offsets, self._events)

    def offset(self) -> int:
        """Tell the offset of the record to come."""
        position: int = self._consumer.position(self._events)
        return position

    def _open(self, isolation_level: str) -> KafkaConsumer:
        from kafka import KafkaConsumer
        from kafka.net.compat import KafkaNetClient

        options = {**self._options, **_CONSUMER, "isolation_level": isolation_level}
        return open_client(KafkaConsumer, KafkaNetClient, **options)


def _ask(question: Any, partition: TopicPartition) -> int:
    offset: int = question([partition], timeout_ms=_ASK_MS)[partition]
    return offset


def _poll(consumer: KafkaConsumer, partition: TopicPartition, patience_ms: int) -> list[Any]:
    records: list[Any] = consumer.poll(patience_ms).get(partition, [])
    return records


def _put(held: dict[str, bytes], record: Any) -> None:
    key = (record.key or b"").decode(errors="replace")
    if record.value is None:
        held.pop(key, None)
    else:
        held[key] = record.value


def _reach(bootstrap: str) -> None:
    import socket

    # Asked first, because to a client a wrong password, or TLS amiss, looks like a silent network.
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
        except (OSError, ValueError) as error:
            refused = error
        else:
            return
    raise FeedLost(f"no broker at {bootstrap} takes connections: {refused}")
