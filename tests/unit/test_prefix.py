"""Events on their way into a replica: in order, whole commands, nothing that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.prefix import Forked, Gap, Mark, Prefix, change, start_from
from ledger.catalog import Catalog, shipped_catalog
from ledger.cloudevents import HEAD, Link, Record, Unreadable, link_of
from ledger.intents import AdoptCatalog, DeactivateConfig, Freeze, KillLever
from ledger.live import things
from ledger.plan import Plan
from projections.mirror import Mirror
from tests.unit.publishing import Broker, Chronicle, chronicles

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"


def published(chronicle: Chronicle, limit: int = 500) -> Broker:
    broker = Broker()
    for _ in broker.publish(chronicle.stored, limit, Mirror()):
        pass
    return broker


def link(record: Record) -> Link:
    found = link_of(record.headers)
    assert found is not None
    return found


def take(prefix: Prefix, record: Record) -> None:
    assert record.value is not None
    prefix.take(link(record), record.value)


@pytest.fixture
def chronicle() -> Chronicle:
    chronicle = Chronicle()
    chronicle.do(AdoptCatalog(shipped_catalog()))
    chronicle.config(1, "world", "w1", payload={TEMPO: 1.5})
    return chronicle


@given(chronicles(), st.integers(1, 5), st.data())
def test_any_delivery_leads_to_the_folded_ledger(
    chronicle: Chronicle, limit: int, data: st.DataObject
) -> None:
    """Repeated from anywhere at any time, applied at any time: only whole commands are seen."""
    events = published(chronicle, limit).events
    ends = {0, *(link(record).position for record in events if link(record).ends_batch)}
    prefix, offset = Prefix(), 0
    while offset < len(events):
        take(prefix, events[offset])
        if data.draw(st.booleans()):
            prefix.apply()
            assert prefix.live.position in ends
            assert things(prefix.live) == things(chronicle.live_at(prefix.live.position))
        back = data.draw(st.integers(0, 3)) if data.draw(st.integers(0, 9)) == 0 else 0
        offset = max(0, offset + 1 - back)
    prefix.apply()
    assert things(prefix.live) == things(chronicle.live)


@given(chronicles(), st.integers(1, 5), st.data())
def test_a_start_from_the_state_goes_on_to_the_folded_ledger(
    chronicle: Chronicle, limit: int, data: st.DataObject
) -> None:
    broker, states = Broker(), []
    for _ in broker.publish(chronicle.stored, limit, Mirror()):
        states.append(dict(broker.active))
    prefix = Prefix(start_from(data.draw(st.sampled_from(states))))
    for record in broker.events:
        take(prefix, record)
    prefix.apply()
    assert things(prefix.live) == things(chronicle.live)
    assert prefix.live.recorded_at == chronicle.now


@given(chronicles(), st.data())
def test_a_missing_event_is_a_gap(chronicle: Chronicle, data: st.DataObject) -> None:
    events = published(chronicle).events
    missing = data.draw(st.integers(0, len(events) - 2))
    prefix = Prefix()
    for record in events[:missing]:
        take(prefix, record)
    with pytest.raises(Gap):
        take(prefix, events[missing + 1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: b"",
        lambda value: value[:-2],
        lambda value: b"[]",
        lambda value: b"{}",
        lambda value: value.replace(b'"data"', b'"dada"'),
        lambda value: value.replace(b'"ConfigCreated"', b'"ConfigBlessed"'),
        lambda value: value.replace(b'"schema_version":1', b'"schema_version":2'),
        lambda value: value.replace(b'{"position":2', b'{"position":3'),
        lambda value: value.replace(b'"scope":"world"', b'"scope":"moon"'),
    ],
)
def test_an_event_that_cannot_be_read_changes_nothing(
    chronicle: Chronicle, damage: Callable[[bytes], bytes]
) -> None:
    first, second, _ = published(chronicle).events
    assert second.value is not None
    assert damage(second.value) != second.value
    prefix = Prefix()
    take(prefix, first)
    prefix.apply()
    with pytest.raises(Unreadable):
        prefix.take(link(second), damage(second.value))
    assert not prefix.apply()
    assert prefix.live.position == 1


def test_a_state_without_its_head_is_no_start(chronicle: Chronicle) -> None:
    active = published(chronicle).active
    assert start_from({}) is None
    assert start_from({key: value for key, value in active.items() if key != HEAD}) is None


def test_a_state_that_lacks_a_thing_is_no_start(chronicle: Chronicle) -> None:
    active = published(chronicle).active
    del active["catalog"]
    assert start_from(active) is None


def test_a_damaged_thing_is_reported(chronicle: Chronicle) -> None:
    active = published(chronicle).active
    config = orjson.loads(active[str(UUID(int=1))])
    del config["activation"]["payload"]
    active[str(UUID(int=1))] = orjson.dumps(config)
    with pytest.raises(Unreadable):
        start_from(active)


MEMBERS = {"revision": int, "name": str, "scope_ref": str, "payload": dict, "priority": int}


@pytest.mark.parametrize(
    ("member", "odd"),
    [
        (member, odd)
        for member, kind in [*MEMBERS.items(), ("valid_from", None), ("rollout", None)]
        for odd in ([None] if kind else []) + [True, 2.5, "x", [], {}]
        if type(odd) is not kind
    ],
)
def test_a_config_with_a_part_of_another_type_is_reported(
    chronicle: Chronicle, member: str, odd: object
) -> None:
    active = published(chronicle).active
    config = orjson.loads(active[str(UUID(int=1))])
    config["activation"][member] = odd
    active[str(UUID(int=1))] = orjson.dumps(config)
    with pytest.raises(Unreadable):
        start_from(active)


@pytest.mark.parametrize("rule", [5, True, ["level > 1"], {"text": "level > 1"}])
def test_a_rule_that_is_no_text_is_reported(chronicle: Chronicle, rule: object) -> None:
    active = published(chronicle).active
    config = orjson.loads(active[str(UUID(int=1))])
    config["activation"]["targeting"] = {"include": rule}
    active[str(UUID(int=1))] = orjson.dumps(config)
    with pytest.raises(Unreadable):
        start_from(active)


def test_readers_keep_the_state_they_have(chronicle: Chronicle) -> None:
    prefix = Prefix()
    for record in published(chronicle).events:
        before, position = prefix.plan, prefix.live.position
        take(prefix, record)
        prefix.apply()
        assert before.position == position
        assert things(prefix.plan.state()) == things(prefix.live)
        assert prefix.plan is not before


def test_a_change_names_configs_and_levers(chronicle: Chronicle) -> None:
    before = Plan.of(chronicle.live)
    chronicle.config(2, "global", "global", payload={"AWF_TOOL_CALL_QUOTA": 3})
    chronicle.do(DeactivateConfig(UUID(int=1)))
    chronicle.do(KillLever("MODS_GATE"))
    changed = change(before, Plan.of(chronicle.live))
    assert changed.configs == {UUID(int=1), UUID(int=2)}
    assert changed.levers == {"AWF_TOOL_CALL_QUOTA", TEMPO, "MODS_GATE"}
    assert changed.position == chronicle.live.position


def test_a_freeze_changes_no_lever(chronicle: Chronicle) -> None:
    before = Plan.of(chronicle.live)
    chronicle.do(Freeze())
    changed = change(before, Plan.of(chronicle.live))
    assert (changed.configs, changed.levers) == (frozenset(), frozenset())


def test_another_catalog_changes_the_levers_that_differ(chronicle: Chronicle) -> None:
    file = shipped_catalog().to_json()
    [tempo] = [lever for lever in file["levers"] if lever["name"] == TEMPO]
    tempo["max"] = 4.0
    before = Plan.of(chronicle.live)
    chronicle.do(AdoptCatalog(Catalog.from_json(file)))
    assert change(before, Plan.of(chronicle.live)).levers == {TEMPO}
    assert change(before, before).levers == frozenset()


def forked(chronicle: Chronicle) -> tuple[list[Record], list[Record]]:
    """Publish a ledger, and one that has the same beginning but went on later, and otherwise."""
    known = published(chronicle).events
    other = Chronicle()
    other.do(AdoptCatalog(shipped_catalog()))
    other.now += 5_000_000
    other.config(1, "world", "w1", payload={TEMPO: 1.5})
    return known, published(other).events


def test_a_topic_that_is_filled_with_another_history_is_not_followed(chronicle: Chronicle) -> None:
    known, others = forked(chronicle)
    prefix = Prefix()
    for record in known:
        take(prefix, record)
    for record in known:
        take(prefix, record)
    for record in others[:-1]:
        take(prefix, record)
    with pytest.raises(Forked, match=f"event {len(known)} was recorded at"):
        take(prefix, others[-1])


def test_a_state_is_confirmed_only_as_what_continues_what_was_served(chronicle: Chronicle) -> None:
    known, others = forked(chronicle)
    stored = chronicle.stored
    served = Mark(stored[1].position, stored[1].recorded_at)
    ours, theirs = Prefix(None, served), Prefix(None, served)
    take(ours, known[0])
    take(theirs, others[0])
    assert not ours.confirmed
    take(ours, known[1])
    assert ours.confirmed
    with pytest.raises(Forked):
        take(theirs, others[1])
