"""Snapshots are written once, by the projector, and each can be resolved again."""

from __future__ import annotations

from collections.abc import Iterator
from time import time_ns
from uuid import UUID

import psycopg
import pytest

from ledger.errors import NotFound
from ledger.events import Recorded
from ledger.intents import Freeze, KillLever
from ledger.live import Live, evolve_live
from ledger.resolve import Resolution, disabled, resolve
from ledger.sample_checks import Past
from ledger.samples import SESSION, Sample, Source
from ledger.scopes import Context
from ledger.state import replay_live
from projections import snapshots as module
from projections.catalogue import install
from projections.snapshots import (
    Snapshot,
    count_snapshots,
    forget,
    list_snapshots,
    record_snapshot,
    snapshots,
    verify,
)
from tests.integration.projecting import LEVERS, SECOND, random_history
from tests.unit.history import GAME, START, History

RARE = LEVERS[0]


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    install(database)
    with psycopg.connect(database, autocommit=True) as connected:
        connected.execute("SET ROLE liveops_writer")
        yield connected


def sampled(history: History, context: Context = GAME) -> Resolution:
    return resolve(history.live, context, history.now)


def taken(resolution: Resolution, context: Context = GAME, *, ts: int = START) -> Sample:
    values, position, at, reason = resolution[:4]
    return Sample(context, values, position, at, reason.value, ts)


def past(events: list[Recorded]) -> Past:
    def at(position: int, _: Context) -> Live:
        if position > len(events):
            raise NotFound
        return replay_live(events[:position])

    return at


def one(history: History) -> History:
    history.config(1, "world", "w1", payload={RARE: 0.25})
    return history


def test_a_sample_is_read_as_it_was_taken(connection: psycopg.Connection) -> None:
    history = one(History())
    context = GAME._replace(attributes={"spent": 1e16, "tier": "gold", "nul": "\0"})
    resolution = sampled(history, context)
    record_snapshot(connection, taken(resolution, context, ts=history.now + 5))
    (snapshot,) = snapshots(connection)
    assert (snapshot.session_id, snapshot.turn_id, snapshot.ts) == ("s1", 1, history.now + 5)
    assert (snapshot.resolved, snapshot.position) == (resolution.values, 2)
    assert Context(**snapshot.context) == context
    assert isinstance(snapshot.context["attributes"]["spent"], float)


def test_the_same_sample_twice_is_one_row(connection: psycopg.Connection) -> None:
    history = one(History())
    ids = {record_snapshot(connection, taken(sampled(history), ts=ts)) for ts in (1, 2)}
    assert [snapshot.id for snapshot in snapshots(connection)] == list(ids)


def test_two_answers_to_one_question_are_both_kept(connection: psycopg.Connection) -> None:
    resolution = sampled(one(History()))
    other = resolution._replace(values={**resolution.values, RARE: 0.5})
    for answer in (resolution, other):
        record_snapshot(connection, taken(answer))
    assert len(list(snapshots(connection))) == 2


@pytest.mark.parametrize("turn", [None, 2**31])
def test_a_sample_without_a_turn_is_refused(
    connection: psycopg.Connection, turn: int | None
) -> None:
    context = GAME._replace(turn_id=turn)
    with pytest.raises(ValueError, match="one turn"):
        record_snapshot(connection, taken(sampled(one(History())), context))


def test_the_connection_is_what_it_was_before(connection: psycopg.Connection) -> None:
    record_snapshot(connection, taken(sampled(one(History()))))
    assert connection.execute("SELECT current_role").fetchone() == ("liveops_writer",)


def test_pages_come_in_order_of_position(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    resolution = sampled(one(History()))
    for position in (3, 1, 2, 2, 1):
        for ahead in (0, 1):
            answer = resolution._replace(position=position, at=START + ahead)
            record_snapshot(connection, taken(answer))
    assert [snapshot.position for snapshot in snapshots(connection)] == [1, 1, 2, 2, 3, 3]


# --- Resolving again ---


@pytest.mark.parametrize("seed", range(3))
def test_what_was_given_is_what_the_ledger_says(connection: psycopg.Connection, seed: int) -> None:
    events, live = random_history(seed).events, Live()
    for recorded in events:
        evolve_live(live, recorded)
        for ahead in (0, 40 * SECOND):
            answer = resolve(live, GAME, recorded.recorded_at + ahead)
            record_snapshot(connection, taken(answer))
    verdicts = list(verify(snapshots(connection), past(events)))
    assert len(verdicts) == 2 * len(events)
    assert [verdict for verdict in verdicts if not verdict.agrees] == []


def test_what_was_not_given_by_the_ledger_is_named() -> None:
    history = one(History())
    resolution = sampled(history)
    lie = snapshot(resolution, {**resolution.values, RARE: 0.5})
    (verdict,) = verify([lie], past(history.events))
    assert not verdict.agrees
    assert verdict.checked.differs == {RARE: (0.5, 0.25)}


def snapshot(resolution: Resolution, values: dict[str, object] | None = None) -> Snapshot:
    return Snapshot(
        UUID(int=1),
        GAME.session_id,
        1,
        dict(resolution.values) if values is None else values,
        START,
        resolution.position,
        resolution.at,
        resolution.reason.value,
        GAME.to_json(),
        [],
    )


def test_a_position_beyond_the_ledger_is_named() -> None:
    history = one(History())
    history.do(Freeze())
    (verdict,) = verify([snapshot(sampled(history))], past(history.events[:2]))
    assert "no position 3" in verdict.checked.problem


def test_an_instant_before_its_prefix_ends_is_named() -> None:
    history = one(History())
    before = sampled(history)._replace(at=START)
    (verdict,) = verify([snapshot(before)], past(history.events))
    assert (verdict.agrees, "before" in verdict.checked.problem) == (False, True)


def test_a_game_that_was_disabled_got_the_defaults() -> None:
    history = one(History())
    history.do(KillLever(LEVERS[1]))
    given = disabled(history.live.catalog, history.live.position, history.now)
    (verdict,) = verify([snapshot(given)], past(history.events))
    assert verdict.agrees


# --- Mixed answers, and sessions that are forgotten ---


def test_the_versions_that_an_answer_mixes_are_kept(connection: psycopg.Connection) -> None:
    mixed = (Source(SESSION, (RARE,), 1, START, 2), Source(SESSION, None, 1, START, 2))
    sample = taken(sampled(one(History())))._replace(mixed=mixed)
    ids = {record_snapshot(connection, each) for each in (sample, sample._replace(mixed=()))}
    assert {row.id: row.sample().mixed for row in snapshots(connection)}.keys() == ids
    assert sample in [row.sample() for row in snapshots(connection)]


def test_a_session_is_forgotten_and_what_comes_late_is_refused(
    connection: psycopg.Connection,
) -> None:
    history = one(History())
    other = GAME._replace(session_id="another")
    for turn in range(3):
        record_snapshot(connection, taken(sampled(history), GAME._replace(turn_id=turn)))
    record_snapshot(connection, taken(sampled(history, other), other))
    assert forget(connection, GAME.session_id) == 3
    record_snapshot(connection, taken(sampled(history)))
    assert [row.session_id for row in snapshots(connection)] == ["another"]
    assert connection.execute("SELECT current_role").fetchone() == ("liveops_writer",)


def test_a_session_that_plays_on_is_sampled_again(connection: psycopg.Connection) -> None:
    forget(connection, GAME.session_id)
    later = time_ns() // 1000 + 60_000_000
    record_snapshot(connection, taken(sampled(one(History())), ts=later))
    assert count_snapshots(connection) == 1


def test_one_sessions_snapshots_are_listed(connection: psycopg.Connection) -> None:
    history = one(History())
    for turn, session in enumerate(["a", "b", "a", "a"]):
        context = GAME._replace(session_id=session, turn_id=turn)
        record_snapshot(connection, taken(sampled(history, context), context))
    assert count_snapshots(connection, "a") == 3
    first, after = list_snapshots(connection, session_id="a", limit=2)
    rest, end = list_snapshots(connection, session_id="a", limit=2, after=after)
    assert sorted(row.turn_id for row in [*first, *rest]) == [0, 2, 3]
    assert end is None
