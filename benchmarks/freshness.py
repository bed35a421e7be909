"""From the command's return to the value in a replica, beside a bare produce-to-consume round."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from uuid import UUID

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.bench import Row, percentile
from commands.ledger import Ledger, Order
from consumers.replica import Replica
from ledger.intents import Freeze, Unfreeze
from ledger.store import LedgerStore
from projections import publisher

ROUNDS = 200
ACTOR = UUID(int=1)


def rows(database: str, bootstrap: str) -> Iterator[Row]:
    """Measure one command at a time on an idle system."""
    ours, limit = _append_to_applied(database, bootstrap), _produce_to_consume(bootstrap)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        yield Row(
            f"command returned → applied in a replica, {name}",
            percentile(ours, share) * 1000,
            percentile(limit, share) * 1000,
            "bare produce → consume",
            "ms",
        )


def _append_to_applied(database: str, bootstrap: str) -> list[float]:
    stop = threading.Event()
    arguments = (database, bootstrap, "freshness", stop)
    thread = threading.Thread(target=publisher.run, args=arguments)
    thread.start()
    try:
        with LedgerStore(database) as store, Replica(bootstrap, prefix="freshness") as replica:
            if not replica.wait_ready(timeout=60):
                raise TimeoutError("the replica did not get ready")
            return [_round(Ledger(store), replica, n) for n in range(ROUNDS)]
    finally:
        stop.set()
        thread.join()


def _round(ledger: Ledger, replica: Replica, number: int) -> float:
    intent = Unfreeze() if number % 2 else Freeze()
    position = ledger.execute(Order(ACTOR), lambda _: intent).position
    began = time.perf_counter()
    if not replica.wait_for(position, timeout=30):
        raise TimeoutError(f"position {position} did not arrive")
    return time.perf_counter() - began


def _produce_to_consume(bootstrap: str) -> list[float]:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    try:
        producer.send("bare", b"first").get(timeout=30)
        consumer.assign([TopicPartition("bare", 0)])
        _until_one_arrives(consumer)
        return [_bare_round(producer, consumer) for _ in range(ROUNDS)]
    finally:
        producer.close()
        consumer.close()


def _bare_round(producer: KafkaProducer, consumer: KafkaConsumer) -> float:
    began = time.perf_counter()
    producer.send("bare", b"x" * 700).get(timeout=30)
    _until_one_arrives(consumer)
    return time.perf_counter() - began


def _until_one_arrives(consumer: KafkaConsumer) -> None:
    while not consumer.poll(timeout_ms=1000):
        pass
