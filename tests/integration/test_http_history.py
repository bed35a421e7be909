"""History, blame and differences over HTTP, with and without the views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.store import LedgerStore
from tests.integration.calling import DROPS, Api, problem, serving
from tests.integration.projecting import wait_until_up_to_date
from tests.integration.test_http_audit import projecting

Json = Any
LEVER = "DROP_RATE_LEGENDARY_MULTIPLIER"
WHO = {"session_id": "s", "world_id": "world.forest_glade"}


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


@pytest.fixture(params=["from the view", "from the log"])
def either(request: pytest.FixtureRequest, store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        if request.param == "from the view":
            with projecting(database):
                yield served
        else:
            yield served


def history(api: Api, **query: Json) -> Json:
    answer = api.get(f"/history/{LEVER}", **WHO, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def played(api: Api) -> str:
    """Activate at 2, 3; kill and restore at 4, 5; deactivate at 6; a window that is to come."""
    config_id = api.activated(reason="the festival")
    api.post(f"/levers/{LEVER}/kill", {"reason": "too many swords"})
    api.post(f"/levers/{LEVER}/restore")
    api.post(f"/configs/{config_id}/deactivate", {"reason": "it is over"})
    content = {**DROPS, "payload": {LEVER: 2.0}, "valid_from": "2099-01-01T00:00:00Z"}
    api.activated(content, name="next century")
    return config_id


def test_a_history_names_every_cause(either: Api) -> None:
    config_id = played(either)
    told = history(either)
    assert [change["cause"]["kind"] for change in told["changes"]] == [
        *("activate", "kill", "restore", "deactivate"),
    ]
    assert [change["after"] for change in told["changes"]] == [1.5, 1, 1.5, 1]
    activated, killed, _, ended = (change["cause"] for change in told["changes"])
    assert (activated["position"], activated["config_id"]) == (3, config_id)
    assert (killed["reason"], killed["lever"]) == ("too many swords", LEVER)
    assert (ended["config"], ended["reason"]) == ("Drops", "it is over")
    assert (told["value"], told["exact"], told["next"]) == (1, True, None)


def test_what_is_planned_is_history_to_come(api: Api) -> None:
    played(api)
    (change,) = history(api, **{"from": "2098-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"})[
        "changes"
    ]
    assert (change["at"], change["after"]) == ("2099-01-01T00:00:00.000000Z", 2)
    assert change["cause"]["kind"] == "window_open"
    assert change["source"]["config"] == "next century"


def test_each_change_is_what_a_question_as_of_then_says(api: Api) -> None:
    played(api)
    for change in history(api)["changes"]:
        asked = api.get("/resolve/preview", **WHO, as_of=change["at"]).json()
        assert asked["values"][LEVER] == change["after"]


def test_pages_of_a_history_are_the_whole(api: Api) -> None:
    played(api)
    whole, seen, page = history(api)["changes"], [], history(api, limit=1)
    seen += page["changes"]
    while page["next"]:
        page = history(api, limit=1, cursor=page["next"])
        assert page["value"] == seen[-1]["after"]
        seen += page["changes"]
    assert seen == whole


def test_a_view_that_is_behind_is_completed_from_the_log(store: LedgerStore, database: str) -> None:
    with serving(store, database) as api:
        with projecting(database):
            config_id = api.activated()
            wait_until_up_to_date(database)
        api.post(f"/configs/{config_id}/deactivate")
        assert [change["cause"]["position"] for change in history(api)["changes"]] == [3, 4]


def test_refusals(api: Api) -> None:
    problem(api.get("/history/NO_SUCH_LEVER", **WHO), 404, "not-found")
    problem(api.get(f"/history/{LEVER}"), 422, "invalid")
    problem(api.get(f"/history/{LEVER}", **WHO, cursor="x"), 400, "malformed")
    problem(api.get(f"/history/{LEVER}", session_id="s", variation="b"), 422, "invalid")
    problem(api.get("/blame", **WHO, position=99), 404, "not-found")


def test_blame_names_who_set_and_who_wrote_each_value(either: Api) -> None:
    config_id = either.activated(reason="drafted")
    either.call("PUT", f"/configs/{config_id}", {**DROPS, "payload": {LEVER: 3.0}}, revision=1)
    told = either.get("/blame", **WHO).json()["levers"][LEVER]
    assert (told["value"], told["config"], told["revision"]) == (1.5, "Drops", 1)
    assert (told["written"]["position"], told["written"]["reason"]) == (2, "drafted")
    assert (told["position"], told["in_force_since"]) == (3, told["recorded_at"])


def test_a_window_is_in_force_since_it_opened(api: Api) -> None:
    api.activated(valid_from="2098-01-01T00:00:00Z")
    told = api.get("/blame", **WHO, at="2099-01-01T00:00:00Z").json()["levers"]
    assert told[LEVER]["in_force_since"] == "2098-01-01T00:00:00.000000Z"
    assert told["DIALOGUE_GATE"]["config_id"] is None


# --- What changed ---


def changes(api: Api, **query: Json) -> Json:
    answer = api.get("/diff", **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_changed_between_two_positions(either: Api) -> None:
    config_id = either.activated(reason="the festival")
    either.post(f"/levers/{LEVER}/kill", {"reason": "too many swords"})
    either.post("/freeze", {"scope": "world", "scope_ref": "world.forest_glade"})
    told = changes(either, **{"from": 1, "to": either.head(), **WHO})
    assert [(each["what"], each["how"]) for each in told["differences"]] == [
        *(("kill", "begun"), ("freeze", "begun"), ("config", "begun")),
    ]
    config = told["differences"][2]
    assert (config["name"], config["by"]["position"]) == (config_id, 3)
    assert told["events"]["by_action"] == {"activate": 1, "create": 1, "freeze": 1, "kill": 1}
    assert list(told["events"]["by_actor"].values()) == [4]
    assert told["levers"] == {}
    assert f"{LEVER} was killed by the administrator" in told["words"][0]
    assert "Drops (world world.forest_glade) was put in force" in told["words"][2]


def test_a_difference_names_who_ended_it_and_the_levers_of_a_context(api: Api) -> None:
    config_id = api.activated()
    api.post(f"/levers/{LEVER}/kill")
    since = api.head()
    api.post(f"/levers/{LEVER}/restore", {"reason": "mended"})
    middle = changes(api, **{"from": since, **WHO})
    assert middle["differences"][0]["by"]["reason"] == "mended"
    assert middle["levers"][LEVER]["before"]["killed"]
    assert middle["levers"][LEVER]["after"]["config"] == "Drops"
    api.post(f"/configs/{config_id}/deactivate", {"reason": "over"})
    (ended,) = changes(api, **{"from": since + 1, "scope": "world", "scope_ref": WHO["world_id"]})[
        "differences"
    ]
    assert (ended["how"], ended["by"]["reason"]) == ("ended", "over")


def test_what_is_elsewhere_is_left_out_of_a_place(api: Api) -> None:
    api.activated()
    told = changes(api, **{"from": 1, "scope": "world", "scope_ref": "elsewhere"})
    assert (told["differences"], told["events"]["count"]) == ([], 0)
    assert told["words"] == ["Nothing was recorded."]


@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ({"from": "yesterday"}, 422, "invalid"),
        ({"from": "99"}, 404, "not-found"),
        ({"from": "1", "to": "2099-01-01T00:00:00Z"}, 422, "future-instant"),
        ({"from": "1", "to": "0"}, 400, "malformed"),
        ({"from": "1", "scope_ref": "w"}, 422, "invalid"),
        ({"from": "1", "world_id": "w"}, 422, "invalid"),
        ({}, 422, "invalid"),
    ],
)
def test_points_that_are_none(
    store: LedgerStore, database: str, query: Json, status: int, slug: str
) -> None:
    with serving(store, database) as api:
        problem(api.get("/diff", **query), status, slug)
