"""Going back: a scope and ref, or everything, as it was at an earlier point of the ledger."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import APIRouter, Response
from pydantic import Field

from commands.http.answers import Answer, Moment, respond
from commands.http.answers import Change as ToldChange
from commands.http.configs import pinned_view
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.experiment_answers import ExperimentChange, content_of
from commands.http.orders import AtDesk, Caller
from commands.http.problems import naming
from commands.http.requests import LedgerRoute
from commands.ledger import Outcome
from commands.models import RollBackBody
from ledger.clock import Instant, format_instant
from ledger.decide import Change, Turn, plan_experiments, plan_rollback
from ledger.errors import FutureInstant, NotFound
from ledger.events import (
    ConfigEvent,
    ConfigRolledBack,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Recorded,
)
from ledger.experiments import Experiment
from ledger.intents import RollBack
from ledger.live import Activation, Live, Origin
from ledger.scopes import Place
from ledger.state import State

Json = Any

router = APIRouter(tags=["rollback"], route_class=LedgerRoute)


class RollbackOutcome(Answer):
    """What a rollback changed, or would change."""

    plan: bool
    target: int = Field(description="the position gone back to")
    position: int
    recorded_at: Moment
    changes: list[ToldChange]
    experiments: list[ExperimentChange]


class _Planned(NamedTuple):
    """What a rollback changes, decided on the state at a position."""

    changes: tuple[Change, ...]
    turns: tuple[Turn, ...]
    position: int
    recorded_at: Instant

    @classmethod
    def of(cls, state: State, target: Live, place: Place | None) -> _Planned:
        """Plan a rollback; raises Conflict."""
        return cls(
            plan_rollback(state, target, place),
            plan_experiments(state, target, place),
            state.live.position,
            state.live.recorded_at,
        )


@router.post(
    "/rollback",
    response_model=RollbackOutcome,
    responses=refusals(404, 409, 422, 423),
    summary="Roll back",
)
def roll_back(caller: Caller, desk: AtDesk, body: RollBackBody) -> Response:
    """Make what is in force equal to what was at a position or instant, or plan to.

    Experiments run again as they did then; one is rolled back with everything, or with the place
    of its own id. Freezes, kills and shadows are left as they are. Where nothing differs, nothing
    is recorded.
    """
    body.refuse_unless_one_point()
    place = body.place()
    with naming("body", {FutureInstant: "/timestamp", NotFound: "/position"}):
        target = _target(desk, body)
    if body.plan:
        with desk.ledger.current() as state:
            return _answer(body, target, _Planned.of(state, target, place))
    attempts: list[_Planned] = []

    def plan(state: State) -> RollBack:
        attempts.append(_Planned.of(state, target, place))
        return RollBack(target, place, body.break_glass)

    outcome = caller.execute(plan, body.reason)
    if outcome.events:
        planned = _carried_out(desk, outcome) if outcome.repeated else attempts[-1]
        last = outcome.events[-1]
        done = planned._replace(position=last.position, recorded_at=last.recorded_at)
        return _answer(body, target, done)
    return _answer(body, target, attempts[-1])


def _target(desk: Desk, body: RollBackBody) -> Live:
    position = body.position
    if position is None:
        assert body.timestamp is not None  # noqa: S101 - one of the two is named
        position = desk.ledger.store.close_instant(body.timestamp).position
    return desk.questions.prefixes.whole(position)


def _carried_out(desk: Desk, outcome: Outcome) -> _Planned:
    """Tell again what an earlier rollback changed, from the ledger alone."""
    before = desk.ledger.state_at(outcome.events[0].position - 1)
    of_configs = [r for r in outcome.events if isinstance(r.event, ConfigEvent)]
    return _Planned(
        tuple(_change(before, recorded) for recorded in of_configs),
        _turns(before, outcome),
        before.live.position,
        before.live.recorded_at,
    )


def _change(before: State, recorded: Recorded) -> Change:
    event = recorded.event
    assert isinstance(event, ConfigEvent)  # noqa: S101 - those of experiments are told apart
    config, then = before.config(event.config_id), None
    if isinstance(event, ConfigRolledBack):
        then = Activation(event.config_id, event.pinned, Origin.of(recorded))
    return Change(config, before.activation(config), then)


def _turns(before: State, outcome: Outcome) -> tuple[Turn, ...]:
    then: dict[str, Experiment | None] = {}
    for event in (recorded.event for recorded in outcome.events):
        if isinstance(event, ExperimentStopped):
            then[event.experiment_id] = None
        elif isinstance(event, ExperimentStarted | ExperimentChanged):
            then[event.experiment.experiment_id] = event.experiment
    return tuple(Turn(name, _running(before, name), then[name]) for name in sorted(then))


def _running(before: State, experiment_id: str) -> Experiment | None:
    running = before.live.experiments.get(experiment_id)
    return None if running is None else running.experiment


def _answer(body: RollBackBody, target: Live, planned: _Planned) -> Response:
    answer = RollbackOutcome.model_validate(
        {
            "plan": body.plan,
            "target": target.position,
            "position": planned.position,
            "recorded_at": format_instant(planned.recorded_at),
            "changes": [_told(change) for change in planned.changes],
            "experiments": [_told_turn(turn) for turn in planned.turns],
        }
    )
    return respond(answer, position=planned.position)


def _told(change: Change) -> dict[str, Json]:
    sides = [side for side in (change.now, change.then) if side is not None]
    return {
        "action": _action(change),
        "config_id": change.config.config_id,
        "name": sides[-1].pinned.name,
        "scope": change.config.place.scope,
        "scope_ref": change.config.place.ref,
        "levers": sorted({lever for side in sides for lever in side.pinned.payload}),
        "now": None if change.now is None else pinned_view(change.now),
        "then": None if change.then is None else pinned_view(change.then),
    }


def _action(change: Change) -> str:
    if change.then is None:
        return "deactivate"
    return "activate" if change.now is None else "replace"


def _told_turn(turn: Turn) -> dict[str, Json]:
    return {
        "experiment_id": turn.experiment_id,
        "action": _turn(turn),
        "now": None if turn.now is None else content_of(turn.now),
        "then": None if turn.then is None else content_of(turn.then),
    }


def _turn(turn: Turn) -> str:
    if turn.now is None or turn.then is None:
        return "start" if turn.now is None else "stop"
    same = turn.now._replace(percentage=turn.then.percentage, ranges=turn.then.ranges)
    return "change" if same == turn.then else "restart"
