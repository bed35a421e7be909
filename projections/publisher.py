"""Publishes the ledger to Kafka: every event once, in order, and the state that they lead to.

The log's signed heads follow, each once its events are there.

What has been published is read from the topic itself, by the one writer that Kafka lets through:
no position is kept anywhere, so nothing can fall out of step with it. On any error everything is
thrown away and begun anew. `docs/decisions/0003-publication.md` says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from time import monotonic
from typing import Any

import psycopg
from kafka.errors import KafkaError

from ledger.cloudevents import Record
from ledger.errors import LedgerError
from ledger.store import LedgerStore
from ledger.topics import Topics
from projections.heads import AnotherLog, SignedHeads, read_note
from projections.leadership import Leadership
from projections.mirror import Mirror, Pending, decoded, head_position, transaction
from projections.topics import EMPTY, RecordsWithheld, Tail, TopicRemade, TopicWriter

_log = logging.getLogger(__name__)

LARGEST_TRANSACTION = 500
_LOOK_SECONDS = 0.5
_CHECK_SECONDS = 2.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


class AnotherLedger(Exception):
    """The topics hold events that are not in this ledger: choose another prefix, or delete them."""


_EXPECTED = (
    KafkaError,
    LedgerError,
    psycopg.Error,
    OSError,
    TopicRemade,
    RecordsWithheld,
    AnotherLedger,
    AnotherLog,
)


def run(
    store_url: str,
    bootstrap: str,
    prefix: str,
    stop: Event,
    on_ready: Callable[[], None] | None = None,
    *,
    supervised: bool = False,
    **kafka: Any,
) -> None:
    """Keep the topics up with the ledger until `stop` is set.

    `on_ready` is called once, when they have caught up or another publisher leads. `kafka` are
    options of kafka-python's clients, for security. Everything is retried for ever, except that
    with `supervised` RecordsWithheld is raised, for the caller to start the broker anew.
    """
    publisher = Publisher(store_url, bootstrap, prefix, stop, kafka)
    publisher.on_ready = on_ready
    publisher.suspicious = supervised
    pause, said = _FIRST_PAUSE, ""
    while not stop.is_set():
        began = monotonic()
        try:
            publisher.lead()
        except Exception as error:
            if supervised and isinstance(error, RecordsWithheld) and not stop.is_set():
                raise
            if not stop.is_set():
                said = _report(error, said)
        if monotonic() - began > _LONGEST_PAUSE:
            pause, said = _FIRST_PAUSE, ""
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _report(error: Exception, before: str) -> str:
    """Log why everything begins anew, unless that is what was said last; return the words."""
    words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if words != before:
        _log.warning("starting over: %s", words, exc_info=not isinstance(error, _EXPECTED))
    return words


class Publisher:
    """Publishes while it leads; what it folded is kept from one lead to the next."""

    def __init__(
        self,
        store_url: str,
        bootstrap: str,
        prefix: str,
        stop: Event,
        kafka: Mapping[str, Any],
    ) -> None:
        self.on_ready: Callable[[], None] | None = None
        self.suspicious = False
        self._store_url = store_url
        self._bootstrap = bootstrap
        self._names = Topics(prefix)
        self._stop = stop
        self._kafka = kafka
        self._mirror = Mirror()
        self._checked = 0.0
        self._looked = 0.0

    def lead(self) -> None:
        """Take the lead when it is free, and publish until stopped or until anything fails."""
        with Leadership(self._store_url, self._names.prefix) as leadership:
            if not leadership.take(self._stop, self._stand_by):
                return
            _log.info("leading: %s and %s", self._names.events, self._names.active)
            with (
                LedgerStore(self._store_url, role="liveops_reader", pool_size=2) as store,
                TopicWriter(self._bootstrap, self._names, self._stop, self._kafka) as topics,
                SignedHeads(self._store_url) as heads,
            ):
                self._resume(store, topics)
                heads.resume(topics.newest_note(read_note))
                self._serve(store, topics, heads, leadership)

    def _stand_by(self) -> None:
        _log.info("standing by: another publisher leads")
        self._ready()

    def _ready(self) -> None:
        if self.on_ready is not None:
            self.on_ready()
            self.on_ready = None

    # --- Where to go on ---

    def _resume(self, store: LedgerStore, topics: TopicWriter) -> None:
        """Fold up to the last event in the topic, and mend the compacted topic if it differs."""
        tail = self._tail(store, topics)
        if tail.position < self._mirror.live.position:
            self._mirror = Mirror()
        for stored in store.stream(after=self._mirror.live.position, upto=tail.position):
            if self._stop.is_set():
                return
            self._mirror.apply(decoded(stored))
        self._mirror.expect(self._held(store, topics))
        following = store.read(after=tail.position, limit=1)
        if not (following and self._mirror.continued_by(decoded(following[0]))):
            self._write(topics, self._mirror, [])

    def _tail(self, store: LedgerStore, topics: TopicWriter) -> Tail:
        tail = topics.tail()
        if tail is EMPTY:
            return tail
        last = store.read(after=tail.position - 1, limit=1)
        if not last or last[0].envelope() != tail.value:
            raise AnotherLedger(f"event {tail.position} in {self._names.events} is not ours")
        if tail.first_position == 1:
            return tail
        _log.warning("%s has lost its beginning: filling it again", self._names.events)
        topics.clear_events()
        return EMPTY

    def _held(self, store: LedgerStore, topics: TopicWriter) -> Mapping[str, bytes]:
        held = topics.held()
        position = head_position(held)
        if position > store.head().position:
            raise AnotherLedger(f"{self._names.active} is of position {position}, beyond our last")
        return held

    # --- Going on ---

    def _serve(
        self, store: LedgerStore, topics: TopicWriter, heads: SignedHeads, leadership: Leadership
    ) -> None:
        first = self.suspicious
        while not self._stop.is_set():
            self._check(topics, leadership)
            self._publish_heads(topics, heads)
            after = self._mirror.live.position
            read = store.read(after=after, limit=LARGEST_TRANSACTION + 1)
            if not read:
                self._ready()
                store.wait(after, _LOOK_SECONDS)
                continue
            self._publish(topics, transaction(read, LARGEST_TRANSACTION))
            if first:
                topics.seen(self._mirror.live.position)
                first = False

    def _check(self, topics: TopicWriter, leadership: Leadership) -> None:
        if monotonic() - self._checked < _CHECK_SECONDS:
            return
        leadership.confirm()
        if not topics.unchanged():
            raise TopicRemade("a topic is not as we left it")
        self._checked = monotonic()

    def _publish_heads(self, topics: TopicWriter, heads: SignedHeads) -> None:
        if monotonic() - self._looked < _LOOK_SECONDS:
            return
        if due := heads.due(self._mirror.live.position):
            topics.write([], [], due)
            heads.published(due)
        self._looked = monotonic()

    def _publish(self, topics: TopicWriter, events: Sequence[Pending]) -> None:
        """Write one transaction. The mirror moves with it or not at all."""
        mirror = self._mirror.copy()
        for event in events:
            mirror.apply(event.recorded)
        records = [event.record() for event in events]
        self._write(topics, mirror, records, ends_batch=events[-1].ends_batch)

    def _write(
        self,
        topics: TopicWriter,
        mirror: Mirror,
        events: Sequence[Record],
        *,
        ends_batch: bool = True,
    ) -> None:
        things = mirror.due() if ends_batch else []
        if events or things:
            topics.write(events, things)
        self._mirror = mirror
