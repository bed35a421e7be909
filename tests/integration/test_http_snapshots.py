"""Snapshots over HTTP and on the command line: listed, verified, forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest

from commands.http import snapshots as routes
from commands.http.snapshots import COUNT_HEADER
from ledger.clock import parse_instant
from ledger.samples import STALE, Sample, Source
from ledger.scopes import Context
from ledger.store import LedgerStore
from projections.catalogue import install
from projections.snapshots import record_snapshot
from tests.integration.calling import Api, problem, serving
from tests.integration.terminal import Terminal, terminal
from tests.unit.test_session import catalog

Json = Any
GLADE = "world.forest_glade"
RARE = "DROP_RATE_RARE_MULTIPLIER"


def sample(api: Api, session: str, turn: int) -> Sample:
    context = Context(session, turn, world_id=GLADE)
    answer = api.post("/resolve", {"context": context.to_json()}).json()
    at = parse_instant(answer["at"])
    return Sample(context, answer["values"], answer["position"], at, answer["reason"], at)


def record(database: str, *taken: Sample) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for each in taken:
            record_snapshot(connection, each)


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    """A ledger whose views are behind, and six samples of two sessions."""
    install(database)
    with serving(store, database) as served:
        for turn in range(3):
            served.activated(scope="session", scope_ref="b", payload={RARE: 0.5 + turn / 10})
            record(database, sample(served, "a", turn), sample(served, "b", turn))
        yield served


def verdicts(api: Api, **wanted: Json) -> list[Json]:
    answer = api.get("/snapshots/verdicts", **wanted)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = answer.content.splitlines()
    assert int(answer.headers[COUNT_HEADER]) == len(lines)
    return [orjson.loads(line) for line in lines]


@pytest.mark.parametrize("limit", [1, 4, 50])
def test_pages_hold_every_snapshot_once(api: Api, limit: int) -> None:
    seen: list[str] = []
    wanted: Json = {}
    while True:
        page = api.get("/snapshots", limit=limit, **wanted).json()
        seen += [row["id"] for row in page["snapshots"]]
        assert page["count"] == 6
        if page["next"] is None:
            break
        wanted = {"cursor": page["next"]}
    assert len(seen) == len(set(seen)) == 6


def test_one_sessions_snapshots_are_listed(api: Api) -> None:
    rows = api.get("/snapshots", session_id="b").json()["snapshots"]
    assert [(row["turn_id"], row["resolved"][RARE]) for row in rows] == [
        (0, 0.5),
        (1, 0.6),
        (2, 0.7),
    ]


@pytest.mark.parametrize("page", [2, 200])
def test_every_sample_agrees(api: Api, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(routes, "CHECKED_PAGE", page)
    told = verdicts(api)
    assert len(told) == 6
    assert all(verdict["agrees"] and not verdict["unverified"] for verdict in told)
    assert len(verdicts(api, session_id="a")) == 3


def test_one_that_differs_is_named_with_both_values(api: Api, database: str) -> None:
    honest = sample(api, "b", 7)
    record(database, honest._replace(values={**honest.values, RARE: 9.0}))
    (lie,) = (verdict for verdict in verdicts(api) if not verdict["agrees"])
    assert (lie["session_id"], lie["turn_id"]) == ("b", 7)
    assert lie["differs"] == {RARE: {"sampled": 9.0, "resolved": 0.7}}


def test_what_only_the_game_can_know_is_said(api: Api, database: str) -> None:
    api.ledger.adopt(catalog(**{RARE: {"when_stale": {"do": "default", "after": "60s"}}}))
    honest = sample(api, "a", 9)
    stale = Source(STALE, (RARE,), honest.position, honest.at, honest.position)
    record(database, honest._replace(mixed=(stale,)), honest._replace(position=99))
    last = [verdict for verdict in verdicts(api) if verdict["turn_id"] == 9]
    assert list(last[0]["unverified"]) == [RARE]
    assert last[1]["problem"] == "the ledger has no position 99"


def test_a_session_is_forgotten(api: Api, database: str) -> None:
    again = sample(api, "b", 2)
    assert api.call("DELETE", "/snapshots", params={"session_id": "b"}).json() == {"forgotten": 3}
    record(database, again)
    assert api.get("/snapshots").json()["count"] == 3


@pytest.mark.parametrize("cursor", ["x", "YXVkaXQ6MQ", "c25hcHNob3RzOjE6eA"])
def test_a_cursor_that_is_none_is_refused(api: Api, cursor: str) -> None:
    problem(api.get("/snapshots", cursor=cursor), 400, "malformed")


def test_forgetting_everybody_by_mistake_is_refused(api: Api) -> None:
    problem(api.call("DELETE", "/snapshots"), 422, "invalid")


# --- On the command line ---


@pytest.fixture
def window(api: Api, store: LedgerStore, database: str) -> Iterator[Terminal]:
    with terminal(store, database) as opened:
        yield opened


def test_verify_says_that_all_agree(window: Terminal) -> None:
    said = window.said("snapshots", "verify")
    assert "6 samples resolved again, 6 agree with the ledger" in said
    assert window.answer("snapshots", "verify", "--session", "a")["agree"] == 3


def test_verify_names_what_differs_and_exits_with_1(
    window: Terminal, api: Api, database: str
) -> None:
    honest = sample(api, "b", 7)
    record(database, honest._replace(values={**honest.values, RARE: 9.0}))
    done = window.run("snapshots", "verify", columns=160)
    assert done.exit_code == 1
    assert "1 DIFFER" in done.stdout
    assert f"{RARE}: the game had 9.0, the ledger says 0.7" in done.stdout


def test_list_and_forget(window: Terminal) -> None:
    assert window.said("snapshots", "list", "--limit", "2").count("--cursor") == 1
    assert "3 samples" in window.said("snapshots", "forget", "--session", "a")
    assert window.answer("snapshots", "list")["count"] == 3
