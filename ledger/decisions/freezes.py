"""Freezing and lifting, and the refusal of what a freeze does not allow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from ledger.clock import format_instant
from ledger.decisions.decision import Decision
from ledger.errors import Conflict, FrozenPlace, Invalid
from ledger.events import Frozen, Unfrozen
from ledger.intents import Freeze, Terms, Unfreeze
from ledger.live import Freeze as StandingFreeze
from ledger.scopes import EVERYWHERE, Place
from ledger.state import State


def freeze(state: State, intent: Freeze) -> Decision:
    """Freeze a place."""
    standing = _freeze_of(state, intent.place)
    if standing is not None:
        since = format_instant(standing.begin)
        raise Conflict(f"{_named(intent.place)} has been frozen since {since}")
    return Decision((Frozen(intent.place),))


def unfreeze(state: State, intent: Unfreeze) -> Decision:
    """Lift a freeze."""
    if _freeze_of(state, intent.place) is None:
        raise Conflict(f"{_named(intent.place)} is not frozen")
    return Decision((Unfrozen(intent.place),))


def _freeze_of(state: State, place: Place) -> StandingFreeze | None:
    freezes = state.live.freezes.get(place, ())
    return next((freeze for freeze in freezes if freeze.end is None), None)


def refuse_frozen(
    state: State, terms: Terms, places: Iterable[Place], *, break_glass: bool = False
) -> None:
    """Refuse what a freeze of one of the places does not allow; raises FrozenPlace."""
    wanted = list(places)
    if break_glass or not wanted:
        return _reasoned(terms, break_glass=break_glass)
    if terms.frozen_here:
        _refuse_by_environment()
    for place in wanted:
        found = state.live.frozen(place)
        if found is not None:
            _refuse_by_freeze(*found)
    return None


def refuse_frozen_anywhere(state: State, terms: Terms, *, break_glass: bool) -> None:
    """Refuse what any freeze does not allow; raises FrozenPlace."""
    if break_glass:
        return _reasoned(terms, break_glass=break_glass)
    if terms.frozen_here:
        _refuse_by_environment()
    found = state.live.any_freeze()
    if found is not None:
        _refuse_by_freeze(*found)
    return None


def _reasoned(terms: Terms, *, break_glass: bool) -> None:
    if break_glass and not terms.reason.strip():
        raise Invalid.at("/reason", "breaking the glass needs a reason")


def _refuse_by_environment() -> NoReturn:
    raise FrozenPlace(
        "this process was started frozen (LIVEOPS_GLOBAL_FREEZE=true)",
        actor="environment",
        reason="LIVEOPS_GLOBAL_FREEZE=true",
        since="",
        place="global",
    )


def _refuse_by_freeze(place: Place, freeze: StandingFreeze) -> NoReturn:
    origin = freeze.origin
    since = format_instant(freeze.begin)
    raise FrozenPlace(
        f"{_named(place)} has been frozen since {since} by {origin.actor}: "
        f"{origin.reason or 'no reason given'}",
        actor=str(origin.actor),
        reason=origin.reason,
        since=since,
        place=str(place),
    )


def _named(place: Place) -> str:
    return "everything" if place == EVERYWHERE else str(place)
