"""Snapshots are written once, by the projector, and each can be resolved again."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from ledger.intents import Freeze, KillLever
from ledger.live import Live, evolve_live
from ledger.resolve import Resolution, disabled, resolve
from ledger.scopes import Context
from projections import snapshots as module
from projections.catalogue import install
from projections.snapshots import Snapshot, record_snapshot, snapshots, verify
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


def one(history: History) -> History:
    history.config(1, "world", "w1", payload={RARE: 0.25})
    return history


def test_a_sample_is_read_as_it_was_taken(connection: psycopg.Connection) -> None:
    history = one(History())
    context = GAME._replace(attributes={"spent": 1e16, "tier": "gold", "nul": "\0"})
    resolution = sampled(history, context)
    record_snapshot(connection, context, resolution, ts=history.now + 5)
    (snapshot,) = snapshots(connection)
    assert (snapshot.session_id, snapshot.turn_id, snapshot.ts) == ("s1", 1, history.now + 5)
    assert (snapshot.resolved, snapshot.position) == (resolution.values, 2)
    assert Context(**snapshot.context) == context
    assert isinstance(snapshot.context["attributes"]["spent"], float)


def test_the_same_sample_twice_is_one_row(connection: psycopg.Connection) -> None:
    history = one(History())
    ids = {record_snapshot(connection, GAME, sampled(history), ts=ts) for ts in (1, 2)}
    assert [snapshot.id for snapshot in snapshots(connection)] == list(ids)


def test_two_answers_to_one_question_are_both_kept(connection: psycopg.Connection) -> None:
    resolution = sampled(one(History()))
    other = resolution._replace(values={**resolution.values, RARE: 0.5})
    for answer in (resolution, other):
        record_snapshot(connection, GAME, answer, ts=START)
    assert len(list(snapshots(connection))) == 2


@pytest.mark.parametrize("turn", [None, 2**31])
def test_a_sample_without_a_turn_is_refused(
    connection: psycopg.Connection, turn: int | None
) -> None:
    context = GAME._replace(turn_id=turn)
    with pytest.raises(ValueError, match="one turn"):
        record_snapshot(connection, context, sampled(one(History())), ts=START)


def test_the_connection_is_what_it_was_before(connection: psycopg.Connection) -> None:
    record_snapshot(connection, GAME, sampled(one(History())), ts=START)
    assert connection.execute("SELECT current_role").fetchone() == ("liveops_writer",)


def test_pages_come_in_order_of_position(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    resolution = sampled(one(History()))
    for position in (3, 1, 2, 2, 1):
        for ahead in (0, 1):
            answer = resolution._replace(position=position, at=START + ahead)
            record_snapshot(connection, GAME, answer, ts=START)
    assert [snapshot.position for snapshot in snapshots(connection)] == [1, 1, 2, 2, 3, 3]


# --- Resolving again ---


@pytest.mark.parametrize("seed", range(3))
def test_what_was_given_is_what_the_ledger_says(connection: psycopg.Connection, seed: int) -> None:
    events, live = random_history(seed).events, Live()
    for recorded in events:
        evolve_live(live, recorded)
        for ahead in (0, 40 * SECOND):
            answer = resolve(live, GAME, recorded.recorded_at + ahead)
            record_snapshot(connection, GAME, answer, ts=START)
    verdicts = list(verify(snapshots(connection), events))
    assert len(verdicts) == 2 * len(events)
    assert [verdict for verdict in verdicts if not verdict.agrees] == []


def test_what_was_not_given_by_the_ledger_is_named() -> None:
    history = one(History())
    resolution = sampled(history)
    lie = snapshot(resolution, {**resolution.values, RARE: 0.5})
    (verdict,) = verify([lie], history.events)
    assert not verdict.agrees
    assert verdict.differs == {RARE: (0.5, 0.25)}


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
    )


def test_a_position_beyond_the_ledger_is_named() -> None:
    history = one(History())
    history.do(Freeze())
    (verdict,) = verify([snapshot(sampled(history))], history.events[:2])
    assert "no position 3" in verdict.problem


def test_an_instant_before_its_prefix_ends_is_named() -> None:
    history = one(History())
    before = sampled(history)._replace(at=START)
    (verdict,) = verify([snapshot(before)], history.events)
    assert (verdict.agrees, "before" in verdict.problem) == (False, True)


def test_a_game_that_was_disabled_got_the_defaults() -> None:
    history = one(History())
    history.do(KillLever(LEVERS[1]))
    given = disabled(history.live.catalog, history.live.position, history.now)
    (verdict,) = verify([snapshot(given)], history.events)
    assert verdict.agrees
