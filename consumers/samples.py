"""Reports samples of what a game's sessions are given, for the ledger to check.

    with Replica("kafka:9092") as replica, Sampler(replica, "kafka:9092", share=0.01):
        ...

A turn never waits for it and never fails by it: what is sampled is put on a shelf of limited size,
and sent by a thread of its own. What finds no room, or cannot be sent, is dropped and counted.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from consumers.logs import log
from ledger.samples import Sample
from ledger.topics import Topics, open_client

if TYPE_CHECKING:
    from kafka import KafkaProducer

MOST_WAITING = 1_000
_LOOK_SECONDS = 0.1
_PAUSE_SECONDS = 2.0
_CLOSE_SECONDS = 5.0

_PRODUCER = {
    # A sample is a sample: rather one less than a game that keeps them all while no broker answers.
    "acks": 1,
    "enable_idempotence": False,
    "retries": 3,
    "delivery_timeout_ms": 15_000,
    "max_block_ms": 2_000,
    "linger_ms": 50,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


class Sampled(Protocol):
    """What tells of the answers that it gives, as a `consumers.replica.Replica` does."""

    def on_sample(self, listener: Callable[[Sample], None], *, share: float) -> None:
        """Have a function called with the answers of a share of all turns."""


class Sampler:
    """Reports a share of a replica's turns, from 0 to 1; a context manager.

    `bootstrap`, `prefix` and `kafka` are those of the replica.
    """

    def __init__(
        self,
        replica: Sampled,
        bootstrap: str,
        *,
        share: float,
        prefix: str = "liveops",
        most_waiting: int = MOST_WAITING,
        **kafka: Any,
    ) -> None:
        self.taken = 0
        self.sent = 0
        self.dropped = 0
        self._topic = Topics(prefix).telemetry
        self._options = {**kafka, "bootstrap_servers": bootstrap.split(",")}
        self._most_waiting = most_waiting
        self._waiting: deque[Sample] = deque()
        self._stop = Event()
        self._trouble = ""
        self._thread = Thread(target=self._keep_sending, name="liveops-samples", daemon=True)
        if share > 0:
            self._thread.start()
            replica.on_sample(self.take, share=share)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def take(self, sample: Sample) -> None:
        """Put a sample on the shelf, or drop it when the shelf is full."""
        self.taken += 1
        if len(self._waiting) >= self._most_waiting:
            self.dropped += 1
        else:
            self._waiting.append(sample)

    def close(self) -> None:
        """Send what is waiting, if that can be done in a few seconds, and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _CLOSE_SECONDS)

    # --- Sending ---

    def _keep_sending(self) -> None:
        while True:
            stopping = self._stop.wait(_LOOK_SECONDS)
            if self._waiting:
                try:
                    self._send_until_stopped()
                except Exception as error:
                    self._lose(error)
            if stopping or self._stop.is_set():
                return

    def _lose(self, error: Exception) -> None:
        """Say what is wrong, unless it was said; what waits may have to make way for newer ones."""
        words = f"{type(error).__name__}: {error}"
        if words != self._trouble:
            log().warning("no samples are sent to %s: %s", self._topic, words)
        self._trouble = words
        self._stop.wait(_PAUSE_SECONDS)

    def _send_until_stopped(self) -> None:
        from kafka import KafkaProducer
        from kafka.net.compat import KafkaNetClient

        producer: KafkaProducer = open_client(
            KafkaProducer, KafkaNetClient, **{**self._options, **_PRODUCER}
        )
        try:
            while not self._stop.is_set():
                self._send(producer)
                self._stop.wait(_LOOK_SECONDS)
            self._send(producer)
            producer.flush(timeout=_CLOSE_SECONDS)
        finally:
            with contextlib.suppress(Exception):
                producer.close(timeout=1)

    def _send(self, producer: KafkaProducer) -> None:
        give_up = time.monotonic() + _CLOSE_SECONDS
        while self._waiting and time.monotonic() < give_up:
            sample = self._waiting.popleft()
            try:
                record = sample.record()
            except (TypeError, ValueError) as error:  # an attribute that JSON cannot write
                self._drop(error)
                continue
            try:
                future = producer.send(
                    self._topic,
                    value=record.value,
                    key=record.key,
                    headers=record.headers,
                    timestamp_ms=record.timestamp_ms,
                )
            except Exception:
                self._waiting.appendleft(sample)  # nobody has it yet
                raise
            future.add_callback(self._count)
            future.add_errback(self._drop)

    def _count(self, _: Any) -> None:
        self.sent += 1
        self._trouble = ""

    def _drop(self, error: Any) -> None:
        self.dropped += 1
        if not self._trouble:
            self._trouble = f"{type(error).__name__}: {error}"
            log().warning("a sample could not be sent to %s: %s", self._topic, self._trouble)
