"""Publishers and brokers that die, freeze and come back: nothing lost, doubled or out of order."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from commands.embedded.broker import EmbeddedBroker
from consumers.replica import Replica
from ledger.live import things
from tests.integration.patience import eventually
from tests.integration.publishing import Operator, Published, Publishing, kill

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

ROUNDS = 5


@contextmanager
def busy(operator: Operator) -> Iterator[None]:
    """Change the ledger all the while."""
    over = threading.Event()
    config_id = operator.config(1.5)

    def work() -> None:
        while not over.is_set():
            operator.activate(config_id)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_killed_publishers_lose_and_double_nothing(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    with busy(operator):
        for _ in range(ROUNDS):
            process = publishing.process()
            topics.await_more()
            threading.Event().wait(random.uniform(0, 0.2))
            kill(process)
    publishing.thread()
    topics.await_ledger(operator)


def test_a_publisher_stands_by_and_takes_over(
    operator: Operator, publishing: Publishing, topics: Published
) -> None:
    process = publishing.process()
    topics.await_ledger(operator)
    publishing.thread()
    operator.config(1.5)
    topics.await_ledger(operator)
    kill(process)
    operator.config(2.0)
    topics.await_ledger(operator)


def test_a_leader_that_was_frozen_and_woken_publishes_nothing_wrong(
    operator: Operator, publishing: Publishing, topics: Published, database: str
) -> None:
    with busy(operator):
        for _ in range(ROUNDS):
            old = publishing.process()
            topics.await_more()
            os.kill(old.pid, signal.SIGSTOP)
            end_lead(database)
            new = publishing.process()
            topics.await_more()
            os.kill(old.pid, signal.SIGCONT)
            topics.await_more(20)
            kill(old)
            kill(new)
    publishing.thread()
    topics.await_ledger(operator)


def end_lead(database: str) -> None:
    """End the session that holds the lead, as a database does that lost sight of its client."""
    with psycopg.connect(database, autocommit=True) as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks "
            "WHERE locktype = 'advisory' AND classid = 1280333122 AND granted"
        )


def test_a_broker_that_starts_empty_is_filled_again(
    operator: Operator, publishing: Publishing, broker: EmbeddedBroker, prefix: str
) -> None:
    """And what a replica serves never goes back meanwhile."""
    publishing.thread()
    seen: list[int] = []
    with Replica(broker.bootstrap, prefix=prefix) as replica, busy(operator):
        replica.on_change(lambda change: seen.append(change.position))
        for _ in range(ROUNDS):
            assert replica.wait_for(operator.store.head().position, 30)
            os.kill(broker.pid, signal.SIGKILL)
            eventually(lambda: not broker.running)
            broker.start()
        last = operator.store.head().position
        assert replica.wait_for(last + 20, 60)
    publishing.stop()
    publishing.thread()
    with Published(broker.bootstrap, prefix) as topics:
        topics.await_ledger(operator)
    assert seen == sorted(set(seen))


def test_a_replica_follows_through_deaths_of_publishers(
    operator: Operator, publishing: Publishing, bootstrap: str, prefix: str
) -> None:
    """Also where the embedded broker starves whoever reads only what is committed."""
    with Replica(bootstrap, prefix=prefix) as replica:
        with busy(operator):
            for _ in range(ROUNDS):
                position = replica.position
                process = publishing.process()
                assert replica.wait_for(position + 30, 30)
                kill(process)
        publishing.thread()
        live = operator.live()
        assert replica.wait_for(live.position, 30)
        assert replica._answers.plan is not None
        assert things(replica._answers.plan.state()) == things(live)
