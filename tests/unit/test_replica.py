"""The replica, fed from memory: what it serves, when it starts over, what a turn holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from consumers.replica import Change, NotReady, Replica
from ledger.catalog import shipped_catalog
from ledger.cloudevents import Record
from ledger.intents import AdoptCatalog, KillLever, RestoreLever
from ledger.live import things
from ledger.resolve import Reason, resolve
from ledger.scopes import Context
from tests.unit.feeding import Topics, fed_from_memory, published
from tests.unit.publishing import Broker, Chronicle

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"
QUOTA = "AWF_TOOL_CALL_QUOTA"
TURN = Context("s", 1, world_id="w1")
SECONDS = 20.0


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    return fed_from_memory(monkeypatch)


@pytest.fixture
def chronicle() -> Chronicle:
    chronicle = Chronicle()
    chronicle.do(AdoptCatalog(shipped_catalog()))
    chronicle.config(1, "world", "w1", payload={TEMPO: 1.5})
    return chronicle


@pytest.fixture
def replica(topics: Topics, chronicle: Chronicle) -> Iterator[Replica]:
    topics.hold(published(chronicle))
    with Replica("memory") as started:
        assert started.wait_for(3, SECONDS)
        yield started


def told(replica: Replica) -> Callable[[], list[Change]]:
    changes: list[Change] = []
    replica.on_change(changes.append)
    return lambda: changes


def fail(_: Change) -> None:
    raise RuntimeError("this listener always fails")


def values(replica: Replica, context: Context = TURN) -> Mapping[str, Any]:
    return replica.resolve(context).values


# --- What is served, and when ---


def test_nothing_is_served_before_data_has_arrived(topics: Topics) -> None:
    with Replica("memory") as replica:
        assert (replica.ready, replica.position) == (False, 0)
        assert not replica.wait_ready(0.01)
        with pytest.raises(NotReady):
            replica.resolve(TURN)


def test_it_serves_what_was_published(replica: Replica, chronicle: Chronicle) -> None:
    assert replica.ready
    assert replica.problem is None
    assert replica.recorded_at == chronicle.now
    assert replica.resolve(TURN, at=chronicle.now) == resolve(chronicle.live, TURN, chronicle.now)


def test_it_follows_what_is_published(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    topics.hold(published(chronicle))
    assert replica.wait_for(5, SECONDS)
    assert topics.opened == 1
    assert values(replica)[QUOTA] == 9


def test_what_arrives_twice_counts_once(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    topics.append(*topics.log)
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(5, SECONDS)
    assert topics.opened == 1


def test_a_gap_makes_it_start_from_the_state(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    broker = published(chronicle)
    topics.active = broker.active
    topics.append(broker.events[4])
    assert replica.wait_for(5, SECONDS)
    assert topics.opened == 2
    assert values(replica)[QUOTA] == 9


def test_a_log_made_anew_never_takes_it_back(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    broker = published(chronicle)
    topics.hold(Broker())
    topics.hold(broker, events=1)
    assert replica.position == 3
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    topics.hold(published(chronicle))
    assert replica.wait_for(5, SECONDS)


def test_without_the_state_it_reads_all_events(topics: Topics, chronicle: Chronicle) -> None:
    topics.hold(published(chronicle))
    topics.active = {}
    with Replica("memory") as replica:
        assert replica.wait_for(3, SECONDS)
        assert values(replica)[TEMPO] == 1.5


def test_events_whose_time_misleads_are_found_among_all(
    topics: Topics, chronicle: Chronicle
) -> None:
    topics.hold(published(chronicle))
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    late = [record._replace(timestamp_ms=0) for record in published(chronicle).events[3:4]]
    topics.append(*late, *published(chronicle).events[4:])
    with Replica("memory") as replica:
        assert replica.wait_for(5, SECONDS)


def test_a_damaged_event_leaves_the_last_good_state(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    damaged = published(chronicle).events[3]._replace(value=b'{"position":4')
    topics.append(damaged)
    assert not replica.wait_for(4, 0.3)
    assert "event 4 cannot be read" in (replica.problem or "")
    assert values(replica)[TEMPO] == 1.5


def test_a_damaged_event_is_passed_by_way_of_the_state(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    broker = published(chronicle)
    topics.append(broker.events[3]._replace(value=b""))
    topics.active = broker.active
    topics.append(broker.events[4])
    assert replica.wait_for(5, SECONDS)
    assert replica.problem is None


def test_a_record_that_is_no_event_is_told_and_passed(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    topics.append(Record(b"", b"hello", [], 0))
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    topics.append(published(chronicle).events[3])
    assert replica.wait_for(4, SECONDS)
    topics.append(Record(b"", b"hello", [], 0))
    assert not replica.wait_for(5, 0.2)
    assert "is none" in (replica.problem or "")


def test_a_broker_that_is_away_is_waited_for(topics: Topics, chronicle: Chronicle) -> None:
    topics.down = True
    with Replica("memory") as replica:
        assert not replica.wait_ready(0.2)
        assert replica.problem == "no broker takes connections"
        assert replica.age == float("inf")
        topics.hold(published(chronicle))
        topics.down = False
        assert replica.wait_for(3, SECONDS)
        assert replica.problem is None
        assert replica.age < SECONDS


def test_it_goes_on_serving_after_the_end(topics: Topics, chronicle: Chronicle) -> None:
    topics.hold(published(chronicle))
    with Replica("memory") as replica:
        assert replica.wait_for(3, SECONDS)
    assert values(replica)[TEMPO] == 1.5
    assert not replica.wait_for(4, SECONDS)


# --- Changes ---


def test_listeners_are_told_what_changed(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    changes = told(replica)
    config_id = chronicle.config(2, "global", "global", payload={QUOTA: 9})
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(5, SECONDS)
    replica.close()
    assert changes()[-1].position == 5
    assert set().union(*(change.configs for change in changes())) == {config_id}
    assert set().union(*(change.levers for change in changes())) == {QUOTA}


def test_a_failing_listener_does_not_stop_the_feed(
    replica: Replica, topics: Topics, chronicle: Chronicle, caplog: pytest.LogCaptureFixture
) -> None:
    replica.on_change(fail)
    changes = told(replica)
    chronicle.do(KillLever(QUOTA))
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(4, SECONDS)
    replica.close()
    assert [change.levers for change in changes()] == [{QUOTA}]
    assert "a listener failed at position 4" in caplog.text


def test_a_listener_can_leave(replica: Replica, topics: Topics, chronicle: Chronicle) -> None:
    heard: list[Change] = []
    replica.on_change(heard.append)()
    chronicle.do(KillLever(QUOTA))
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(4, SECONDS)
    replica.close()
    assert heard == []


# --- Turns ---


def test_a_turn_holds_when_events_arrive(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    first = replica.resolve(TURN)
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(5, SECONDS)
    assert replica.resolve(TURN) == first
    assert values(replica, Context("s", 2, world_id="w1"))[QUOTA] == 9


def test_another_question_in_a_turn_is_answered_from_the_same_moment(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    first = replica.resolve(Context("s", 1))
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(5, SECONDS)
    other = replica.resolve(TURN)
    assert (other.position, other.at) == (first.position, first.at)
    assert (other.values[TEMPO], other.values[QUOTA]) == (1.5, 5)


@pytest.mark.parametrize("restored", [False, True])
def test_no_pin_outlives_a_kill_or_its_end(
    replica: Replica, topics: Topics, chronicle: Chronicle, restored: bool
) -> None:
    assert values(replica)[TEMPO] == 1.5
    chronicle.do(KillLever(TEMPO))
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(4, SECONDS)
    assert values(replica)[TEMPO] == 1.0
    if restored:
        chronicle.do(RestoreLever(TEMPO))
        topics.append(*published(chronicle).events[4:])
        assert replica.wait_for(5, SECONDS)
        assert values(replica)[TEMPO] == 1.5


def test_an_explanation_agrees_with_the_pinned_answer(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    first = replica.resolve(TURN)
    chronicle.config(2, "world", "w1", payload={TEMPO: 2.0})
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(5, SECONDS)
    explained = replica.resolve(TURN, explain=True)
    assert explained.explanation is not None
    assert (explained.values, explained.at) == (first.values, first.at)
    assert explained.explanation[TEMPO].value == 1.5


def test_without_a_turn_every_answer_is_new(
    replica: Replica, topics: Topics, chronicle: Chronicle
) -> None:
    context = Context("s", world_id="w1")
    assert values(replica, context)[QUOTA] == 5
    chronicle.config(2, "global", "global", payload={QUOTA: 9})
    topics.append(*published(chronicle).events[3:])
    assert replica.wait_for(5, SECONDS)
    assert values(replica, context)[QUOTA] == 9
    assert replica.cache().size == 0


def test_an_instant_before_the_newest_event_is_raised_to_it(
    replica: Replica, chronicle: Chronicle
) -> None:
    assert replica.resolve(TURN, at=0).at == chronicle.now
    assert replica.resolve(TURN, at=chronicle.now + 5).at == chronicle.now + 5


def test_nobody_can_change_an_answer(replica: Replica) -> None:
    with pytest.raises(TypeError):
        values(replica)[TEMPO] = 99.0  # type: ignore[index]
    assert values(replica)[TEMPO] == 1.5


def test_the_memo_counts(replica: Replica) -> None:
    for _ in range(4):
        replica.resolve(TURN)
    cache = replica.cache()
    assert (cache.hits, cache.misses, cache.size, cache.ttl) == (3, 1, 1, 60.0)
    replica.clear_cache()
    assert replica.cache().size == 0


def test_a_game_that_is_switched_off_gets_defaults(topics: Topics, chronicle: Chronicle) -> None:
    topics.hold(published(chronicle))
    with Replica("memory", enabled=False) as replica:
        assert replica.resolve(TURN).reason is Reason.DISABLED
        assert replica.wait_for(3, SECONDS)
        assert replica.resolve(TURN).values == shipped_catalog().defaults
        assert replica.resolve(TURN).position == 3


def test_typed_views_read_the_answer(replica: Replica) -> None:
    game = replica.game(TURN)
    assert game.pacing.quest_pacing_tempo_multiplier == 1.5
    assert game.gates.dialogue.is_enabled


def test_the_state_that_is_served_is_the_folded_ledger(
    replica: Replica, chronicle: Chronicle
) -> None:
    assert replica._answers.plan is not None
    assert things(replica._answers.plan.state()) == things(chronicle.live)
