"""Lists and standings over HTTP: configs, histories, levers, events, status, cache, health."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from commands.http import events
from ledger.store import LedgerStore
from tests.integration.calling import DROPS, SKILLS, Api, problem, serving

Json = Any


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def names(api: Api, **wanted: Json) -> list[str]:
    return [config["name"] for config in api.get("/configs", **wanted).json()["configs"]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["old drops", "skills", "drops"]),
        ({"scope": "adventure"}, ["skills"]),
        ({"scope_ref": "world.forest_glade"}, ["old drops", "drops"]),
        ({"status": "active"}, ["drops"]),
        ({"status": "archived"}, ["old drops"]),
        ({"lever": "SOFT_LOCK_HINT_FREQUENCY"}, ["skills"]),
        ({"q": "DROP"}, ["old drops", "drops"]),
        ({"q": "drop", "status": "active"}, ["drops"]),
        ({"scope": "session"}, []),
    ],
)
def test_configs_are_listed_by_what_they_are(api: Api, wanted: Json, found: Json) -> None:
    api.activated(DROPS, name="drops")
    api.created(SKILLS, name="skills")
    old = api.created(DROPS, name="old drops")
    api.post(f"/configs/{old}/archive")
    assert names(api, **wanted) == found


def test_pages_hold_every_config_once(api: Api) -> None:
    created = [api.created() for _ in range(7)]
    seen: list[str] = []
    page: Json = {"next": None}
    while page["next"] is not None or not seen:
        cursor = {"cursor": page["next"]} if page["next"] else {}
        page = api.get("/configs", limit=3, **cursor).json()
        assert len(page["configs"]) <= 3
        seen += [config["config_id"] for config in page["configs"]]
    assert seen == created[::-1]


def test_a_page_holds_no_more_than_the_setting_allows(store: LedgerStore, database: str) -> None:
    with serving(store, database, preview_max_docs=2) as api:
        for _ in range(3):
            api.created()
        assert len(api.get("/configs", limit=100).json()["configs"]) == 2


@pytest.mark.parametrize("cursor", ["x", "Y29uZmlnczox=", "Y29uZmlnczotMQ", "YXVkaXQ6MQ", "é", ""])
def test_a_cursor_that_is_none_is_refused(api: Api, cursor: str) -> None:
    problem(api.get("/configs", cursor=cursor), 400, "malformed")


def test_a_config_shows_its_newest_revision_and_what_is_in_force(api: Api) -> None:
    config_id = api.activated(labels={"team": "economy"}, priority=3, reason="the festival")
    changed = {**DROPS, "payload": {"DROP_RATE_RARE_MULTIPLIER": 2.0}}
    api.call("PUT", f"/configs/{config_id}", changed, revision=1)
    answer = api.get(f"/configs/{config_id}")
    config = answer.json()
    assert answer.headers["etag"] == '"2"'
    assert config["payload"] == {"DROP_RATE_RARE_MULTIPLIER": 2.0}
    assert config["activation"]["payload"] == {"DROP_RATE_LEGENDARY_MULTIPLIER": 1.5}
    assert config["activation"]["revision"] == 1
    assert (config["created"]["reason"], config["revised"]["position"]) == ("the festival", 4)


def test_a_history_has_every_revision_activation_and_event(api: Api) -> None:
    config_id = api.activated()
    api.activated(SKILLS)
    api.call("PUT", f"/configs/{config_id}", DROPS, revision=1)
    api.post(f"/configs/{config_id}/archive")
    history = api.get(f"/configs/{config_id}/history").json()
    assert [revision["revision"] for revision in history["revisions"]] == [1, 2]
    assert [activation["rank"] for activation in history["activations"]] == [3]
    kinds = [event["type"] for event in history["events"]]
    assert kinds == ["ConfigCreated", "ConfigActivated", "ConfigRevised", "ConfigArchived"]
    assert [event["position"] for event in history["events"]] == [2, 3, 6, 7]


def test_levers_are_listed_with_their_kills(api: Api) -> None:
    api.post("/levers/MODS_GATE/kill", {"reason": "fire"})
    listed = {lever["name"]: lever for lever in api.get("/levers").json()["levers"]}
    assert len(listed) == 60
    assert listed["MODS_GATE"]["killed"]["reason"] == "fire"
    assert listed["DIALOGUE_GATE"]["killed"] is None
    assert listed["AWF_MAX_INPUT_TOKENS"]["max"] == 12000


# --- Events ---


def test_events_are_the_envelopes_byte_for_byte(api: Api) -> None:
    api.activated(reason="ünïcode / 1.0")
    envelopes = [stored.envelope() for stored in api.ledger.store.stream(after=1)]
    page = api.get("/events", after=1)
    assert page.content.startswith(b'{"events":[%s]' % b",".join(envelopes))
    lines = api.get("/events", after=1, format="ndjson")
    assert lines.content == b"".join(envelope + b"\n" for envelope in envelopes)


def test_events_go_on_behind_the_last_page(api: Api) -> None:
    for _ in range(3):
        api.created()
    page = api.get("/events", limit=3).json()
    assert [event["position"] for event in page["events"]] == [1, 2, 3]
    page = api.get("/events", after=page["next"], limit=3).json()
    assert [event["position"] for event in page["events"]] == [4]
    rest = api.get("/events", after=page["next"]).json()
    assert rest == {"events": [], "next": 4, "head": 4}


def test_a_page_of_large_events_ends_early(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    long: Json = {"reason": "x" * 2000, "labels": {str(n): "y" * 200 for n in range(64)}}
    for _ in range(60):
        api.created(**long)
    monkeypatch.setattr(events, "LARGEST_PAGE", 50_000)
    page = api.get("/events", limit=1000).json()
    assert 0 < len(page["events"]) < 60
    assert page["next"] == page["events"][-1]["position"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/json;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("text/html, application/*;q=0.5", "application/json"),
    ],
)
def test_the_accept_header_chooses(api: Api, accept: str, media_type: str) -> None:
    answer = api.call("GET", "/events", headers={"Accept": accept})
    assert answer.headers["content-type"] == media_type


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=x"])
def test_a_format_that_is_not_there_is_406(api: Api, accept: str) -> None:
    problem(api.call("GET", "/events", headers={"Accept": accept}), 406, "not-acceptable")
    problem(api.get("/events", format="csv"), 406, "not-acceptable")


# --- How it stands ---


def test_status_tells_what_is_frozen_killed_and_live(api: Api) -> None:
    api.activated()
    api.created(SKILLS)
    api.post("/levers/MODS_GATE/kill")
    api.post("/freeze", {"scope": "world", "scope_ref": "w", "reason": "hands off"})
    status = api.get("/status").json()
    assert status["position"] == api.head()
    assert (status["configs"]["active"], status["configs"]["draft"]) == (1, 1)
    assert list(status["kills"]) == ["MODS_GATE"]
    assert [(f["scope_ref"], f["origin"]["reason"]) for f in status["freezes"]] == [
        ("w", "hands off")
    ]


def test_status_tells_how_the_process_is_set(store: LedgerStore, database: str) -> None:
    settings = {"enabled": False, "global_freeze": True, "bounds_strict": False}
    with serving(store, database, **settings) as api:
        status = api.get("/status").json()
    assert status["enabled"] is False
    assert status["frozen_here"] is True
    assert status["bounds_strict"] is False


def test_the_cache_counts_and_can_be_cleared(api: Api) -> None:
    api.activated()
    for position in (1, 1, 3):
        api.get("/resolve/preview", session_id="s", position=position)
    kept = api.get("/cache").json()
    assert (kept["positions"], kept["hits"], kept["misses"]) == ([1, 3], 1, 2)
    assert (kept["size"], kept["ttl_seconds"], kept["hit_rate"]) == (2, 60, 1 / 3)
    assert kept["oldest_age_seconds"] >= 0
    assert api.call("DELETE", "/cache").json() == {"cleared": 2}
    assert api.get("/cache").json()["size"] == 0


def test_the_cache_is_bounded(api: Api) -> None:
    for _ in range(70):
        api.created()
        api.get("/resolve/preview", session_id="s")
    kept = api.get("/cache").json()
    assert kept["size"] == kept["limit"] == 64


def test_what_the_cache_gives_is_what_a_fresh_fold_gives(api: Api) -> None:
    config_id = api.activated()
    api.post(f"/configs/{config_id}/rollout", {"percentage": 5})
    asked = [{"position": position, "session_id": "s"} for position in (4, 2, 3, 1, 4, 2)]
    kept = [api.get("/resolve/preview", **question).content for question in asked]
    api.call("DELETE", "/cache")
    assert [api.get("/resolve/preview", **question).content for question in asked] == kept


def test_health_needs_no_token_and_readiness_tells_the_position(api: Api) -> None:
    api.client.headers.pop("Authorization")
    health, ready = api.client.get("/healthz"), api.client.get("/readyz")
    api.document.check("GET", "/healthz", health)
    api.document.check("GET", "/readyz", ready)
    assert health.json() == {"status": "ok"}
    assert ready.json()["position"] == api.head()
    assert ready.json()["age_seconds"] >= 0


# --- Read your writes ---


@pytest.mark.parametrize("path", ["/configs", "/experiments", "/levers", "/status", "/events"])
def test_a_read_may_demand_a_position(api: Api, path: str) -> None:
    api.created()
    reached = {"Ledger-Min-Position": str(api.head())}
    assert api.call("GET", path, headers=reached).is_success
    beyond = {"Ledger-Min-Position": str(api.head() + 1)}
    problem(api.call("GET", path, headers=beyond), 412, "not-reached")


def test_events_recorded_by_another_process_are_seen(api: Api, database: str) -> None:
    with LedgerStore(database) as other, serving(other, database) as there:
        config_id = there.created()
    answer = api.get(f"/configs/{config_id}")
    assert answer.json()["status"] == "draft"
    assert orjson.loads(answer.content)["config_id"] == config_id
