"""What users were promised first: the usage guide's configs and calls, as it writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from commands.client import BASE
from ledger.store import LedgerStore
from tests.integration.calling import Api, serving

Json = Any

GLOBAL: Json = {
    "name": "Global Token Optimization",
    "scope": "global",
    "scope_ref": "global",
    "payload": {
        "AWF_MAX_INPUT_TOKENS": 5000,
        "AWF_MAX_OUTPUT_TOKENS": 2500,
        "AWF_INPUT_TOKEN_MULTIPLIER": 1.1,
    },
    "valid_from": "2024-01-01T00:00:00Z",
    "valid_to": "2024-12-31T23:59:59Z",
}
WORLD: Json = {
    "name": "Forest Glade Economy Boost",
    "scope": "world",
    "scope_ref": "world.forest_glade",
    "payload": {
        "DROP_RATE_LEGENDARY_MULTIPLIER": 1.5,
        "ECONOMIC_ACTIVITY_MULTIPLIER": 1.2,
        "VENDOR_MARGIN_MIN": 0.05,
    },
}
ADVENTURE: Json = {
    "name": "Tutorial Pacing Adjustment",
    "scope": "adventure",
    "scope_ref": "adventure.tutorial",
    "payload": {
        "QUEST_PACING_TEMPO_MULTIPLIER": 0.8,
        "SOFT_LOCK_HINT_FREQUENCY": 0.2,
        "SKILL_CHECK_SUCCESS_RATE_MULTIPLIER": 1.1,
    },
}
TEST: Json = {
    "name": "Test Configuration",
    "scope": "global",
    "scope_ref": "global",
    "payload": {"AWF_INPUT_TOKEN_MULTIPLIER": 1.2},
}


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


@pytest.mark.parametrize(
    ("config", "status", "warned"),
    [
        (GLOBAL, "expired", []),
        (WORLD, "active", ["ECONOMIC_ACTIVITY_MULTIPLIER"]),
        (ADVENTURE, "active", ["SKILL_CHECK_SUCCESS_RATE_MULTIPLIER"]),
    ],
    ids=["global", "world", "adventure"],
)
def test_the_three_example_configs_activate(
    api: Api, config: Json, status: str, warned: Json
) -> None:
    config_id = api.created(config)
    answer = api.client.post(f"{BASE}/configs/{config_id}/activate", json={"immediate": True})
    assert answer.json()["status"] == status
    assert [violation["lever"] for violation in answer.json()["violations"]] == warned
    assert {violation["severity"] for violation in answer.json()["violations"]} <= {"warning"}


def test_the_calls_of_the_guide_one_after_the_other(api: Api) -> None:
    created = api.client.post("/api/awf-liveops/configs", json=TEST)
    assert created.status_code == 201
    path = f"/api/awf-liveops/configs/{created.json()['config_id']}/activate"
    assert api.client.post(path, json={"immediate": True}).json()["status"] == "active"
    preview = api.client.get(
        "/api/awf-liveops/resolve/preview?session_id=test&world_id=world.forest_glade"
    )
    assert preview.json()["values"]["AWF_INPUT_TOKEN_MULTIPLIER"] == 1.2


def test_later_scopes_win_and_the_past_year_is_what_it_was(api: Api) -> None:
    for config in (GLOBAL, WORLD, ADVENTURE):
        api.post(f"/configs/{api.created(config)}/activate", {"immediate": True, "valid_to": None})
    context = {
        "session_id": "test",
        "world_id": "world.forest_glade",
        "adventure_id": "adventure.tutorial",
    }
    values = api.post("/resolve", {"context": context}).json()["values"]
    for config in (GLOBAL, WORLD, ADVENTURE):
        assert values.items() >= config["payload"].items()
    before = api.post("/resolve", {"context": context, "position": 1}).json()["values"]
    assert before["AWF_MAX_INPUT_TOKENS"] == 4000
