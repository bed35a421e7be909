"""The store's interface: what is appended is what is read, and expectations hold."""

from __future__ import annotations

from uuid import uuid4

import orjson
import pytest

from ledger.clock import Instant, format_instant
from ledger.errors import FutureInstant, RequestReused, StreamMoved
from ledger.store import Appended, Head, LedgerStore, Request, Stored
from tests.integration.drafting import append, draft, drafts, request


def test_an_empty_ledger_has_no_head(store: LedgerStore) -> None:
    assert store.head() == Head(position=0, recorded_at=0)
    assert store.read(after=0, limit=10) == []


def test_what_is_appended_is_what_is_read(store: LedgerStore) -> None:
    appended = store.append(drafts(stream := uuid4(), [1, 2]), expected={stream: 0})
    assert appended == Appended(tuple(store.read(after=0, limit=10)), repeated=False)
    assert [event.position for event in appended.events] == [1, 2]


def test_events_of_one_append_are_a_microsecond_apart(store: LedgerStore) -> None:
    first, second, third = append(store, count=3)
    assert second.recorded_at == first.recorded_at + 1
    assert third.recorded_at == first.recorded_at + 2


def test_the_envelope_is_the_stored_bytes_with_where_and_when(store: LedgerStore) -> None:
    (event,) = store.append(
        [draft(stream := uuid4(), 1, b'{"b":2,"a":1}')], expected={stream: 0}
    ).events
    stamp = format_instant(event.recorded_at)
    assert event.envelope() == b'{"position":1,"recorded_at":"%s","b":2,"a":1}' % stamp.encode()
    assert orjson.loads(event.envelope())["position"] == 1


def test_a_moved_stream_is_named_and_nothing_is_appended(store: LedgerStore) -> None:
    append(store, stream=(moved := uuid4()))
    other = uuid4()
    with pytest.raises(StreamMoved) as refused:
        store.append([draft(other, 1)], expected={other: 0, moved: 0})
    assert refused.value.streams == {moved}
    assert store.head().position == 1


def test_a_stream_that_is_only_read_must_not_move_either(store: LedgerStore) -> None:
    append(store, stream=(read := uuid4()))
    written = uuid4()
    store.append([draft(written, 1)], expected={read: 1})
    assert store.head().position == 2


def test_every_moved_stream_is_named(store: LedgerStore) -> None:
    streams = {uuid4() for _ in range(3)}
    for stream in streams:
        append(store, stream=stream)
    with pytest.raises(StreamMoved) as refused:
        store.append([], expected=dict.fromkeys(streams, 0))
    assert refused.value.streams == streams


def test_an_exact_head_can_be_demanded(store: LedgerStore) -> None:
    append(store)
    store.append([draft(stream := uuid4(), 1)], expected={stream: 0}, position=1)
    with pytest.raises(StreamMoved):
        store.append([draft(stream, 2)], expected={stream: 1}, position=1)
    assert store.head().position == 2


def test_drafts_that_do_not_continue_their_stream_are_a_mistake(store: LedgerStore) -> None:
    with pytest.raises(ValueError, match="does not continue"):
        store.append(drafts(stream := uuid4(), [1, 3]), expected={stream: 0})
    with pytest.raises(ValueError, match="does not continue"):
        store.append([draft(stream, 2)], expected={stream: 0})


def test_an_unnamed_stream_must_be_where_the_first_draft_continues_it(store: LedgerStore) -> None:
    append(store, stream=(stream := uuid4()))
    with pytest.raises(StreamMoved) as refused:
        store.append([draft(stream, 3)], expected={})
    assert refused.value.streams == {stream}


def test_a_check_alone_appends_nothing(store: LedgerStore) -> None:
    append(store, stream=(stream := uuid4()))
    assert store.append([], expected={stream: 1}, position=1) == Appended((), repeated=False)
    assert store.head().position == 1


def test_a_repeated_request_returns_the_first_outcome(store: LedgerStore) -> None:
    asked = request()
    first = store.append(drafts(stream := uuid4(), [1, 2]), expected={stream: 0}, request=asked)
    again = store.append(drafts(stream, [3, 4, 5]), expected={stream: 2}, request=asked)
    assert again == Appended(first.events, repeated=True)
    assert store.head().position == 2


def test_a_repeated_request_is_known_before_its_expectations_are_checked(
    store: LedgerStore,
) -> None:
    asked = request()
    first = store.append([draft(stream := uuid4(), 1)], expected={stream: 0}, request=asked)
    again = store.append([draft(stream, 1)], expected={stream: 0}, position=0, request=asked)
    assert again == Appended(first.events, repeated=True)


def test_a_key_belongs_to_one_request(store: LedgerStore) -> None:
    asked = request()
    append_once(store, asked)
    other = Request(asked.actor, asked.key, b"other")
    with pytest.raises(RequestReused):
        append_once(store, other)
    with pytest.raises(RequestReused):
        store.find(other)


def test_keys_of_different_actors_are_different(store: LedgerStore) -> None:
    assert append_once(store, request("k")) is False
    assert append_once(store, request("k")) is False
    assert store.head().position == 2


def append_once(store: LedgerStore, asked: Request) -> bool:
    return store.append([draft(uuid4(), 1)], expected={}, request=asked).repeated


def test_an_earlier_outcome_can_be_found(store: LedgerStore) -> None:
    asked = request()
    assert store.find(asked) is None
    first = store.append(drafts(stream := uuid4(), [1, 2]), expected={stream: 0}, request=asked)
    append(store)
    assert store.find(asked) == Appended(first.events, repeated=True)


def test_reading_starts_after_a_position_and_keeps_to_the_limit(store: LedgerStore) -> None:
    events = append(store, count=5)
    assert store.read(after=1, limit=2) == list(events[1:3])
    assert store.read(after=5, limit=2) == []


@pytest.mark.parametrize("batch", [1, 3, 7, 8, 100])
def test_streaming_crosses_batches(store: LedgerStore, batch: int) -> None:
    events = append(store, count=8)
    assert list(store.stream(batch=batch)) == list(events)
    assert list(store.stream(after=2, upto=5, batch=batch)) == list(events[2:5])


def test_streaming_goes_on_to_events_appended_meanwhile(store: LedgerStore) -> None:
    append(store, count=2)
    events = store.stream(batch=1)
    first = next(events)
    append(store)
    assert [first.position, *(event.position for event in events)] == [1, 2, 3]


def test_an_instant_finds_the_last_event_at_or_before_it(store: LedgerStore) -> None:
    first, second = append(store, count=2)
    assert store.position_at(first.recorded_at - 1) == 0
    assert store.position_at(first.recorded_at) == 1
    assert store.position_at(second.recorded_at + 1) == 2


def test_closing_a_past_instant_answers_like_the_log(store: LedgerStore) -> None:
    first, second = append(store, count=2)
    assert store.close_instant(first.recorded_at - 1) == Head()
    assert store.close_instant(first.recorded_at) == _head(first)
    assert store.close_instant(second.recorded_at) == _head(second)


def test_closing_an_instant_of_an_empty_ledger(store: LedgerStore) -> None:
    assert store.close_instant(1) == Head()


def test_an_instant_that_has_not_happened_cannot_be_closed(store: LedgerStore) -> None:
    (event,) = append(store)
    with pytest.raises(FutureInstant):
        store.close_instant(event.recorded_at + _HOUR)


def test_the_state_comes_back_byte_for_byte(store: LedgerStore) -> None:
    state = bytes(range(256)) * 5000
    store.append([draft(stream := uuid4(), 1, state)], expected={stream: 0})
    assert store.read(after=0, limit=1)[0].state == state


def test_waiting_ends_at_once_when_there_is_something(store: LedgerStore) -> None:
    append(store)
    assert store.wait(0, timeout=60) is True


def test_waiting_gives_up_after_its_time(store: LedgerStore) -> None:
    append(store)
    assert store.wait(1, timeout=0.05) is False


_HOUR: Instant = 3_600_000_000


def _head(event: Stored) -> Head:
    return Head(event.position, event.recorded_at)
