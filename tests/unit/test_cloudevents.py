"""Records, field by field as the specification of the topics has them."""

from __future__ import annotations

import re

import orjson
import pytest

from ledger.catalog import shipped_catalog
from ledger.clock import format_instant
from ledger.cloudevents import (
    Head,
    Link,
    Record,
    Stamp,
    Unreadable,
    event_record,
    head_record,
    link_of,
    read_head,
    read_thing,
    thing_record,
)
from ledger.intents import AdoptCatalog
from ledger.live import thing
from ledger.store import Stored
from ledger.topics import Topics
from tests.unit.publishing import Chronicle

ATTRIBUTE = re.compile(r"ce_[a-z0-9]{1,20}")


@pytest.fixture
def chronicle() -> Chronicle:
    chronicle = Chronicle()
    chronicle.do(AdoptCatalog(shipped_catalog()))
    chronicle.config(7, "world", "w1", payload={"TURN_PACING_MULTIPLIER": 0.5})
    return chronicle


def written(stored: Stored, *, ends_batch: bool = True) -> Record:
    stamp = Stamp(stored.position, stored.recorded_at)
    return event_record(stamp, stored.state, ends_batch=ends_batch)


def test_every_header_of_an_event_of_a_config(chronicle: Chronicle) -> None:
    stored = chronicle.stored[2]
    members = orjson.loads(stored.state)
    assert dict(written(stored).headers) == {
        "ce_specversion": b"1.0",
        "ce_id": members["event_id"].encode(),
        "ce_source": b"/liveops/ledger",
        "ce_type": b"liveops.ConfigActivated.v1",
        "ce_subject": members["config_id"].encode(),
        "ce_time": format_instant(stored.recorded_at).encode(),
        "ce_sequence": b"00000000000000000003",
        "ce_previous": b"00000000000000000002",
        "ce_batch": b"end",
        "ce_correlationid": members["correlation_id"].encode(),
        "ce_causationid": members["causation_id"].encode(),
        "content-type": b"application/json",
    }


def test_an_event_of_no_config_has_no_subject(chronicle: Chronicle) -> None:
    record = written(chronicle.stored[0])
    assert record.key == b"ledger"
    assert "ce_subject" not in dict(record.headers)


def test_the_value_is_the_envelope_to_the_byte(chronicle: Chronicle) -> None:
    stored = chronicle.stored[2]
    record = written(stored)
    assert record.value == stored.envelope()
    assert record.key == orjson.loads(stored.state)["config_id"].encode()
    assert record.timestamp_ms == stored.recorded_at // 1000


def test_attributes_have_names_that_cloudevents_allows(chronicle: Chronicle) -> None:
    records = [written(stored) for stored in chronicle.stored]
    records += [head_record(Stamp(3, 9), 2), thing_record("kill:A", None, Stamp(3, 9))]
    names = {name for record in records for name, _ in record.headers} - {"content-type"}
    assert all(ATTRIBUTE.fullmatch(name) for name in names)


def test_a_thing_tells_which_event_it_is_of(chronicle: Chronicle) -> None:
    thing_id = str(chronicle.events[2].event.stream)
    value = thing(chronicle.live, thing_id)
    record = thing_record(thing_id, value, Stamp(3, chronicle.now))
    assert record.value is not None
    read = orjson.loads(record.value)
    assert (read["position"], read["schema_version"]) == (3, 1)
    assert read["recorded_at"] == format_instant(chronicle.now)
    assert dict(record.headers)["ce_sequence"] == b"00000000000000000003"


def test_a_thing_that_is_gone_leaves_a_tombstone() -> None:
    record = thing_record("kill:MODS_GATE", None, Stamp(4, 9))
    assert (record.key, record.value) == (b"kill:MODS_GATE", None)


def test_what_is_written_is_read(chronicle: Chronicle) -> None:
    assert link_of(written(chronicle.stored[1], ends_batch=False).headers) == Link(2, 1, False)
    head = head_record(Stamp(5, 77_000_000), 3)
    assert head.value is not None
    assert read_head(head.value) == Head(5, 77_000_000, 3)


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("ce_sequence", b"1")],
        [("ce_sequence", b"1"), ("ce_previous", b"x"), ("ce_batch", b"end")],
        [("ce_sequence", None), ("ce_previous", b"0"), ("ce_batch", b"end")],
    ],
)
def test_a_record_that_is_no_event_has_no_link(headers: list[tuple[str, bytes | None]]) -> None:
    assert link_of(headers) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b'{"kind":"config"}',
        b'{"schema_version":2,"kind":"config"}',
        b'{"schema_version":1,"kind":"blessing"}',
        b'{"schema_version":1,"kind":["config"]}',
    ],
)
def test_a_thing_that_is_damaged_or_newer_is_not_read(value: bytes) -> None:
    with pytest.raises(Unreadable):
        read_thing("some thing", value)


@pytest.mark.parametrize(
    "value",
    [
        b"{}",
        b'{"schema_version":1,"position":3}',
        b'{"schema_version":1,"position":"3","recorded_at":"2026-01-01T00:00:00Z","things":0}',
        b'{"schema_version":1,"position":3,"recorded_at":"2026-01-01T00:00:00Z","things":[]}',
    ],
)
def test_a_head_that_is_damaged_is_not_read(value: bytes) -> None:
    with pytest.raises(Unreadable):
        read_head(value)


def test_topics_are_named_by_their_prefix() -> None:
    topics = Topics("eu.liveops")
    assert (topics.events, topics.active) == ("eu.liveops.events", "eu.liveops.active")
    assert topics.settings[topics.events]["cleanup.policy"] == "delete"
    assert topics.settings[topics.active]["cleanup.policy"] == "compact"
