"""Killing and restoring levers, and adopting the catalog that says which there are."""

from __future__ import annotations

from ledger.decisions.decision import Decision
from ledger.decisions.freezes import refuse_frozen_anywhere
from ledger.errors import Conflict, NotFound
from ledger.events import (
    CATALOG_STREAM,
    FREEZES_STREAM,
    CatalogAdopted,
    LeverKilled,
    LeverRestored,
)
from ledger.intents import AdoptCatalog, KillLever, RestoreLever, Terms
from ledger.state import State


def kill(state: State, intent: KillLever, terms: Terms) -> Decision:
    """Kill a lever."""
    _known_lever(state, intent.lever)
    if intent.lever in state.live.kills:
        raise Conflict(f"{intent.lever} is killed already")
    refuse_frozen_anywhere(state, terms, break_glass=intent.break_glass)
    event = LeverKilled(intent.lever, intent.break_glass)
    return Decision((event,), frozenset({FREEZES_STREAM, CATALOG_STREAM}))


def restore(state: State, intent: RestoreLever, terms: Terms) -> Decision:
    """Restore a killed lever."""
    if intent.lever not in state.live.kills:
        _known_lever(state, intent.lever)
        raise Conflict(f"{intent.lever} is not killed")
    refuse_frozen_anywhere(state, terms, break_glass=intent.break_glass)
    event = LeverRestored(intent.lever, intent.break_glass)
    return Decision((event,), frozenset({FREEZES_STREAM}))


def _known_lever(state: State, lever: str) -> None:
    if lever not in state.live.catalog.levers:
        raise NotFound(f"the catalog has no lever {lever}")


def adopt(state: State, intent: AdoptCatalog) -> Decision:
    """Put a catalog in force."""
    if state.live.catalog_origin and state.live.catalog == intent.catalog:
        raise Conflict("this catalog is in force already")
    return Decision((CatalogAdopted(intent.catalog),))
