"""What games sample arrives in liveops_snapshots once each, whatever happens on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from kafka import KafkaProducer, TopicPartition

from commands.embedded.broker import EmbeddedBroker
from commands.ledger import Ledger
from consumers.replica import Replica
from consumers.samples import Sampler
from ledger.live import Live
from ledger.samples import Sample
from ledger.scopes import Context
from ledger.topics import CLIENT, Topics
from projections import telemetry
from projections.catalogue import install
from projections.snapshots import count_snapshots, snapshots, verify
from tests.integration.patience import eventually
from tests.integration.publishing import TEMPO, Operator, Publishing

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

Json = Any
NOW = 1_767_225_600_000_000


class Game:
    """Stands for a replica: keeps the one who is to be told of samples."""

    def __init__(self) -> None:
        self.tell: Callable[[Sample], None] = lambda _: None

    def on_sample(self, listener: Callable[[Sample], None], *, share: float) -> None:
        assert share == 1.0
        self.tell = listener

    def play(self, turns: range) -> None:
        for turn in turns:
            context = Context(f"s{turn % 5}", turn)
            self.tell(Sample(context, {TEMPO: turn}, 1, NOW, "STATIC", NOW + turn))


@contextmanager
def sampling(bootstrap: str, prefix: str, **options: Json) -> Iterator[tuple[Game, Sampler]]:
    game = Game()
    with Sampler(game, bootstrap, prefix=prefix, share=1.0, **options) as sampler:
        yield game, sampler


@contextmanager
def reading(database: str, bootstrap: str, prefix: str) -> Iterator[None]:
    stop = threading.Event()
    arguments = (database, bootstrap, prefix, stop)
    reader = threading.Thread(target=telemetry.run, args=arguments, name="reader-under-test")
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join(20)
        assert not reader.is_alive()


@pytest.fixture
def url(database: str) -> str:
    install(database)
    return database


def turns(database: str) -> list[int]:
    with psycopg.connect(database) as connection:
        return sorted(row.turn_id for row in snapshots(connection))


def offsets(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT sum(next_offset) FROM liveops_telemetry").fetchone()
        return int(row[0] or 0) if row else 0


def test_each_sample_arrives_once(url: str, bootstrap: str, prefix: str) -> None:
    with reading(url, bootstrap, prefix), sampling(bootstrap, prefix) as (game, sampler):
        eventually(lambda: has_topic(bootstrap, prefix))
        game.play(range(40))
        eventually(lambda: offsets(url) == 40)
    assert turns(url) == list(range(40))
    assert (sampler.taken, sampler.sent, sampler.dropped) == (40, 40, 0)


def has_topic(bootstrap: str, prefix: str) -> bool:
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(**{**CLIENT, "bootstrap_servers": bootstrap})
    try:
        return Topics(prefix).telemetry in {one["name"] for one in admin.describe_topics()}
    finally:
        admin.close()


def test_what_is_read_again_changes_nothing(url: str, bootstrap: str, prefix: str) -> None:
    with reading(url, bootstrap, prefix), sampling(bootstrap, prefix) as (game, _):
        eventually(lambda: has_topic(bootstrap, prefix))
        game.play(range(9))
        eventually(lambda: offsets(url) == 9)
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM liveops_telemetry")
    with reading(url, bootstrap, prefix):
        eventually(lambda: offsets(url) == 9)
    assert turns(url) == list(range(9))


def test_what_is_no_sample_is_passed_over(
    url: str, bootstrap: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    topic = Topics(prefix).telemetry
    good = Sample(Context("s", 1), {TEMPO: 1}, 1, NOW, "STATIC", NOW)
    with reading(url, bootstrap, prefix):
        eventually(lambda: has_topic(bootstrap, prefix))
        producer = KafkaProducer(**CLIENT, bootstrap_servers=bootstrap)
        for bad in (b"", b"{", b"[1]", good._replace(context=Context("s")).record().value):
            producer.send(topic, value=bad, key=b"s", partition=0).get(10)
        producer.send(topic, value=good.record().value, key=b"s", partition=0).get(10)
        producer.close()
        eventually(lambda: offsets(url) == 5)
    assert turns(url) == [1]
    assert caplog.text.count("is no sample") == 4


@pytest.mark.timeout(240)
def test_reading_goes_on_at_a_broker_that_starts_anew(
    url: str, broker: EmbeddedBroker, prefix: str
) -> None:
    with reading(url, broker.bootstrap, prefix):
        eventually(lambda: has_topic(broker.bootstrap, prefix), 60)
        with sampling(broker.bootstrap, prefix) as (game, _):
            game.play(range(30))
            eventually(lambda: len(turns(url)) == 30, 60)
        broker.stop()
        broker.start()
        eventually(lambda: has_topic(broker.bootstrap, prefix), 60)
        with sampling(broker.bootstrap, prefix) as (game, _):
            game.play(range(30, 34))
            eventually(lambda: len(turns(url)) == 34, 60)


def test_a_topic_that_ends_before_the_reader_stands_is_another_one() -> None:
    class Shrunk:
        def poll(self, _: int) -> Json:
            return {}

        def position(self, _: TopicPartition) -> int:
            return 5

        def end_offsets(self, parts: list[TopicPartition], timeout_ms: int) -> Json:
            return dict.fromkeys(parts, 4)

    reader = telemetry._Reader("127.0.0.1:1", "t", {})
    reader._consumer, reader._parts = Shrunk(), [TopicPartition("t", 0)]
    with pytest.raises(telemetry.TelemetryRemade):
        reader.poll()


def test_one_reader_reads_and_another_stands_by(url: str, bootstrap: str, prefix: str) -> None:
    with sampling(bootstrap, prefix) as (game, _):
        with reading(url, bootstrap, prefix):
            eventually(lambda: has_topic(bootstrap, prefix))
            with reading(url, bootstrap, prefix):
                game.play(range(5))
                eventually(lambda: len(turns(url)) == 5)
        with reading(url, bootstrap, prefix):
            game.play(range(5, 9))
            eventually(lambda: len(turns(url)) == 9)


# --- The game's side, without anybody to hear it ---


def test_a_turn_waits_for_no_broker(prefix: str) -> None:
    with sampling("127.0.0.1:1", prefix, most_waiting=10) as (game, sampler):
        began = time.monotonic()
        game.play(range(1_000))
        took = time.monotonic() - began
        assert len(sampler._waiting) <= 10
        assert sampler.dropped >= 980
    assert took < 0.5


def test_a_sampler_without_a_share_has_no_thread(prefix: str) -> None:
    game = Game()
    with Sampler(game, "127.0.0.1:1", prefix=prefix, share=0.0):
        assert "liveops-samples" not in {thread.name for thread in threading.enumerate()}


# --- The whole way ---


def test_a_game_is_sampled_and_every_sample_holds(
    url: str, operator: Operator, publishing: Publishing, bootstrap: str, prefix: str
) -> None:
    operator.config(1.5)
    publishing.thread()
    with (
        reading(url, bootstrap, prefix),
        Replica(bootstrap, prefix=prefix) as replica,
        Sampler(replica, bootstrap, prefix=prefix, share=1.0),
    ):
        eventually(lambda: has_topic(bootstrap, prefix))
        assert replica.wait_for(operator.store.head().position, 20)
        for turn in range(20):
            if turn % 5 == 4:
                operator.config(1.0 + turn / 100)
                position = operator.store.head().position
                assert replica.wait_for(position, 20)
            session = replica.session(Context(f"s{turn % 3}", world_id="w1"))
            session.turn(turn)
        eventually(lambda: offsets(url) == 20)
    with psycopg.connect(url) as connection:
        assert count_snapshots(connection) == 20
        verdicts = list(verify(snapshots(connection), past(operator.ledger)))
    assert [verdict for verdict in verdicts if not verdict.agrees] == []
    assert len({verdict.snapshot.position for verdict in verdicts}) == 5


def past(ledger: Ledger) -> Callable[[int, Context], Live]:
    return lambda position, _: ledger.live_at(position)
