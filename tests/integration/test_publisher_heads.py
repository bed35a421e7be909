"""The log's signed heads on Kafka: each once, in order, after its events, of one history only."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from ledger.notes import Signer, open_checkpoint
from projections.catalogue import install
from projections.checkpoints import newest, origin_of
from projections.heads import SignedHeads
from projections.signing import Signing
from projections.tree import TreeView
from projections.views import Connection, connect
from tests.integration.patience import eventually
from tests.integration.projecting import project
from tests.integration.publishing import Operator, Published, Publishing

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

SIGNER = Signer.generate("the-log", bytes(32))


@pytest.fixture
def connection(database: str, operator: Operator) -> Iterator[Connection]:
    install(database)
    assert operator.store.head().position == 1
    connected = connect(database)
    yield connected
    connected.close()


def sign(database: str, connection: Connection) -> None:
    project(database, [TreeView()])
    assert Signing([SIGNER]).look(connection) is not None


def sizes(topics: Published) -> list[int]:
    records = topics.read(topics.checkpoints)
    return [open_checkpoint(record.value, [SIGNER.verifier]).size for record in records]


def grow(database: str, connection: Connection, operator: Operator, count: int) -> None:
    for _ in range(count):
        operator.bulk(2)
        sign(database, connection)


def test_heads_are_published_once_each_whoever_publishes(
    database: str,
    connection: Connection,
    operator: Operator,
    publishing: Publishing,
    topics: Published,
) -> None:
    sign(database, connection)
    publishing.thread()
    eventually(lambda: sizes(topics) == [1])
    publishing.stop()
    grow(database, connection, operator, 3)
    publishing.thread()
    eventually(lambda: sizes(topics) == [1, 3, 5, 7])
    publishing.stop()
    publishing.thread()
    grow(database, connection, operator, 1)
    eventually(lambda: len(sizes(topics)) > 4)
    assert sizes(topics) == [1, 3, 5, 7, 9]
    kept = connection.execute("SELECT note FROM liveops_checkpoints ORDER BY size").fetchall()
    records = topics.read(topics.checkpoints)
    assert [(record.value.decode(),) for record in records] == kept
    assert {record.key.decode() for record in records} == {origin_of(connection)}


def test_a_topic_that_was_wiped_or_spoiled_gets_what_it_lacks(
    database: str,
    connection: Connection,
    operator: Operator,
    publishing: Publishing,
    topics: Published,
) -> None:
    grow(database, connection, operator, 2)
    publishing.thread()
    eventually(lambda: sizes(topics) == [3, 5])
    publishing.stop()
    topics.delete(topics.checkpoints)
    publishing.thread()
    eventually(lambda: sizes(topics) == [3, 5])
    publishing.stop()
    with topics.producer() as producer:
        producer.send(topics.names.checkpoints, b"a stray").get(10)
    grow(database, connection, operator, 1)
    publishing.thread()
    eventually(lambda: len(topics.read(topics.checkpoints)) == 4)
    values = [record.value for record in topics.read(topics.checkpoints)]
    assert values[2] == b"a stray"
    assert open_checkpoint(values[3], [SIGNER.verifier]).size == 7


def test_nothing_follows_the_heads_of_another_history(
    database: str,
    connection: Connection,
    operator: Operator,
    publishing: Publishing,
    topics: Published,
    caplog: pytest.LogCaptureFixture,
) -> None:
    grow(database, connection, operator, 1)
    publishing.thread()
    eventually(lambda: sizes(topics) == [3])
    publishing.stop()
    rewrite(database, connection)
    grow(database, connection, operator, 1)
    publishing.thread(lambda _: None)
    eventually(lambda: "of 3 events is of another history" in caplog.text)
    assert sizes(topics) == [3]


def test_a_head_waits_for_its_events(
    database: str, connection: Connection, operator: Operator
) -> None:
    grow(database, connection, operator, 2)
    with SignedHeads(database) as heads:
        heads.resume(None)
        assert [len(heads.due(position)) for position in (2, 3, 4, 5)] == [0, 1, 1, 2]
        heads.published(heads.due(4))
        assert [len(heads.due(position)) for position in (4, 5)] == [0, 1]


def test_heads_that_cannot_be_compared_yet_are_waited_for(
    database: str, connection: Connection, operator: Operator
) -> None:
    grow(database, connection, operator, 2)
    found = newest(connection)
    assert found is not None
    connection.execute("DELETE FROM liveops_tree")
    with SignedHeads(database) as heads:
        heads.resume(found[1].encode())
        assert heads.due(5) == []


def rewrite(database: str, connection: Connection) -> None:
    """Change an event that is no longer looked at, and all that tells of it in the database."""
    with psycopg.connect(database) as superuser:
        superuser.execute("ALTER TABLE liveops_events DISABLE TRIGGER USER")
        superuser.execute(
            "UPDATE liveops_events SET recorded_at = recorded_at + interval '1 us'"
            " WHERE position = 1"
        )
    for table in ("liveops_tree", "liveops_checkpoints"):
        connection.execute(f"DELETE FROM {table}".encode())
    connection.execute("UPDATE liveops_projections SET position = 0 WHERE name = 'liveops_tree'")
