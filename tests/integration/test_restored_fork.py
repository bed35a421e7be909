"""A ledger that was restored to an earlier point is known for it by all who were told of more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from consumers.replica import Replica
from ledger.scopes import Context
from tests.integration.patience import eventually
from tests.integration.publishing import TEMPO, Operator, Published, Publishing
from tests.integration.restoring import change, tool

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

SECONDS = 20.0


class Forked(NamedTuple):
    """A game that was told of events that the restored ledger has lost."""

    ledger: str
    replica: Replica
    position: int
    publishing: Publishing


@pytest.fixture
def forked(
    database: str,
    operator: Operator,
    publishing: Publishing,
    new_database: Callable[[], str],
    bootstrap: str,
    prefix: str,
    tmp_path: Path,
) -> Iterator[Forked]:
    operator.config(1.5)
    tool("pg_dump", "--format=custom", f"--file={tmp_path / 'dump'}", url=database)
    operator.config(2.0)
    publishing.thread()
    restored = new_database()
    tool("pg_restore", str(tmp_path / "dump"), url=restored)
    others = Publishing(restored, bootstrap, prefix)
    with Replica(bootstrap, prefix=prefix) as replica:
        position = operator.store.head().position
        assert replica.wait_for(position, SECONDS)
        publishing.stop()
        try:
            yield Forked(restored, replica, position, others)
        finally:
            others.end()


def tempo(replica: Replica) -> object:
    return replica.resolve(Context(f"s{replica.position}", world_id="w1")).values[TEMPO]


def test_its_publisher_adds_nothing_to_what_is_published(
    forked: Forked, topics: Published, caplog: pytest.LogCaptureFixture
) -> None:
    published, last = topics.values(), forked.position
    forked.publishing.thread(lambda _: None)
    eventually(lambda: f"event {last} in {topics.names.events} is not ours" in caplog.text)
    caplog.clear()
    forked.publishing.stop()
    change(forked.ledger, 0.5, 0.6, 0.7)  # now it has events at these positions: others
    forked.publishing.thread(lambda _: None)
    eventually(lambda: f"event {last} in {topics.names.events} is not ours" in caplog.text)
    assert topics.values() == published
    assert tempo(forked.replica) == 2.0


def test_a_game_does_not_take_it_for_the_ledger_that_it_knows(
    forked: Forked, topics: Published, bootstrap: str, prefix: str
) -> None:
    change(forked.ledger, 0.5, 0.6, 0.7)
    topics.delete(topics.events)
    topics.delete(topics.active)
    forked.publishing.thread()
    replica = forked.replica
    eventually(lambda: "went on otherwise" in (replica.problem or ""), 40)
    assert (replica.position, tempo(replica)) == (forked.position, 2.0)
    with Replica(bootstrap, prefix=prefix) as anew:
        assert anew.wait_for(forked.position + 1, SECONDS)
        assert tempo(anew) == 0.7


def test_under_another_prefix_it_is_published_whole(
    forked: Forked, bootstrap: str, prefix: str
) -> None:
    change(forked.ledger, 0.5)
    other = f"{prefix}-2"
    beside = Publishing(forked.ledger, bootstrap, other)
    beside.thread()
    try:
        with Replica(bootstrap, prefix=other) as replica:
            assert replica.wait_ready(SECONDS)
            eventually(lambda: tempo(replica) == 0.5)
        assert tempo(forked.replica) == 2.0
    finally:
        beside.end()
