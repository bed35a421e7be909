"""Levers: the catalog in force, and the kill switch of each."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from commands.http.answers import LeverList, LeverOutcome, respond
from commands.http.document import refusals
from commands.http.orders import AtLedger, Caller
from commands.http.requests import LedgerRoute
from commands.ledger import Outcome
from commands.models import BreakableBody
from ledger.clock import format_instant
from ledger.events import LeverKilled, LeverRestored
from ledger.intents import KillLever, RestoreLever
from ledger.live import Live

router = APIRouter(prefix="/levers", tags=["freezes and kills"], route_class=LedgerRoute)

NO_REASON = BreakableBody()

LeverName = Annotated[str, Path(max_length=200, examples=["DIALOGUE_GATE"])]


@router.get("", response_model=LeverList, summary="List levers")
def list_levers(desk: AtLedger) -> Response:
    """List the levers of the catalog in force, and which of them are killed."""
    with desk.ledger.current() as state:
        return respond(_levers(state.live), position=state.live.position)


def _levers(live: Live) -> LeverList:
    kills = {name: origin.to_json() for name, origin in live.kills.items()}
    return LeverList.model_validate(
        {
            "catalog_version": live.catalog.version,
            "levers": [
                {**lever.to_json(), "killed": kills.get(name)}
                for name, lever in live.catalog.levers.items()
            ],
            "rules": [rule.to_json() for rule in live.catalog.rules],
            "attributes": live.catalog.attributes,
        }
    )


@router.post(
    "/{name}/kill",
    response_model=LeverOutcome,
    responses=refusals(404, 409, 423),
    summary="Kill a lever",
)
def kill_lever(name: LeverName, caller: Caller, body: BreakableBody = NO_REASON) -> Response:
    """Let a lever resolve to its default, a gate to `off`, everywhere and at once."""
    intent = KillLever(name, body.break_glass)
    return _carried_out(caller.execute(lambda _: intent, body.reason))


@router.post(
    "/{name}/restore",
    response_model=LeverOutcome,
    responses=refusals(404, 409, 423),
    summary="Restore a lever",
)
def restore_lever(name: LeverName, caller: Caller, body: BreakableBody = NO_REASON) -> Response:
    """Let a killed lever resolve by its configs again."""
    intent = RestoreLever(name, body.break_glass)
    return _carried_out(caller.execute(lambda _: intent, body.reason))


def _carried_out(outcome: Outcome) -> Response:
    recorded = outcome.events[-1]
    event = recorded.event
    assert isinstance(event, LeverKilled | LeverRestored)  # noqa: S101 - what both lead to
    answer = LeverOutcome(
        lever=event.lever,
        killed=isinstance(event, LeverKilled),
        position=recorded.position,
        recorded_at=format_instant(recorded.recorded_at),
    )
    return respond(answer, position=recorded.position)
