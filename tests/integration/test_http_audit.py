"""The audit trail over HTTP: filters, pages, formats, and reading one's own writes."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
import pytest

from commands.http import audit
from commands.identity import ADMINISTRATOR, SYSTEM
from ledger.store import LedgerStore
from projections.catalogue import VIEWS, install
from projections.runner import run
from tests.integration.calling import DROPS, SKILLS, Api, problem, serving

Json = Any


@contextmanager
def projecting(database: str) -> Iterator[None]:
    """Keep the views up with the ledger."""
    install(database)
    stop = threading.Event()
    runner = threading.Thread(target=run, args=(database, VIEWS, stop))
    runner.start()
    try:
        yield
    finally:
        stop.set()
        runner.join()


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with projecting(database), serving(store, database) as served:
        yield served


def entries(api: Api, **wanted: Json) -> list[Json]:
    answer = api.call("GET", "/audit", params=wanted, headers=caught_up(api))
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


def caught_up(api: Api) -> dict[str, str]:
    return {"Ledger-Min-Position": str(api.head())}


def test_the_trail_tells_who_did_what_and_why(api: Api) -> None:
    config_id = api.activated(reason="the festival")
    activated, created, adopted = entries(api)
    assert [created["action"], activated["action"]] == ["create", "activate"]
    assert created["reason"] == "the festival"
    assert created["config_id"] == activated["config_id"] == config_id
    assert (created["actor"], adopted["actor"]) == (str(ADMINISTRATOR), str(SYSTEM))


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        ({"actor": str(SYSTEM)}, [1]),
        ({"action": "create"}, [4, 2]),
        ({"action": "create, activate"}, [4, 3, 2]),
        ({"correlation_id": str(UUID(int=5))}, []),
        ({"lever": "SOFT_LOCK_HINT_FREQUENCY", "action": "create"}, [4]),
        ({"scope": "world"}, [3, 2]),
        ({"scope_ref": "adventure.tutorial"}, [4]),
        ({"until": "2001-01-01T00:00:00Z"}, []),
        ({"since": "2001-01-01T00:00:00Z", "oldest_first": "true"}, [1, 2, 3, 4]),
        ({"limit": 2}, [4, 3]),
    ],
)
def test_the_trail_is_filtered(api: Api, wanted: Json, positions: Json) -> None:
    api.activated(DROPS)
    api.created(SKILLS)
    assert [entry["position"] for entry in entries(api, **wanted)] == positions


def test_pages_hold_every_entry_once(api: Api) -> None:
    for _ in range(4):
        api.created()
    entries(api)
    seen: list[int] = []
    following: Json = None
    while not seen or following:
        cursor: Json = {"cursor": following} if following else {}
        page = api.get("/audit", limit=2, **cursor).json()
        seen += [entry["position"] for entry in page["entries"]]
        following = page["next"]
    assert seen == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("limit", [None, 3])
def test_ndjson_streams_every_page(
    api: Api, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr(audit, "STREAMED_PAGE", 2)
    for _ in range(4):
        api.created()
    listed = entries(api)[:limit]
    wanted = {"limit": limit} if limit else {}
    lines = api.call("GET", "/audit", params=wanted, headers={"Accept": "application/x-ndjson"})
    assert [orjson.loads(line) for line in lines.content.splitlines()] == listed


def test_csv_has_a_row_for_each_entry(api: Api) -> None:
    api.created(reason='say "hi",\nwith a break')
    listed = entries(api)
    answer = api.get("/audit", format="csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["reason"] for row in rows] == [entry["reason"] for entry in listed]
    assert orjson.loads(rows[0]["diff"]) == listed[0]["diff"]


@pytest.mark.parametrize("reason", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_csv_holds_no_formula(api: Api, reason: str) -> None:
    api.created(reason=reason)
    entries(api)
    rows = list(csv.DictReader(io.StringIO(api.get("/audit", format="csv").text)))
    assert rows[0]["reason"] == f"'{reason}"


def test_the_position_is_that_of_the_view(api: Api) -> None:
    api.created()
    answer = api.call("GET", "/audit", headers=caught_up(api))
    assert int(answer.headers["ledger-position"]) >= len(answer.json()["entries"]) == api.head()


def test_a_position_that_the_ledger_has_not_is_412(api: Api) -> None:
    beyond = {"Ledger-Min-Position": str(api.head() + 1)}
    problem(api.call("GET", "/audit", headers=beyond), 412, "not-reached")


def test_a_view_that_stays_behind_is_503(
    store: LedgerStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PATIENCE_SECONDS", 0.2)
    install(database)
    with serving(store, database) as api:
        answer = api.call("GET", "/audit", headers=caught_up(api))
    problem(answer, 503, "behind")
    assert answer.headers["retry-after"] == "1"


def test_without_the_views_the_trail_is_away(store: LedgerStore, database: str) -> None:
    with serving(store, database) as api:
        problem(api.get("/audit"), 503, "unavailable")
        assert api.get("/status").json()["views"] is None


def test_status_tells_how_far_the_views_are(api: Api) -> None:
    entries(api)
    views = api.get("/status").json()["views"]
    assert views["liveops_audit"] == {
        "position": 1,
        "recorded_at": api.get("/status").json()["recorded_at"],
        "behind": 0,
    }


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"action": "destroy"}, "/action"),
        ({"action": "create,destroy"}, "/action"),
        ({"actor": "me"}, "/actor"),
        ({"config_id": "1"}, "/config_id"),
        ({"since": "yesterday"}, "/since"),
        ({"scope": "planet"}, "/scope"),
        ({"limit": "0"}, "/limit"),
        ({"until": "9999-12-31T23:59:59-14:00"}, "/until"),
        ({"format": "xml"}, "/format"),
    ],
)
def test_a_filter_that_is_wrong_is_named(api: Api, wanted: Json, pointer: str) -> None:
    told = problem(api.get("/audit", **wanted), 422, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]
