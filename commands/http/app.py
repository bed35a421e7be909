"""The HTTP API as one app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Security
from fastapi.routing import APIRoute

from commands.client import BASE
from commands.http import (
    audit,
    configs,
    events,
    experiments,
    export,
    freezes,
    history,
    levers,
    manual,
    metrics,
    ofrep,
    problems,
    proof,
    resolve,
    rollback,
    snapshots,
    status,
    validation,
)
from commands.http.auth import BEARER, Authority
from commands.http.desk import Desk
from commands.http.document import DocumentedApp
from commands.http.ofrep_origins import FlagOrigins
from commands.http.views import Views
from commands.ledger import Ledger
from commands.prefixes import Prefixes
from commands.questions import Questions
from commands.settings import Settings

ROUTERS = (
    configs.router,
    experiments.router,
    freezes.router,
    levers.router,
    rollback.router,
    resolve.router,
    resolve.preview_router,
    history.router,
    validation.router,
    audit.router,
    snapshots.router,
    events.router,
    export.router,
    proof.router,
    status.router,
)
_DESCRIPTION = """\
Change a live game's levers, and ask what was, is or is planned to be in force for whom.

Every change is an event in a ledger, at a *position*. Refusals are problem details (RFC 9457); the
types of them, and what the headers mean, are listed in `docs/reference/http.md`.
"""


def create_app(ledger: Ledger, settings: Settings, *, views: Views | None = None) -> FastAPI:
    """Make the app that serves a ledger.

    Needs an admin_token, and a database_url unless it is given the views. The views are closed
    when the app ends; the ledger's store is the caller's.
    """
    app = DocumentedApp(
        title="LiveOps Ledger",
        version=version("liveops-ledger"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        lifespan=_lifespan,
    )
    app.state.desk = _desk(ledger, settings, views)
    problems.install(app)
    manual.install(app)
    for router in ROUTERS:
        app.include_router(router, prefix=BASE, dependencies=[Security(BEARER)])
    app.include_router(ofrep.router)
    app.include_router(status.open_router)
    app.include_router(metrics.open_router)
    if settings.cors_origins:
        app.add_middleware(FlagOrigins, origins=settings.cors_origins)
    app.state.metrics = metrics.Metrics(app.state.desk)
    app.add_middleware(metrics.Measured, metrics=app.state.metrics)
    return app


def _desk(ledger: Ledger, settings: Settings, views: Views | None) -> Desk:
    if settings.admin_token is None or not settings.admin_token.get_secret_value().strip():
        raise ValueError("LIVEOPS_ADMIN_TOKEN is not set: without it nobody could use the API")
    if views is None:
        if settings.database_url is None:
            raise ValueError("LIVEOPS_DATABASE_URL is not set: the views are read there")
        views = Views(settings.database_url.get_secret_value())
    return Desk(
        ledger=ledger,
        questions=Questions(ledger, _prefixes(ledger, settings, views), enabled=settings.enabled),
        settings=settings,
        authority=Authority(settings.admin_token.get_secret_value().strip()),
        views=views,
    )


def _prefixes(ledger: Ledger, settings: Settings, views: Views) -> Prefixes:
    return Prefixes(ledger, views.past, ttl=settings.resolver_cache_ttl_ms / 1000)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    desk: Desk = app.state.desk
    desk.views.close()


def _operation_id(route: APIRoute) -> str:
    return route.name
