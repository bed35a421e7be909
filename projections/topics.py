"""The topics as their one writer sees them. All Kafka of the publisher is here.

Use as a context: entering fences every earlier writer. After any error, leave it and open a new
one; nothing is kept between two but what the topics themselves hold.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient

from ledger.cloudevents import Record, link_of
from ledger.topics import LARGEST_RECORD, Topics, open_client

_COMMIT_SECONDS = 20.0
_CHECK_SECONDS = 1.0
_SETTLE_SECONDS = 10.0
_SIGHT_SECONDS = 5.0
_POLL_MS = 50
_ASK_MS = 3_000

_PRODUCER = {
    "transaction_timeout_ms": 30_000,
    "delivery_timeout_ms": 15_000,
    "max_block_ms": 10_000,
    "max_request_size": LARGEST_RECORD,
    "batch_size": 1_000_000,
    "linger_ms": 20,
    "allow_auto_create_topics": False,
}
_CONSUMER = {
    "isolation_level": "read_committed",
    "auto_offset_reset": "none",
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
}


class TopicRemade(Exception):
    """A topic was deleted, emptied or cut while we were writing it."""


class RecordsWithheld(Exception):
    """The broker took records and does not give them to consumers: start it anew.

    Seen on the embedded broker, after a writer died inside a transaction.
    """


class Tail(NamedTuple):
    """The first and the last event in a topic; positions are 0 when it is empty."""

    first_position: int
    position: int
    value: bytes


EMPTY = Tail(0, 0, b"")


class TopicWriter:
    """Writes events, things and signed heads in transactions, as the only one who can."""

    def __init__(
        self, bootstrap: str, topics: Topics, stop: Event, options: Mapping[str, Any]
    ) -> None:
        self._options = {**options, "bootstrap_servers": bootstrap.split(",")}
        self._topics = topics
        self._stop = stop
        self._events = TopicPartition(topics.events, 0)
        self._active = TopicPartition(topics.active, 0)
        self._checkpoints = TopicPartition(topics.checkpoints, 0)
        self._begins: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._written_at = 0
        self._context = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            transactions = {**_PRODUCER, "transactional_id": f"{self._topics.prefix}-publisher"}
            self._producer = self._open(KafkaProducer, transactions)
            opened.callback(_discard, self._producer)
            self._admin = self._open(KafkaAdminClient, {})
            opened.callback(self._admin.close)
            self._consumer = self._open(KafkaConsumer, _CONSUMER)
            opened.callback(self._consumer.close, timeout_ms=1_000)
            # From here on nobody before us can write, and what they left open has been ended.
            self._producer.init_transactions()
            self._make_topics()
            # A topic that the producer knows from its first look only, and was never told of, it
            # forgets when it is told of another; then its records wait for ever.
            for name in self._topics.settings:
                self._producer._sender.add_topic(name)
            self._settle()
            self._context = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.close()

    def tail(self) -> Tail:
        """Find the newest event in the topic, stepping back over markers and aborted batches."""
        last = self._last(self._events, _position)
        if last is None:
            return EMPTY
        first = next(filter(_position, self._read(self._events, self._begins[self._events])))
        return Tail(_position(first), _position(last), last.value)

    def newest_note(self, reads: Callable[[bytes], Any]) -> bytes | None:
        """Find the newest signed head in its topic: the last record that `reads` as one."""
        last = self._last(self._checkpoints, lambda record: reads(record.value or b""))
        return None if last is None else bytes(last.value)

    def _last(self, partition: TopicPartition, counts: Callable[[Any], Any]) -> Any:
        """Find the last record that counts, the end first; None if there is none."""
        begin, end = self._begins[partition], self._ends[partition]
        step = 2
        while begin < end:
            start = max(begin, end - step)
            found = [record for record in self._read(partition, start) if counts(record)]
            if found:
                return found[-1]
            if start == begin:
                break
            step *= 8
        return None

    def held(self) -> dict[str, bytes]:
        """Read all things from the compacted topic, the head among them."""
        held: dict[str, bytes] = {}
        for record in self._read(self._active, self._begins[self._active]):
            key = (record.key or b"").decode(errors="replace")
            if record.value is None:
                held.pop(key, None)
            else:
                held[key] = record.value
        return held

    def write(
        self, events: Sequence[Record], things: Sequence[Record], heads: Sequence[Record] = ()
    ) -> None:
        """Write all in one transaction; raises TopicRemade when a topic is not where it was."""
        self._producer.begin_transaction()
        sent = {
            partition: [self._send(partition, record) for record in records]
            for partition, records in (
                (self._events, events),
                (self._active, things),
                (self._checkpoints, heads),
            )
        }
        self._commit()
        for partition, futures in sent.items():
            self._note(partition, [future.get(timeout=0).offset for future in futures])

    def seen(self, position: int) -> None:
        """Make sure that a consumer who waits at the end is given the event just written.

        Raises RecordsWithheld.
        """
        start = self._written_at
        for record in self._read(self._events, start, patience=_SIGHT_SECONDS):
            if _position(record) == position:
                return
        raise RecordsWithheld(f"event {position} was committed at offset {start} and is not seen")

    def unchanged(self) -> bool:
        """Tell whether the topics are as we left them."""
        begins, ends = self._bounds()
        kept = begins == self._begins and all(ends[p] >= self._ends[p] for p in ends)
        self._ends = ends
        return kept

    def clear_events(self) -> None:
        """Delete all records of the topic of events, so that it can be filled from the first."""
        self._admin.delete_records({self._events: self._ends[self._events]})
        self._begins, self._ends = self._bounds()

    def _open(self, make: Any, options: Mapping[str, Any]) -> Any:
        return open_client(make, KafkaNetClient, **{**self._options, **options})

    # --- Making ---

    def _make_topics(self) -> None:
        for name, settings in self._topics.settings.items():
            wanted = {"num_partitions": 1, "replication_factor": -1, "configs": dict(settings)}
            try:
                self._admin.create_topics({name: wanted}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                self._mend(name, settings)

    def _mend(self, name: str, settings: Mapping[str, str]) -> None:
        # A broker that makes topics for whoever asks for one makes them with settings of its own.
        found = self._admin.describe_configs([ConfigResource("TOPIC", name)])["topic"][name]
        if any(found.get(key, {}).get("value") != value for key, value in settings.items()):
            self._admin.alter_configs([ConfigResource("TOPIC", name, dict(settings))])

    def _settle(self) -> None:
        """Wait until no transaction is open in the topics: only then is their tail final."""
        give_up = time.monotonic() + _SETTLE_SECONDS
        while True:
            self._begins, self._ends = self._bounds()
            highest = self._admin.list_partition_offsets(dict.fromkeys(self._ends, -1))
            if all(self._ends[p] == found.offset for p, found in highest.items()):
                return
            if self._stop.wait(_POLL_MS / 1000) or time.monotonic() > give_up:
                raise RecordsWithheld("an unfinished transaction hides the end of a topic")

    # --- Reading and writing ---

    def _bounds(self) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        # One at a time: asked for all, the client leaves out one whose leader it has yet to learn.
        ours = (self._events, self._active, self._checkpoints)
        begins = {each: self._ask(self._consumer.beginning_offsets, each) for each in ours}
        return begins, {each: self._ask(self._consumer.end_offsets, each) for each in ours}

    def _ask(self, question: Any, partition: TopicPartition) -> int:
        offset: int = question([partition], timeout_ms=_ASK_MS)[partition]
        return offset

    def _read(
        self, partition: TopicPartition, start: int, patience: float = _COMMIT_SECONDS
    ) -> Iterator[Any]:
        """Yield the committed records from an offset to the known end."""
        self._consumer.assign([partition])
        self._consumer.seek(partition, start)
        give_up = time.monotonic() + patience
        while (offset := self._consumer.position(partition)) < self._ends[partition]:
            found = self._consumer.poll(_POLL_MS).get(partition, [])
            yield from (record for record in found if record.offset < self._ends[partition])
            if found:
                give_up = time.monotonic() + patience
            elif time.monotonic() > give_up:
                raise KafkaTimeoutError(f"{partition.topic} cannot be read from offset {offset}")
            if self._stop.is_set():
                raise KafkaError("stopped while reading")

    def _send(self, partition: TopicPartition, record: Record) -> Any:
        return self._producer.send(
            partition.topic,
            value=record.value,
            key=record.key,
            headers=record.headers,
            partition=partition.partition,
            timestamp_ms=record.timestamp_ms,
        )

    def _commit(self) -> None:
        # What `commit_transaction` does, but it waits for ever when the broker goes away just now.
        result = self._producer._transaction_manager.begin_commit()
        self._producer._sender.wakeup()
        began = time.monotonic()
        while not result.wait(timeout_ms=250):
            waited = time.monotonic() - began
            if self._stop.is_set() or waited > _COMMIT_SECONDS:
                raise KafkaTimeoutError("the broker does not answer a commit")
            # The client tries for long to write to a topic that is no more.
            if waited > _CHECK_SECONDS and not self.unchanged():
                raise TopicRemade("a topic is not as it was when a transaction began")

    def _note(self, partition: TopicPartition, offsets: Sequence[int]) -> None:
        if not offsets:
            return
        if offsets[0] < self._ends[partition]:
            raise TopicRemade(f"{partition.topic} began anew")
        if partition == self._events:
            self._written_at = offsets[0]
        self._ends[partition] = offsets[-1] + 1


def _position(record: Any) -> int:
    link = link_of(record.headers)
    return 0 if link is None else link.position


def _discard(producer: KafkaProducer) -> None:
    # `close` alone first waits for what nobody may send any more; when that fails its thread stays.
    producer._sender.force_close()
    producer._sender.join(_SETTLE_SECONDS)
    with contextlib.suppress(KafkaError):
        producer.close(timeout=0)
