"""`liveops_timeline` gives every past state, whole or as far as a context needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import pytest

from ledger.events import ExperimentStarted, Recorded
from ledger.intents import ActivateConfig, DeactivateConfig, KillLever
from ledger.live import Live, evolve_live, shadowed, things
from ledger.parts import COMMON, parts_of, place_part
from ledger.resolve import resolve
from ledger.scopes import EVERYWHERE, Context
from projections.catalogue import install
from projections.timeline import TimelineView, prefix_at, spans_between
from projections.views import Connection, connect
from tests.integration.projecting import EXPERIMENTS, LEVERS, project, random_history, record
from tests.unit.history import History

VIEW = TimelineView()
CONTEXTS = [
    Context("s"),
    Context("s", world_id="w1", attributes={"country": "de"}),
    Context("other", world_id="w2", experiments={EXPERIMENTS[0]: "a", EXPERIMENTS[1]: None}),
]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    install(database)
    connected = connect(database)
    yield connected
    connected.close()


def projected(url: str, events: Sequence[Recorded], batch: int = 1000) -> None:
    record(url, events)
    project(url, [VIEW], batch)


def prefixes(events: Sequence[Recorded]) -> Iterator[Live]:
    """Fold events one by one, from none on."""
    live = Live()
    yield live.copy()
    for recorded in events:
        evolve_live(live, recorded)
        yield live.copy()


def past(connection: Connection, position: int, parts: Sequence[str] | None = None) -> Live:
    found = prefix_at(connection, position, parts)
    assert found is not None
    return found.live()


@pytest.mark.parametrize("seed", range(3))
def test_every_position_is_as_folded_from_the_first_event(
    database: str, connection: Connection, seed: int
) -> None:
    events = random_history(seed).events
    projected(database, events, batch=1 + seed * 37)
    for live in prefixes(events):
        found = past(connection, live.position)
        assert (found.position, found.recorded_at) == (live.position, live.recorded_at)
        assert things(found) == things(live)
        assert found.by_place == live.by_place


@pytest.mark.parametrize("seed", range(3, 6))
def test_the_parts_of_a_context_answer_it(database: str, connection: Connection, seed: int) -> None:
    events = random_history(seed).events
    projected(database, events)
    for live in list(prefixes(events))[:: 1 + seed]:
        context = CONTEXTS[live.position % len(CONTEXTS)]
        parts = (*COMMON, *parts_of(live.experiments, context))
        found = past(connection, live.position, parts)
        for whole, part in ((live, found), (shadowed(live), shadowed(found))):
            answers = [
                resolve(each, context, live.recorded_at, explain=True) for each in (whole, part)
            ]
            assert answers[0].to_json() == answers[1].to_json()


def test_beyond_the_views_last_event_there_is_that_one(
    database: str, connection: Connection
) -> None:
    history = History()
    history.config(1, "global", "global", payload={LEVERS[0]: 0.25})
    projected(database, history.events)
    found = prefix_at(connection, 1000)
    assert found is not None
    assert (found.position, found.recorded_at) == (2, history.events[-1].recorded_at)


def test_a_view_of_another_version_answers_nothing(database: str, connection: Connection) -> None:
    connection.execute("UPDATE liveops_projections SET version = version + 1")
    assert prefix_at(connection, 1) is None


def test_names_that_postgres_cannot_write_stay_apart(database: str, connection: Connection) -> None:
    history = History()
    refs = ["a\x00", "a\ufffd", "a%00", "a%2500"]
    for n, ref in enumerate(refs, 1):
        history.config(n, "session", ref, payload={LEVERS[0]: 0.25})
    projected(database, history.events)
    for ref, activation in zip(refs, history.state.live.activations.values(), strict=True):
        parts = [place_part(activation.pinned.place)]
        assert past(connection, 8, parts).at_place(activation.pinned.place) == (activation,)
        assert activation.pinned.place.ref == ref


def test_what_held_over_some_time_is_listed_by_its_beginning(
    database: str, connection: Connection
) -> None:
    history = History()
    history.config(1, "global", "global", payload={LEVERS[0]: 0.25})  # 1, 2
    history.config(2, "global", "global", payload={LEVERS[1]: 0.25})  # 3, 4
    history.do(DeactivateConfig(UUID(int=1)))  # 5
    history.do(ActivateConfig(UUID(int=1)))  # 6
    history.do(KillLever(LEVERS[0]))  # 7
    history.do(KillLever(LEVERS[1]))  # 8
    projected(database, history.events)
    parts = [place_part(EVERYWHERE), "kills"]
    spans = spans_between(connection, 4, 7, parts)
    assert [(span.begins, span.ends) for span in spans] == [(2, 5), (4, None), (6, None), (7, None)]
    assert spans == spans_between(connection, 4, 7)
    concerned = spans_between(connection, 5, 8, parts, [LEVERS[0]])
    assert [(span.begins, span.ends) for span in concerned] == [(6, None), (7, None)]


def test_experiments_are_listed_whatever_lever_is_asked_for(
    database: str, connection: Connection
) -> None:
    events = random_history(1).events
    projected(database, events)
    began = {each.position for each in events if isinstance(each.event, ExperimentStarted)}
    spans = spans_between(connection, 1, len(events), ["experiments"], [LEVERS[0]])
    assert began
    assert began <= {span.begins for span in spans}
