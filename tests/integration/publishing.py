"""Publishers in threads and processes, someone who changes the ledger, and who reads the topics."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from commands.identity import SYSTEM, uuid7
from commands.ledger import Ledger, Order
from consumers.prefix import start_from
from ledger.catalog import shipped_catalog
from ledger.content import Content
from ledger.events import Cause, ConfigCreated, encode
from ledger.intents import ActivateConfig, ArchiveConfig, CreateConfig, Intent, KillLever
from ledger.live import Live, things
from ledger.store import Draft, LedgerStore, Stored
from ledger.topics import CLIENT, Topics
from projections import publisher
from tests.integration.patience import eventually

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"
_PROGRAM = (
    "import sys, threading; from projections.publisher import run; "
    "run(*sys.argv[1:], threading.Event())"
)


class Operator:
    """Changes the ledger by commands."""

    def __init__(self, store: LedgerStore) -> None:
        self.store = store
        self.ledger = Ledger(store)
        self.ledger.adopt(shipped_catalog())

    def do(self, intent: Intent) -> int:
        """Carry an intent out; returns the position of its last event."""
        return self.ledger.execute(Order(SYSTEM, "the test"), lambda _: intent).position

    def config(self, tempo: float, *place: str) -> UUID:
        """Create and activate a config of one lever, in a world by default."""
        config_id = uuid7()
        scope, ref = place or ("world", "w1")
        data = {"name": "config", "scope": scope, "scope_ref": ref, "payload": {TEMPO: tempo}}
        self.do(CreateConfig(config_id, Content.from_json(data)))
        self.do(ActivateConfig(config_id))
        return config_id

    def activate(self, config_id: UUID) -> int:
        """Activate a config once more."""
        return self.do(ActivateConfig(config_id))

    def archive(self, config_id: UUID) -> int:
        """Put a config away."""
        return self.do(ArchiveConfig(config_id))

    def kill(self, lever: str) -> int:
        """Kill a lever."""
        return self.do(KillLever(lever))

    def bulk(self, count: int) -> int:
        """Append many drafts as one command; returns the position of the last."""
        cause = Cause(SYSTEM, "the test", uuid7(), uuid7())
        data = {"name": "bulk", "scope": "world", "scope_ref": "w1", "payload": {TEMPO: 1.0}}
        events = [ConfigCreated(uuid7(), 1, Content.from_json(data)) for _ in range(count)]
        drafts = [
            Draft(event.stream, 1, "ConfigCreated", encode(event, uuid7(), cause))
            for event in events
        ]
        expected = {draft.stream: 0 for draft in drafts}
        return self.store.append(drafts, expected=expected).events[-1].position

    def live(self) -> Live:
        """Fold the whole ledger."""
        return self.ledger.live_at(self.store.head().position)


class Publishing:
    """Starts and ends publishers of one ledger."""

    def __init__(self, database: str, bootstrap: str, prefix: str) -> None:
        self.prefix = prefix
        self._arguments = (database, bootstrap, prefix)
        self._threads: list[tuple[threading.Thread, threading.Event]] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def thread(self, on_error: Callable[[Exception], None] | None = None, **options: Any) -> None:
        """Run a publisher in a thread; return once it is ready, if there is a broker."""
        stop, ready = threading.Event(), threading.Event()

        def work() -> None:
            try:
                publisher.run(*self._arguments, stop, ready.set, **options)
            except Exception as error:
                (on_error or _raise)(error)

        thread = threading.Thread(target=work, name="publisher-under-test")
        self._threads.append((thread, stop))
        thread.start()
        if on_error is None:
            assert ready.wait(60)

    def process(self) -> subprocess.Popen[bytes]:
        """Run a publisher in a process of its own."""
        argv = [sys.executable, "-c", _PROGRAM, *self._arguments]
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """Stop the publishers in threads."""
        for thread, stop in self._threads:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()
        self._threads.clear()

    def end(self) -> None:
        """Stop and end all publishers."""
        for process in self._processes:
            kill(process)
        self.stop()


def _raise(error: Exception) -> None:
    raise error


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, frozen or not, and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


class Published:
    """Reads the topics as anybody can, and plays tricks on them."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        names = Topics(prefix)
        self.names = names
        self.prefix = prefix
        self.events = TopicPartition(names.events, 0)
        self.active = TopicPartition(names.active, 0)
        self.checkpoints = TopicPartition(names.checkpoints, 0)
        self._options = {**CLIENT, "bootstrap_servers": bootstrap.split(",")}
        self.admin = KafkaAdminClient(**self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.admin.close()

    @contextlib.contextmanager
    def consumer(self, isolation: str = "read_committed") -> Iterator[KafkaConsumer]:
        """Open a consumer that keeps to what it is told."""
        consumer = KafkaConsumer(
            **self._options,
            isolation_level=isolation,
            auto_offset_reset="none",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            max_poll_records=10_000,
        )
        try:
            yield consumer
        finally:
            consumer.close()

    @contextlib.contextmanager
    def producer(self, **options: Any) -> Iterator[KafkaProducer]:
        """Open a producer."""
        producer = KafkaProducer(**self._options, **options)
        try:
            yield producer
        finally:
            producer.close(timeout=5)

    def read(self, partition: TopicPartition) -> list[Any]:
        """Read all committed records of a topic, from its beginning to its end.

        Nothing of a topic that is not there, or that goes away meanwhile.
        """
        records: list[Any] = []
        with self.consumer() as consumer, contextlib.suppress(KafkaError):
            begin = consumer.beginning_offsets([partition], timeout_ms=1_000)[partition]
            end = consumer.end_offsets([partition], timeout_ms=1_000)[partition]
            consumer.assign([partition])
            consumer.seek(partition, begin)
            give_up = time.monotonic() + 5
            while consumer.position(partition) < end and time.monotonic() < give_up:
                records += consumer.poll(200).get(partition, [])
        return records

    def values(self) -> list[bytes]:
        """Read the values of all events."""
        return [record.value for record in self.read(self.events)]

    def held(self) -> dict[str, bytes]:
        """Read the newest values of the compacted topic."""
        newest = {record.key.decode(): record.value for record in self.read(self.active)}
        return {key: value for key, value in newest.items() if value is not None}

    def show(self, store: LedgerStore) -> bool:
        """Tell whether the topic of events is the ledger, byte for byte, each event once."""
        return self.values() == [stored.envelope() for stored in store.stream()]

    def mirror(self, live: Live) -> bool:
        """Tell whether the compacted topic is the state of the ledger."""
        started = start_from(self.held())
        return (
            started is not None
            and started.position == live.position
            and things(started) == things(live)
        )

    def empty(self, partition: TopicPartition, before: int | None = None) -> None:
        """Delete the records before an offset; all of them by default."""
        with self.consumer("read_uncommitted") as consumer:
            end = consumer.end_offsets([partition])[partition]
        self.admin.delete_records({partition: end if before is None else before})

    def delete(self, partition: TopicPartition) -> None:
        """Delete a topic."""
        self.admin.delete_topics([partition.topic])

    def await_more(self, count: int = 1) -> None:
        """Wait until the topic of events has grown by so many events."""
        wanted = len(self.read(self.events)) + count
        eventually(lambda: len(self.read(self.events)) >= wanted)

    def await_ledger(self, operator: Operator) -> None:
        """Wait until both topics are the ledger."""
        eventually(lambda: self.show(operator.store) and self.mirror(operator.live()))


def ledger_of(store: LedgerStore) -> list[Stored]:
    """Read the whole ledger."""
    return list(store.stream())
