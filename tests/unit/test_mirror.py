"""What the compacted topic is made to hold."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.prefix import start_from
from ledger.cloudevents import HEAD, read_head
from ledger.intents import (
    ArchiveConfig,
    KillLever,
    RollBack,
    StartExperiment,
    StartShadow,
    StopExperiment,
)
from ledger.live import Live, things
from projections.mirror import Mirror, head_position, transaction
from tests.unit.publishing import Broker, Chronicle, chronicles, experiment

limits = st.integers(1, 6)


@pytest.fixture
def chronicle() -> Chronicle:
    """Three configs in force, then one command that ends all of them: positions 7 to 9."""
    chronicle = Chronicle()
    for number in (1, 2, 3):
        chronicle.config(number, "global", "global", payload={"TURN_PACING_MULTIPLIER": 0.5})
    chronicle.do(RollBack(Live()))
    return chronicle


def published(chronicle: Chronicle, limit: int = 500) -> Broker:
    broker = Broker()
    for _ in broker.publish(chronicle.stored, limit, Mirror()):
        pass
    return broker


def test_a_transaction_holds_whole_commands_where_one_fits(chronicle: Chronicle) -> None:
    batch = transaction(chronicle.stored[:9], 8)
    assert [event.recorded.position for event in batch] == [1, 2, 3, 4, 5, 6]
    assert all(event.ends_batch for event in batch)


def test_a_command_too_large_for_a_transaction_stays_open(chronicle: Chronicle) -> None:
    batch = transaction(chronicle.stored[6:9], 2)
    assert [(event.recorded.position, event.ends_batch) for event in batch] == [
        (7, False),
        (8, False),
    ]


def test_nothing_is_mirrored_in_the_middle_of_a_command(chronicle: Chronicle) -> None:
    broker = Broker()
    heads = [head_position(broker.active) for _ in broker.publish(chronicle.stored, 2, Mirror())]
    assert heads == [2, 4, 6, 6, 9]


def test_an_archived_config_leaves_a_tombstone(chronicle: Chronicle) -> None:
    chronicle.config(4, "global", "global", payload={"TURN_PACING_MULTIPLIER": 0.5})
    key = str(UUID(int=4))
    assert key in published(chronicle).active
    chronicle.do(ArchiveConfig(UUID(int=4)))
    assert key not in published(chronicle).active


def test_an_archived_config_is_in_shadow_no_more(chronicle: Chronicle) -> None:
    chronicle.do(StartShadow(UUID(int=1)))
    key = f"shadow:{UUID(int=1)}"
    assert key in published(chronicle).active
    chronicle.do(ArchiveConfig(UUID(int=1)))
    assert key not in published(chronicle).active


def test_a_stopped_experiment_leaves_a_tombstone(chronicle: Chronicle) -> None:
    chronicle.do(StartExperiment(experiment("x")))
    assert "experiment:x" in published(chronicle).active
    chronicle.do(StopExperiment("x"))
    assert "experiment:x" not in published(chronicle).active


@given(chronicles(), limits)
def test_the_topic_holds_the_folded_ledger(chronicle: Chronicle, limit: int) -> None:
    broker = Broker()
    for mirror in broker.publish(chronicle.stored, limit, Mirror()):
        live = start_from(broker.active)
        position = head_position(broker.active)
        assert position <= mirror.live.position
        if position:
            assert live is not None
            assert things(live) == things(chronicle.live_at(position))


@given(chronicles(), limits, limits)
def test_the_topic_is_the_same_however_it_was_written(
    chronicle: Chronicle, limit: int, other: int
) -> None:
    assert published(chronicle, limit) == published(chronicle, other)


@given(chronicles(), st.data())
def test_a_topic_that_differs_is_mended(chronicle: Chronicle, data: st.DataObject) -> None:
    right = published(chronicle)
    lost = data.draw(st.sets(st.sampled_from(sorted(right.active))))
    broken = Broker(active={key: value for key, value in right.active.items() if key not in lost})
    broken.active["kill:STRANGER"] = b"left over"
    mirror = Mirror()
    for event in transaction(chronicle.stored, 10_000):
        mirror.apply(event.recorded)
    mirror.expect(broken.active)
    broken.put(mirror.due())
    assert broken.active == right.active


def test_a_topic_that_is_right_is_left_alone(chronicle: Chronicle) -> None:
    mirror = Mirror()
    for event in transaction(chronicle.stored, 500):
        mirror.apply(event.recorded)
    mirror.expect(published(chronicle).active)
    assert mirror.due() == []


def test_a_topic_that_is_ahead_is_left_alone_until_then(chronicle: Chronicle) -> None:
    broker = published(chronicle)
    ahead = dict(broker.active)
    mirror = Mirror()
    mirror.expect(ahead)
    states = [dict(broker.active) for _ in broker.publish(chronicle.stored, 2, mirror)]
    assert all(state == ahead for state in states)
    chronicle.do(KillLever("MODS_GATE"))
    list(broker.publish(chronicle.stored, 2, mirror))
    assert read_head(broker.active[HEAD]).position == 10


def test_a_copy_is_independent(chronicle: Chronicle) -> None:
    mirror = Mirror()
    ahead = mirror.copy()
    ahead.apply(transaction(chronicle.stored, 500)[0].recorded)
    assert (mirror.live.position, ahead.live.position) == (0, 1)
