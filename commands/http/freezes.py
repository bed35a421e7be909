"""Freezes: nothing that would change what resolves in a place is accepted until it is unfrozen."""

from __future__ import annotations

from fastapi import APIRouter, Response

from commands.http.answers import FreezeOutcome, respond
from commands.http.document import refusals
from commands.http.orders import Caller
from commands.http.requests import LedgerRoute
from commands.ledger import Outcome
from commands.models import FreezeBody
from ledger.clock import format_instant
from ledger.events import Frozen, Unfrozen
from ledger.intents import Freeze, Unfreeze

router = APIRouter(tags=["freezes and kills"], route_class=LedgerRoute)

EVERYTHING = FreezeBody()


@router.post("/freeze", response_model=FreezeOutcome, responses=refusals(409, 422))
def freeze(caller: Caller, body: FreezeBody = EVERYTHING) -> Response:
    """Freeze everything, or one scope and ref."""
    intent = Freeze(body.place())
    return _carried_out(caller.execute(lambda _: intent, body.reason))


@router.post("/unfreeze", response_model=FreezeOutcome, responses=refusals(409, 422))
def unfreeze(caller: Caller, body: FreezeBody = EVERYTHING) -> Response:
    """Lift a freeze."""
    intent = Unfreeze(body.place())
    return _carried_out(caller.execute(lambda _: intent, body.reason))


def _carried_out(outcome: Outcome) -> Response:
    recorded = outcome.events[-1]
    event = recorded.event
    assert isinstance(event, Frozen | Unfrozen)  # noqa: S101 - what both commands lead to
    answer = FreezeOutcome(
        scope=event.place.scope,
        scope_ref=event.place.ref,
        frozen=isinstance(event, Frozen),
        position=recorded.position,
        recorded_at=format_instant(recorded.recorded_at),
    )
    return respond(answer, position=recorded.position)
