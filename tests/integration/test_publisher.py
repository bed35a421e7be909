"""What is published: every event once and in order, and the state that they lead to."""

from __future__ import annotations

import os
import threading

import orjson
import pytest

from ledger.cloudevents import HEAD, Stamp, event_record, link_of, read_head
from ledger.intents import StartExperiment, StartShadow, StopExperiment
from ledger.topics import ACTIVE_SETTINGS, CHECKPOINTS_SETTINGS, EVENTS_SETTINGS
from projections import publisher
from projections.topics import RecordsWithheld
from tests.integration.patience import eventually
from tests.integration.publishing import TEMPO, Operator, Published, Publishing
from tests.unit.publishing import experiment

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def test_every_event_is_there_as_the_specification_has_it(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    operator.config(1.5)
    publishing.thread()
    topics.await_ledger(operator)
    for stored, record in zip(operator.store.stream(), topics.read(topics.events), strict=True):
        wanted = event_record(
            Stamp(stored.position, stored.recorded_at), stored.state, ends_batch=True
        )
        assert (record.key, record.value) == (wanted.key, stored.envelope())
        assert (record.headers, record.timestamp) == (wanted.headers, wanted.timestamp_ms)


def test_events_are_published_as_they_come(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    publishing.thread()
    for tempo in (1.5, 2.0, 0.5):
        operator.config(tempo)
        topics.await_ledger(operator)


def test_the_topics_are_made_with_their_settings(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    publishing.thread()
    assert operator.store.head().position == 1
    described = topics.admin.describe_topics(list(topics.names.settings))
    assert [len(topic["partitions"]) for topic in described] == [1, 1, 1]
    assert settings_of(topics, topics.names.events).items() >= EVENTS_SETTINGS.items()
    assert settings_of(topics, topics.names.active).items() >= ACTIVE_SETTINGS.items()
    assert settings_of(topics, topics.names.checkpoints).items() >= CHECKPOINTS_SETTINGS.items()


def test_topics_that_somebody_else_made_get_their_settings(
    publishing: Publishing, topics: Published
) -> None:
    topics.admin.create_topics({topics.names.active: {"num_partitions": 1}})
    publishing.thread()
    assert settings_of(topics, topics.names.active).items() >= ACTIVE_SETTINGS.items()


def settings_of(topics: Published, name: str) -> dict[str, str]:
    from kafka.admin import ConfigResource

    described = topics.admin.describe_configs([ConfigResource("TOPIC", name)])["topic"][name]
    return {key: setting["value"] for key, setting in described.items()}


def test_the_state_names_what_it_is_of_and_forgets_what_is_archived(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    publishing.thread()
    config_id = operator.config(1.5)
    killed = operator.kill(TEMPO)
    topics.await_ledger(operator)
    held = topics.held()
    assert orjson.loads(held[str(config_id)])["position"] == 3
    assert orjson.loads(held[f"kill:{TEMPO}"])["position"] == killed
    assert read_head(held[HEAD]).things == len(held) - 1
    operator.archive(config_id)
    topics.await_ledger(operator)
    assert topics.read(topics.active)[-2].value is None
    assert str(config_id) not in topics.held()


def test_shadows_and_experiments_are_there_while_they_last(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    publishing.thread()
    config_id = operator.config(1.5)
    ids = {f"shadow:{config_id}", "experiment:x"}
    began = [operator.do(StartShadow(config_id)), operator.do(StartExperiment(experiment("x")))]
    topics.await_ledger(operator)
    held = topics.held()
    assert [orjson.loads(held[thing])["position"] for thing in sorted(ids, reverse=True)] == began
    operator.do(StopExperiment("x"))
    operator.archive(config_id)
    topics.await_ledger(operator)
    assert ids.isdisjoint(topics.held())


def test_a_command_larger_than_a_transaction_is_one_batch(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    last = operator.bulk(1_200)
    operator.config(1.5)
    publishing.thread()
    topics.await_ledger(operator)
    links = [link_of(record.headers) for record in topics.read(topics.events)]
    ends = [link.position for link in links if link is not None and link.ends_batch]
    assert ends == [1, last, last + 1, last + 2]
    heads = [
        orjson.loads(r.value)["position"] for r in topics.read(topics.active) if r.key == b"head"
    ]
    assert set(heads) <= set(ends)


def test_an_event_as_large_as_the_topic_takes_is_published(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    from commands.identity import uuid7
    from ledger.content import Content
    from ledger.intents import CreateConfig

    labels = {str(number): "x" * 1000 for number in range(3000)}
    data = {"name": "large", "scope": "world", "scope_ref": "w1", "payload": {TEMPO: 1.0}}
    operator.do(CreateConfig(uuid7(), Content.from_json({**data, "labels": labels})))
    publishing.thread()
    topics.await_ledger(operator)


# --- Topics that are not as they were left ---


def test_topics_that_are_right_are_left_alone(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    operator.config(1.5)
    publishing.thread()
    topics.await_ledger(operator)
    publishing.stop()
    before = (len(topics.read(topics.events)), len(topics.read(topics.active)))
    publishing.thread()
    assert (len(topics.read(topics.events)), len(topics.read(topics.active))) == before


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(
    ("wipe", "names"),
    [
        ("empty", ["events"]),
        ("delete", ["events"]),
        ("delete", ["active"]),
        ("delete", ["events", "active"]),
    ],
)
def test_topics_that_were_wiped_are_filled_again(
    operator: Operator,
    publishing: Publishing,
    topics: Published,
    wipe: str,
    names: list[str],
    running: bool,
) -> None:
    operator.config(1.5)
    publishing.thread()
    topics.await_ledger(operator)
    if not running:
        publishing.stop()
    for name in names:
        getattr(topics, wipe)(getattr(topics, name))
    if not running:
        publishing.thread()
    topics.await_ledger(operator)
    operator.config(2.0)
    topics.await_ledger(operator)


def test_a_topic_that_lost_its_beginning_is_filled_from_the_first_event(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    operator.config(1.5)
    publishing.thread()
    topics.await_ledger(operator)
    topics.empty(topics.events, before=2)
    eventually(lambda: topics.values()[:1] != [])
    topics.await_ledger(operator)


def test_a_state_that_somebody_spoiled_is_mended_by_the_next_leader(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    config_id = operator.config(1.5)
    publishing.thread()
    topics.await_ledger(operator)
    publishing.stop()
    with topics.producer() as producer:
        producer.send(
            topics.names.active, key=str(config_id).encode(), value=b"spoiled", partition=0
        )
        producer.send(topics.names.active, key=b"kill:NOBODY", value=b"stray", partition=0)
    publishing.thread()
    topics.await_ledger(operator)


def test_a_stray_record_does_not_hide_where_to_go_on(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    operator.config(1.5)
    publishing.thread()
    topics.await_ledger(operator)
    publishing.stop()
    with topics.producer() as producer:
        producer.send(topics.names.events, key=b"k", value=b"stray", partition=0)
    publishing.thread()
    operator.config(2.0)
    eventually(lambda: len(topics.values()) == 6)
    assert [value for value in topics.values() if value != b"stray"] == [
        stored.envelope() for stored in operator.store.stream()
    ]


@pytest.mark.parametrize("longer", [False, True])
def test_topics_of_another_ledger_are_not_touched(
    operator: Operator,
    publishing: Publishing,
    topics: Published,
    caplog: pytest.LogCaptureFixture,
    longer: bool,
) -> None:
    operator.config(1.5)
    other = operator.store.read(after=0, limit=9)
    with topics.producer() as producer:
        for stored in other:
            state = stored.state.replace(b'"the test"', b'"others"')
            stamp = Stamp(stored.position + (9 if longer else 0), stored.recorded_at)
            record = event_record(stamp, state, ends_batch=True)
            producer.send(topics.names.events, record.value, record.key, record.headers, 0)
    before = topics.values()
    publishing.thread(on_error=lambda _: None)
    eventually(lambda: "is not ours" in caplog.text)
    assert topics.values() == before
    assert topics.read(topics.active) == []


# --- Servers that go away ---


def test_it_waits_for_a_broker_and_stops_at_once(database: str, prefix: str) -> None:
    stop = threading.Event()
    arguments = (database, "127.0.0.1:9", prefix, stop)
    thread = threading.Thread(target=publisher.run, args=arguments)
    thread.start()
    assert not stop.wait(0.5)
    stop.set()
    thread.join(15)
    assert not thread.is_alive()


def test_it_survives_the_loss_of_its_database_sessions(
    operator: Operator, publishing: Publishing, topics: Published, database: str
) -> None:
    import psycopg

    publishing.thread()
    for tempo in (1.5, 2.0):
        with psycopg.connect(database, autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'liveops%' "
                "AND pid <> pg_backend_pid()"
            )
        eventually(lambda tempo=tempo: _created(operator, tempo))  # type: ignore[misc]
        topics.await_ledger(operator)


def _created(operator: Operator, tempo: float) -> bool:
    from ledger.errors import LedgerUnavailable

    try:
        operator.config(tempo)
    except LedgerUnavailable:
        return False
    return True


def test_a_stopped_publisher_leaves_nothing_behind(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    topics.admin.list_topics()
    before = set(threading.enumerate())
    for _ in range(3):
        publishing.thread()
        operator.config(1.5)
        topics.await_ledger(operator)
        publishing.stop()
    eventually(lambda: not _of_kafka(set(threading.enumerate()) - before))


def _of_kafka(threads: set[threading.Thread]) -> list[str]:
    return [
        thread.name for thread in threads if "kafka" in thread.name or "publisher" in thread.name
    ]


@pytest.mark.skipif(
    "LIVEOPS_TEST_KAFKA_BOOTSTRAP" in os.environ, reason="a fault of the embedded broker"
)
def test_a_broker_that_withholds_records_is_reported(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    """The embedded broker's: after an aborted transaction, who waits at the end gets nothing."""
    publishing.thread()
    topics.await_ledger(operator)
    publishing.stop()
    with topics.producer(transactional_id=f"{topics.prefix}-publisher") as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topics.names.events, b"half", b"k", partition=0).get(5)
        producer.abort_transaction()
    raised: list[Exception] = []
    publishing.thread(on_error=raised.append, supervised=True)
    operator.config(1.5)
    eventually(lambda: [type(error) for error in raised] == [RecordsWithheld])
