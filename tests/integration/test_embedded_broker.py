"""The embedded broker: empty at every start, on the same port, on loopback alone."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from commands.embedded.broker import Broker, EmbeddedBroker
from commands.embedded.process import free_port
from tests.integration.patience import eventually, gone

Make = Callable[[Path], EmbeddedBroker]

# kafka-python's, not ours: how it reads its files when it is imported (hence inside the tests),
# and the sockets that it leaves to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::DeprecationWarning")


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[EmbeddedBroker] = []

    def make_one(home: Path) -> EmbeddedBroker:
        made.append(EmbeddedBroker(home))
        return made[-1]

    yield make_one
    for broker in made:
        broker.stop()


def publish(broker: Broker, value: bytes) -> None:
    from kafka import KafkaProducer

    with closing(KafkaProducer(bootstrap_servers=broker.bootstrap)) as producer:
        producer.send("kept", value).get(timeout=10)


def topics(broker: Broker) -> set[str]:
    from kafka import KafkaConsumer

    with closing(KafkaConsumer(bootstrap_servers=broker.bootstrap)) as consumer:
        return {name for name in consumer.topics() if not name.startswith("__")}


def test_it_takes_records(tmp_path: Path, make: Make) -> None:
    broker = make(tmp_path)
    broker.start()
    publish(broker, b"one")
    assert topics(broker) == {"kept"}


def test_after_kill_9_it_is_empty_and_on_the_same_port(tmp_path: Path, make: Make) -> None:
    broker = make(tmp_path)
    broker.start()
    publish(broker, b"lost")
    bootstrap, pid = broker.bootstrap, broker.pid
    os.kill(pid, signal.SIGKILL)
    broker.start()
    assert broker.pid != pid
    assert broker.bootstrap == bootstrap
    assert topics(broker) == set()


def test_after_a_stop_it_is_empty_and_leaves_no_data(tmp_path: Path, make: Make) -> None:
    broker = make(tmp_path)
    broker.start()
    publish(broker, b"lost")
    broker.stop()
    assert not (tmp_path / "broker").exists()
    broker.start()
    assert topics(broker) == set()


def test_start_and_stop_may_be_repeated(tmp_path: Path, make: Make) -> None:
    broker = make(tmp_path)
    broker.stop()
    broker.start()
    pid = broker.pid
    broker.start()
    assert broker.pid == pid
    broker.stop()
    broker.stop()
    assert gone(pid)


def test_a_broker_left_by_an_earlier_program_is_ended(tmp_path: Path, make: Make) -> None:
    left, elsewhere, broker = make(tmp_path), make(tmp_path / "elsewhere"), make(tmp_path)
    left.start()
    elsewhere.start()
    broker.start()
    eventually(lambda: not left.running)
    assert elsewhere.running


def test_it_listens_on_loopback_alone(tmp_path: Path, make: Make) -> None:
    broker = make(tmp_path)
    broker.start()
    connections = psutil.Process(broker.pid).net_connections()
    listening = {c.laddr for c in connections if c.status == psutil.CONN_LISTEN}
    assert ("127.0.0.1", int(broker.bootstrap.split(":")[1])) in listening
    assert {host for host, _ in listening} == {"127.0.0.1"}


def test_its_folder_is_closed_to_others(tmp_path: Path, make: Make) -> None:
    make(tmp_path).start()
    assert stat.S_IMODE((tmp_path / "broker").stat().st_mode) == 0o700


def test_a_port_that_another_broker_has_taken_meanwhile(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make(tmp_path / "other")
    other.start()
    taken = int(other.bootstrap.split(":")[1])
    picked = iter([taken, free_port()])
    monkeypatch.setattr("commands.embedded.broker.free_port", lambda: next(picked))
    broker = make(tmp_path)
    broker.start()
    assert broker.bootstrap != other.bootstrap
    assert broker.running
