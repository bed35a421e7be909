"""How the ledger and this process stand: status, cache, health."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from commands.http.answers import Answer, Moment, Origin, respond
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.orders import AtDesk, AtLedger
from commands.http.requests import LedgerRoute
from ledger.clock import format_instant
from ledger.live import Live
from ledger.scopes import Scope
from ledger.state import State, Status
from projections.views import Standing
from projections.watch import Verification

router = APIRouter(tags=["the ledger"], route_class=LedgerRoute)
open_router = APIRouter(tags=["health"])


# --- Answers ---


class FrozenPlace(Answer):
    """A freeze in force."""

    scope: Scope
    scope_ref: str
    origin: Origin


class ViewStanding(Answer):
    """How far a view has come."""

    position: int
    recorded_at: Moment | None
    behind: int


class ViewVerdict(Answer):
    """What a verification found of one view."""

    name: str
    position: int
    sound: bool | None = Field(description="null: it was not compared")
    why: str | None = Field(description="the first difference, or why it was not compared")


class FaultFound(Answer):
    """A place that is not as the ledger's events make it."""

    place: str
    what: str


class LastVerification(Answer):
    """What came of folding the ledger from its first event and comparing all that it made."""

    checked_at: Moment
    position: int
    events: int
    checkpoints: int
    seconds: float
    sound: bool
    views: list[ViewVerdict]
    faults: list[FaultFound]


class LedgerStatus(Answer):
    """The state of the ledger and of this process."""

    position: int
    recorded_at: Moment
    freezes: list[FrozenPlace]
    kills: dict[str, Origin]
    shadows: dict[UUID, Origin] = Field(description="by config")
    experiments: dict[str, Origin] = Field(description="those that run")
    configs: dict[Status, int]
    catalog_version: int
    levers: int
    enabled: bool
    frozen_here: bool
    bounds_strict: bool
    views: dict[str, ViewStanding] | None = Field(description="null: they are not there")
    verification: LastVerification | None = Field(description="the last one; null: none yet")


class CacheStatistics(Answer):
    """How the folded prefixes serve; a prefix never changes, so none of them is ever stale."""

    size: int
    limit: int
    ttl_seconds: float = Field(description="one that nobody asks for in this time is forgotten")
    hits: int
    misses: int = Field(description="had to be folded from the ledger; the newest never has to")
    hit_rate: float | None
    oldest_age_seconds: float | None = Field(description="since the oldest of them was folded")
    positions: list[int] = Field(description="where in the ledger they end")


class CacheCleared(Answer):
    """How many prefixes were forgotten."""

    cleared: int


class Health(Answer):
    """The process is alive."""

    status: Literal["ok"]


class Readiness(Answer):
    """What is served: the ledger up to this event, `age_seconds` old."""

    status: Literal["ready"]
    position: int
    recorded_at: Moment
    age_seconds: float


# --- The ledger ---


@router.get("/status", response_model=LedgerStatus, summary="Status")
def read_status(desk: AtLedger) -> Response:
    """Read where the ledger is, what is frozen and killed, and how many configs there are."""
    with desk.ledger.current() as state:
        counts = _counts(desk, state)
        live = state.live.copy()
    views, verified = desk.views.standings(), desk.views.verification()
    answer = LedgerStatus.model_validate(
        {
            "position": live.position,
            "recorded_at": format_instant(live.recorded_at),
            "freezes": _freezes(live),
            "kills": {lever: origin.to_json() for lever, origin in sorted(live.kills.items())},
            "shadows": {
                config_id: shadow.origin.to_json() for config_id, shadow in live.shadows.items()
            },
            "experiments": {
                experiment_id: running.origin.to_json()
                for experiment_id, running in sorted(live.experiments.items())
            },
            "configs": {status: counts[status] for status in Status},
            "catalog_version": live.catalog.version,
            "levers": len(live.catalog.levers),
            "enabled": desk.settings.enabled,
            "frozen_here": desk.ledger.frozen_since is not None,
            "bounds_strict": desk.settings.bounds_strict,
            "views": None if views is None else _views(views, live.position),
            "verification": None if verified is None else _verification(verified),
        }
    )
    return respond(answer, position=live.position)


def _counts(desk: Desk, state: State) -> Counter[Status]:
    return Counter(desk.ledger.status(state, config) for config in state.configs.values())


def _freezes(live: Live) -> list[dict[str, object]]:
    return [
        {"scope": place.scope, "scope_ref": place.ref, "origin": freeze.origin.to_json()}
        for place, freezes in sorted(live.freezes.items())
        for freeze in freezes
        if freeze.end is None
    ]


def _views(views: Mapping[str, Standing], head: int) -> dict[str, object]:
    return {
        name: {
            "position": view.position,
            "recorded_at": view.recorded_at and format_instant(view.recorded_at),
            "behind": max(head - view.position, 0),
        }
        for name, view in sorted(views.items())
    }


def _verification(found: Verification) -> dict[str, object]:
    return {**asdict(found), "checked_at": format_instant(found.checked_at)}


# --- The folded prefixes ---


@router.get("/cache", response_model=CacheStatistics, summary="Cache statistics")
def read_cache(desk: AtDesk) -> Response:
    """Read how the folded prefixes serve, from which questions are answered."""
    kept = desk.questions.prefixes.statistics()
    asked = kept.hits + kept.misses
    answer = CacheStatistics(
        size=len(kept.positions),
        limit=kept.limit,
        ttl_seconds=kept.ttl,
        hits=kept.hits,
        misses=kept.misses,
        hit_rate=kept.hits / asked if asked else None,
        oldest_age_seconds=kept.oldest_age,
        positions=list(kept.positions),
    )
    return respond(answer, position=desk.ledger.position())


@router.delete("/cache", response_model=CacheCleared, summary="Clear the cache")
def clear_cache(desk: AtDesk) -> Response:
    """Forget every folded prefix. They never go stale; this only frees memory."""
    cleared = CacheCleared(cleared=desk.questions.prefixes.clear())
    return respond(cleared, position=desk.ledger.position())


# --- For whoever watches the process ---


@open_router.get("/healthz", response_model=Health, summary="Alive")
async def read_health() -> Health:
    """Tell that the process runs; nothing else is asked."""
    return Health(status="ok")


@open_router.get("/readyz", response_model=Readiness, responses=refusals(503), summary="Ready")
def read_readiness(desk: AtDesk) -> Response:
    """Tell up to which event the ledger is served, and how old it is; 503 without the database."""
    with desk.ledger.current() as state:
        position, recorded_at = state.live.position, state.live.recorded_at
    answer = Readiness(
        status="ready",
        position=position,
        recorded_at=format_instant(recorded_at),
        age_seconds=max(time.time() - recorded_at / 1_000_000, 0.0),
    )
    return respond(answer, position=position)
