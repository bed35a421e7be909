"""`GET /metrics`: how the ledger, its views and this process are doing, for Prometheus.

What the database knows is asked at each scrape, so no process has to be told anything; what a
process has served, it counts itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
)
from prometheus_client import generate_latest as written
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from commands.client import BASE
from commands.http.desk import Desk
from ledger.errors import LedgerUnavailable
from projections.checkpoints import SignedHead
from projections.watch import Verification

open_router = APIRouter(tags=["health"])

# When each label was first seen: a series more for every one, which nobody asks for.
disable_created_metrics()

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_MICROSECONDS = 1_000_000


@open_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
    summary="Metrics",
)
def read_metrics(request: Request) -> Response:
    """Read how the ledger and this process are doing, as Prometheus wants it; nobody has to log in.

    The database being away is one of the things it tells.
    """
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


class Metrics:
    """The metrics of one app."""

    def __init__(self, desk: Desk) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "liveops_http_requests",
            "Requests that were answered",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "liveops_http_request_duration_seconds",
            "Time until an answer was sent whole",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_State(desk))

    def text(self) -> bytes:
        """Write all of them."""
        return written(self._registry)

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        named = method if method in _METHODS else "other"
        self._requests.labels(named, route, str(status)).inc()
        self._seconds.labels(named, route).observe(seconds)


class Measured:
    """Counts every request and how long it took, by its route's template: ids are no labels."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            self._metrics.served(scope["method"], _template(scope), status, seconds)


def _template(scope: Scope) -> str:
    """Name the route by its path; FastAPI knows it without what its router is included under."""
    path: str = getattr(scope.get("route"), "path", "none")
    inside = scope["path"].startswith(f"{BASE}/") and path.startswith("/")
    return BASE + path if inside and not path.startswith(BASE) else path


# --- What the database and the caches know ---


class _State(Collector):
    """What is asked at each scrape."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def describe(self) -> list[Metric]:
        """Name nothing in advance: a scrape must not need the database to register."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Ask."""
        yield from self._cache()
        try:
            known = [*self._ledger(), *self._views(), *self._checkpoint(), *self._verification()]
        except LedgerUnavailable:
            known = []
        up = "The database answers; without it most metrics are missing"
        yield GaugeMetricFamily("liveops_database_up", up, float(bool(known)))
        yield from known

    def _cache(self) -> Iterator[Metric]:
        kept = self._desk.questions.prefixes.statistics()
        hits = "Questions about the past that a folded prefix in memory answered"
        yield CounterMetricFamily("liveops_cache_hits", hits, kept.hits)
        misses = "Questions about the past that had to be read from the database"
        yield CounterMetricFamily("liveops_cache_misses", misses, kept.misses)
        entries = "Folded prefixes in memory"
        yield GaugeMetricFamily("liveops_cache_entries", entries, len(kept.positions))

    def _ledger(self) -> Iterator[Metric]:
        with self._desk.ledger.current() as state:
            position, recorded_at = state.live.position, state.live.recorded_at
        yield GaugeMetricFamily("liveops_ledger_position", "The ledger's last event", position)
        yield GaugeMetricFamily(
            "liveops_ledger_age_seconds", "Since the last event was recorded", _age(recorded_at)
        )

    def _views(self) -> Iterator[Metric]:
        head = self._desk.ledger.position()
        position = GaugeMetricFamily(
            "liveops_view_position", "The last event that a view contains", labels=["view"]
        )
        behind = GaugeMetricFamily(
            "liveops_view_behind_events", "Events that a view does not contain yet", labels=["view"]
        )
        for name, standing in sorted((self._desk.views.standings() or {}).items()):
            position.add_metric([name], standing.position)
            behind.add_metric([name], max(head - standing.position, 0))
        yield from (position, behind)

    def _checkpoint(self) -> Iterator[Metric]:
        found: SignedHead | None = self._desk.views.checkpoint()
        if found is not None:
            size = "Events that the newest signed checkpoint is about"
            yield GaugeMetricFamily("liveops_checkpoint_size", size, found.size)
            age = "Since the newest checkpoint was signed"
            yield GaugeMetricFamily("liveops_checkpoint_age_seconds", age, _age(found.signed_at))

    def _verification(self) -> Iterator[Metric]:
        found: Verification | None = self._desk.views.verification()
        if found is None:
            return
        for name, said, value in (
            ("age_seconds", "Since the ledger was last verified", _age(found.checked_at)),
            ("duration_seconds", "Time that the last verification took", found.seconds),
            ("position", "The ledger's last event at the last verification", found.position),
            ("faults", "Places that the last verification named", len(found.faults)),
            ("drift", "1: the last verification found something", float(not found.sound)),
        ):
            yield GaugeMetricFamily(f"liveops_verification_{name}", said, value)
        drift = GaugeMetricFamily(
            "liveops_view_drift", "1: a view is not what the events make", labels=["view"]
        )
        for view in found.views:
            if view["sound"] is not None:
                drift.add_metric([view["name"]], float(not view["sound"]))
        yield drift


def _age(instant: int) -> float:
    return max(time.time() - instant / _MICROSECONDS, 0.0)
