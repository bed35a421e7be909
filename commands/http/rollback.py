"""Going back: a scope and ref, or everything, as it was at an earlier point of the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Response

from commands.http.answers import RollbackOutcome, respond
from commands.http.configs import pinned_view
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.orders import AtDesk, Caller
from commands.http.problems import naming
from commands.http.requests import LedgerRoute
from commands.ledger import Outcome
from commands.models import RollBackBody
from ledger.clock import Instant, format_instant
from ledger.decide import Change, plan_rollback
from ledger.errors import FutureInstant, NotFound
from ledger.events import ConfigEvent, ConfigRolledBack, Recorded
from ledger.intents import RollBack
from ledger.live import Activation, Live, Origin
from ledger.state import State

Json = Any

router = APIRouter(tags=["rollback"], route_class=LedgerRoute)


@router.post(
    "/rollback",
    response_model=RollbackOutcome,
    responses=refusals(404, 422, 423),
    summary="Roll back",
)
def roll_back(caller: Caller, desk: AtDesk, body: RollBackBody) -> Response:
    """Make what is in force equal to what was at a position or instant, or plan to.

    Freezes and kills are left as they are. Where nothing differs, nothing is recorded.
    """
    body.refuse_unless_one_point()
    place = body.place()
    with naming("body", {FutureInstant: "/timestamp", NotFound: "/position"}):
        target = _target(desk, body)
    if body.plan:
        with desk.ledger.current() as state:
            changes = plan_rollback(state, target, place)
            position, recorded_at = state.live.position, state.live.recorded_at
        return _answer(body, target, changes, (position, recorded_at))
    planned = _Planned()

    def plan(state: State) -> RollBack:
        planned.changes = plan_rollback(state, target, place)
        planned.recorded_at = state.live.recorded_at
        return RollBack(target, place, body.break_glass)

    outcome = caller.execute(plan, body.reason)
    if outcome.events:
        planned.recorded_at = outcome.events[-1].recorded_at
    if outcome.repeated:
        planned.changes = _carried_out(desk, outcome)
    return _answer(body, target, planned.changes, (outcome.position, planned.recorded_at))


class _Planned:
    """What the last attempt was decided on."""

    changes: tuple[Change, ...] = ()
    recorded_at: Instant = 0


def _target(desk: Desk, body: RollBackBody) -> Live:
    position = body.position
    if position is None:
        assert body.timestamp is not None  # noqa: S101 - one of the two is named
        position = desk.ledger.store.close_instant(body.timestamp).position
    return desk.questions.prefixes.at(position)


def _carried_out(desk: Desk, outcome: Outcome) -> tuple[Change, ...]:
    """Tell again what an earlier rollback changed, from the ledger alone."""
    before = desk.ledger.state_at(outcome.events[0].position - 1)
    return tuple(_change(before, recorded) for recorded in outcome.events)


def _change(before: State, recorded: Recorded) -> Change:
    event = recorded.event
    assert isinstance(event, ConfigEvent)  # noqa: S101 - a rollback is made of these alone
    config, then = before.config(event.config_id), None
    if isinstance(event, ConfigRolledBack):
        then = Activation(event.config_id, event.pinned, Origin.of(recorded))
    return Change(config, before.activation(config), then)


def _answer(
    body: RollBackBody, target: Live, changes: Iterable[Change], at: tuple[int, Instant]
) -> Response:
    position, recorded_at = at
    answer = RollbackOutcome.model_validate(
        {
            "plan": body.plan,
            "target": target.position,
            "position": position,
            "recorded_at": format_instant(recorded_at),
            "changes": [_told(change) for change in changes],
        }
    )
    return respond(answer, position=position)


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
