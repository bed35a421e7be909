"""The recorder passes the library's own cases for recorders, and adds the ledger's conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, ProgrammingError, StoredEvent
from eventsourcing.tests import persistence as library

from ledger.recorder import LedgerDatastore, LedgerRecorder


@pytest.fixture
def recorder(database: str) -> Iterator[LedgerRecorder]:
    with LedgerDatastore(database, role="liveops_writer", pool_size=12) as datastore:
        yield LedgerRecorder(datastore)


class _OnTheLedger:
    _recorder: LedgerRecorder

    @pytest.fixture(autouse=True)
    def _take_recorder(self, recorder: LedgerRecorder) -> None:
        self._recorder = recorder

    def create_recorder(self) -> LedgerRecorder:
        return self._recorder


class TestApplicationRecorder(_OnTheLedger, library.ApplicationRecorderTestCase[LedgerRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIDs(_OnTheLedger, library.NonInterleavingNotificationIDsBaseCase):
    pass


def stored(stream: UUID, version: int = 1) -> StoredEvent:
    return StoredEvent(stream, version, "topic", b"state")


def test_inserting_nothing_returns_nothing(recorder: LedgerRecorder) -> None:
    assert recorder.insert_events([]) is None


def test_an_insert_can_expect_versions_of_streams(recorder: LedgerRecorder) -> None:
    recorder.insert_events([stored(read := uuid4())])
    assert recorder.insert_events([stored(uuid4())], expected={read: 1}) == [2]
    with pytest.raises(IntegrityError, match="streams have moved"):
        recorder.insert_events([stored(uuid4())], expected={read: 0})


def test_an_insert_can_expect_a_position(recorder: LedgerRecorder) -> None:
    recorder.insert_events([stored(uuid4())], position=0)
    with pytest.raises(IntegrityError, match="from position 0 to 1"):
        recorder.insert_events([stored(uuid4())], position=0)


def test_a_repeated_insert_returns_the_first_positions(recorder: LedgerRecorder) -> None:
    once: dict[str, Any] = {"actor": uuid4(), "key": "k", "digest": b"d"}
    first = recorder.insert_events([stored(uuid4()), stored(uuid4())], **once)
    assert recorder.insert_events([stored(uuid4()), stored(uuid4())], **once) == first
    assert recorder.max_notification_id() == 2


def test_an_unknown_condition_is_a_mistake_and_not_dropped(recorder: LedgerRecorder) -> None:
    with pytest.raises(ProgrammingError, match="tracking"):
        recorder.insert_events([stored(uuid4())], tracking=object())


def test_streams_are_read_both_ways_and_in_part(recorder: LedgerRecorder) -> None:
    stream = uuid4()
    events = [stored(stream, version) for version in range(1, 6)]
    recorder.insert_events(events)
    assert recorder.select_events(stream) == events
    assert recorder.select_events(stream, desc=True, limit=2) == [events[4], events[3]]
    assert recorder.select_events(stream, gt=1, lte=4, desc=True) == events[3:0:-1]


def test_the_recorder_makes_no_tables(recorder: LedgerRecorder) -> None:
    with pytest.raises(ProgrammingError, match="migrate"):
        recorder.create_table()


class Ramp(Aggregate):
    """Something of the library's own domain layer."""

    @event("Begun")
    def __init__(self) -> None:
        self.percentage = 0

    @event("Raised")
    def raise_to(self, percentage: int) -> None:
        self.percentage = percentage


def test_the_librarys_applications_run_on_the_recorder(recorder: LedgerRecorder) -> None:
    application = Application[UUID]()
    application.events.recorder = application.recorder = recorder
    ramp = Ramp()
    ramp.raise_to(20)
    application.save(ramp)
    assert application.repository.get(ramp.id).percentage == 20
    assert recorder.max_notification_id() == 2
