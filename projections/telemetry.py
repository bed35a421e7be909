"""Brings what games report on Kafka into `liveops_snapshots`.

One reader at a time, by a lock of the database session that writes. How far it has read moves with
the rows in one transaction, so nothing is taken twice or left out; a topic that was made anew is
read from its beginning, and a sample that comes again is one row by its id. A record that is no
sample is skipped and told of: a game that writes nonsense must not keep the others from reporting.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from threading import Event
from types import TracebackType
from typing import Any, Self

import psycopg
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient

from ledger.cloudevents import Unreadable
from ledger.errors import LedgerError
from ledger.samples import Sample
from ledger.topics import TELEMETRY_PARTITIONS, TELEMETRY_SETTINGS, Topics, open_client
from projections import sql
from projections.snapshots import add_snapshot
from projections.views import Connection, close, connect

Json = Any

_log = logging.getLogger(__name__)

_ASK_MS = 3_000
_CHECK_SECONDS = 2.0
_LOOK_SECONDS = 0.5
_BETWEEN_LOOKS = 0.1
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

_CONSUMER = {
    "auto_offset_reset": "none",
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
    "max_poll_records": 500,
    # With them, who starts on several partitions of the embedded broker at once is now and
    # then given nothing for ever.
    "enable_incremental_fetch_sessions": False,
    "metrics_enabled": False,
}


class TelemetryRemade(Exception):
    """The topic of telemetry was made anew while it was read."""


class TelemetryStuck(Exception):
    """The broker has records and does not give them: a new connection helps."""


_EXPECTED = (KafkaError, LedgerError, psycopg.Error, OSError, TelemetryRemade, TelemetryStuck)


def run(url: str, bootstrap: str, prefix: str, stop: Event, **kafka: Any) -> None:
    """Take down what games report until `stop` is set; everything is retried for ever.

    `url` names a login that may become liveops_projector; `kafka` are options of kafka-python's
    clients, for security.
    """
    pause, said = _FIRST_PAUSE, ""
    while not stop.is_set():
        began = time.monotonic()
        try:
            _work(url, bootstrap, Topics(prefix).telemetry, stop, kafka)
        except Exception as error:
            said = _report(error, said)
        if time.monotonic() - began > _LONGEST_PAUSE:
            pause, said = _FIRST_PAUSE, ""
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _report(error: Exception, before: str) -> str:
    words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if words != before:
        _log.warning("telemetry: %s", words, exc_info=not isinstance(error, _EXPECTED))
    return words


def _work(url: str, bootstrap: str, topic: str, stop: Event, kafka: Mapping[str, Any]) -> None:
    connection = connect(url)
    try:
        while not _leads(connection, topic):
            if stop.wait(_LOOK_SECONDS):
                return
        with _Reader(bootstrap, topic, kafka) as reader:
            reader.start(_offsets(connection, topic))
            while not stop.is_set():
                records = reader.poll()
                _take(connection, topic, records)
                # The embedded broker answers a fetch at once, though there is nothing: who asked
                # again and again would keep half a core busy.
                if not records:
                    stop.wait(_BETWEEN_LOOKS)
    finally:
        close(connection)


def _leads(connection: Connection, topic: str) -> bool:
    row = connection.execute(sql.queries()["telemetry_lead"], {"topic": topic}).fetchone()
    return row == (True,)


def _offsets(connection: Connection, topic: str) -> dict[int, int]:
    found = connection.execute(sql.queries()["telemetry_offsets"], {"topic": topic})
    return dict(found.fetchall())


def _take(connection: Connection, topic: str, records: Sequence[Any]) -> None:
    """Write records down, and how far that is; with none, tell the database that we are there."""
    with connection.transaction():
        for record in records:
            _take_one(connection, record)
        ends = {record.partition: record.offset + 1 for record in records}
        for partition, offset in ends.items():
            place = {"topic": topic, "partition": partition, "next_offset": offset}
            connection.execute(sql.queries()["telemetry_move"], place)


def _take_one(connection: Connection, record: Any) -> None:
    try:
        sample = Sample.read(record.value or b"")
        with connection.transaction():
            add_snapshot(connection, sample)
    except (Unreadable, ValueError, psycopg.DataError) as error:
        place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        _log.warning("what is at %s is no sample: %s", place, error)


class _Reader:
    """The topic of telemetry, made if it is not there. Use as a context."""

    def __init__(self, bootstrap: str, topic: str, kafka: Mapping[str, Any]) -> None:
        self._options = {**kafka, "bootstrap_servers": bootstrap.split(",")}
        self._topic = topic
        self._parts: list[TopicPartition] = []
        self._checked = 0.0
        self._stuck = False
        self._context = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            self._make_topic()
            self._consumer = open_client(
                KafkaConsumer, KafkaNetClient, **{**self._options, **_CONSUMER}
            )
            opened.callback(self._consumer.close, timeout_ms=1_000)
            self._context = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.close()

    def _make_topic(self) -> None:
        wanted = {
            "num_partitions": TELEMETRY_PARTITIONS,
            "replication_factor": -1,
            "configs": dict(TELEMETRY_SETTINGS),
        }
        admin = open_client(KafkaAdminClient, KafkaNetClient, **self._options)
        try:
            admin.create_topics({self._topic: wanted}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            pass
        finally:
            admin.close()

    def start(self, offsets: Mapping[int, int]) -> None:
        """Go to where reading stopped; to the beginning where the topic has nothing there."""
        numbers = self._consumer.partitions_for_topic(self._topic) or set()
        self._parts = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        if not self._parts:
            raise KafkaError(f"the broker knows no partitions of {self._topic}")
        starts = {part: self._start(part, offsets) for part in self._parts}
        # Asked for before anything is assigned: nothing else is on its way when we go there.
        self._consumer.assign(self._parts)
        for part, start in starts.items():
            self._consumer.seek(part, start)
        _log.info("reading %s from %s", self._topic, list(starts.values()))

    def _start(self, part: TopicPartition, offsets: Mapping[int, int]) -> int:
        begin, end = self._ask("beginning_offsets", part), self._ask("end_offsets", part)
        offset = offsets.get(part.partition, begin)
        return offset if begin <= offset <= end else begin

    def poll(self) -> list[Any]:
        """Return what has come; raises TelemetryRemade when the topic is not what it was."""
        found = self._consumer.poll(0)
        self._stuck = self._stuck and not found
        if not found and time.monotonic() - self._checked > _CHECK_SECONDS:
            self._check()
        return [record for records in found.values() for record in records]

    def _check(self) -> None:
        # While a broker is away `poll` gives nothing for ever, and a new one may know no topic.
        stuck = False
        for part in self._parts:
            end, position = self._ask("end_offsets", part), self._consumer.position(part)
            if end < position:
                raise TelemetryRemade(f"{self._topic} was made anew")
            stuck = stuck or position < end
        if stuck and self._stuck:
            raise TelemetryStuck(f"there are records in {self._topic}, and none is given")
        self._stuck = stuck
        self._checked = time.monotonic()

    def _ask(self, question: str, part: TopicPartition) -> int:
        offset: int = getattr(self._consumer, question)([part], timeout_ms=_ASK_MS)[part]
        return offset
