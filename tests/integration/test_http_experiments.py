"""Experiments over HTTP: started, changed, stopped, listed, and what they give to whom."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ledger.store import LedgerStore
from tests.integration.calling import Api, problem, serving

Json = Any

LEGENDARY = "DROP_RATE_LEGENDARY_MULTIPLIER"
ARMS = [{"name": "control", "weight": 1}, {"name": "generous", "weight": 1}]


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def started(api: Api, experiment_id: str = "drops", **members: Json) -> Json:
    body = {"experiment_id": experiment_id, "variations": ARMS, **members}
    answer = api.post("/experiments", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def asked(api: Api, session: str, **context: Json) -> Json:
    return api.post("/resolve", {"context": {"session_id": session, **context}}).json()


def test_a_started_experiment_is_answered_with_all_of_it(api: Api) -> None:
    answer = started(api, percentage=20.5, group="g", reason="try")
    assert (answer["status"], answer["position"]) == ("running", api.head())
    assert answer["experiment"] == {
        "experiment_id": "drops",
        "variations": ARMS,
        "unit": "session_id",
        "percentage": 20.5,
        "group": "g",
        "ranges": [[0, 20_500]],
        "holdout": None,
        "description": "",
    }


def test_contexts_are_in_it_with_a_variation_whether_they_say_so_or_not(api: Api) -> None:
    started(api)
    api.activated(scope="experiment", scope_ref="drops:generous")
    answers = [asked(api, f"s{number}") for number in range(40)]
    given = {answer["experiments"]["drops"]: answer["values"][LEGENDARY] for answer in answers}
    assert given == {"control": 1.0, "generous": 1.5}
    assert {answer["reason"] for answer in answers} == {"DEFAULT", "SPLIT"}


def test_a_context_keeps_the_variation_that_it_names(api: Api) -> None:
    started(api, percentage=0)
    assert asked(api, "s")["experiments"] == {}
    named = asked(api, "s", experiment_id="drops", variation="generous")
    assert named["experiments"] == {"drops": "generous"}
    other = asked(api, "s", experiments={"other": "b", "unknown": None})
    assert other["experiments"] == {"other": "b"}


def test_the_percentage_of_a_running_experiment_is_changed(api: Api) -> None:
    started(api, percentage=0)
    answer = api.post("/experiments/drops/percentage", {"percentage": 100, "reason": "all"})
    assert answer.json()["experiment"]["percentage"] == 100
    assert list(asked(api, "s")["experiments"]) == ["drops"]
    same = api.post("/experiments/drops/percentage", {"percentage": 100})
    problem(same, 409, "conflict")


def test_a_stopped_experiment_is_told_and_gives_nobody_anything(api: Api) -> None:
    started(api)
    stopped = api.post("/experiments/drops/stop", {"reason": "enough"}).json()
    assert (stopped["status"], stopped["experiment"]) == ("stopped", None)
    assert asked(api, "s")["experiments"] == {}
    told = api.get("/experiments/drops").json()
    assert (told["status"], told["stopped"]["reason"]) == ("stopped", "enough")
    problem(api.post("/experiments/drops/stop"), 409, "conflict")


def test_an_experiment_tells_the_times_that_it_ran_before(api: Api) -> None:
    first = started(api, percentage=10)["position"]
    api.post("/experiments/drops/percentage", {"percentage": 20})
    api.post("/experiments/drops/stop")
    again = started(api, percentage=30)["position"]
    told = api.get("/experiments/drops").json()
    assert (told["started"]["position"], told["percentage"]) == (again, 30)
    [earlier] = told["earlier"]
    assert (earlier["started"]["position"], earlier["percentage"]) == (first, 20)
    assert earlier["changed"]["position"] < earlier["stopped"]["position"]


def test_one_that_runs_is_not_started_again(api: Api) -> None:
    started(api)
    body = {"experiment_id": "drops", "variations": ARMS}
    problem(api.post("/experiments", body), 409, "conflict")


def test_a_group_without_room_says_how_much_is_left(api: Api) -> None:
    started(api, "first", group="g", percentage=70)
    body = {"experiment_id": "second", "variations": ARMS, "group": "g", "percentage": 40}
    told = problem(api.post("/experiments", body), 409, "conflict")
    assert "30 %" in told["detail"]


def test_an_experiment_that_is_not_there_is_404(api: Api) -> None:
    problem(api.get("/experiments/none"), 404, "not-found")
    problem(api.post("/experiments/none/stop"), 404, "not-found")
    problem(api.post("/experiments/none/percentage", {"percentage": 1}), 404, "not-found")


@pytest.mark.parametrize(
    "place", [("global", "global"), ("experiment", "drops"), ("experiment", "drops:control")]
)
def test_a_freeze_refuses_every_change(api: Api, place: tuple[str, str]) -> None:
    started(api, percentage=10)
    api.post("/freeze", {"scope": place[0], "scope_ref": place[1], "reason": "hands off"})
    told = problem(api.post("/experiments/drops/stop"), 423, "frozen")
    assert told["reason"] == "hands off"
    change = api.post("/experiments/drops/percentage", {"percentage": 20})
    problem(change, 423, "frozen")


def test_an_if_match_names_the_experiments_last_event(api: Api) -> None:
    position = started(api, percentage=10)["position"]
    assert api.get("/experiments/drops").headers["etag"] == f'"{position}"'
    more = {"percentage": 20}
    changed = api.post("/experiments/drops/percentage", more, revision=position)
    assert changed.headers["etag"] == f'"{changed.json()["position"]}"'
    told = problem(api.post("/experiments/drops/stop", revision=position), 412, "moved")
    assert (told["expected"], told["actual"]) == (position, position + 1)
    assert api.post("/experiments/drops/stop", revision=position + 1).is_success


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"variations": [*ARMS, ARMS[0]]}, "/variations/2/name"),
        ({"variations": [{"name": "a", "weight": 0}]}, "/variations"),
        ({"variations": [{"name": "a:b", "weight": 1}]}, "/variations/0/name"),
        ({"experiment_id": "a:b"}, "/experiment_id"),
        ({"experiment_id": "a/b"}, "/experiment_id"),
        ({"percentage": 0.0005}, "/percentage"),
        ({"unit": "turn_id"}, "/unit"),
        ({"holdout": {"name": "h", "percentage": 101}}, "/holdout/percentage"),
        ({"ranges": [[0, 1]]}, "/ranges"),
    ],
)
def test_what_is_wrong_with_an_experiment_is_named(api: Api, members: Json, pointer: str) -> None:
    body = {"experiment_id": "drops", "variations": ARMS, **members}
    told = problem(api.post("/experiments", body), 422, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]


def test_a_change_names_an_exact_percentage(api: Api) -> None:
    started(api)
    told = api.post("/experiments/drops/percentage", {"percentage": 0.0005})
    assert [e["pointer"] for e in problem(told, 422, "invalid")["errors"]] == ["/percentage"]


# --- At the same moment ---


def test_a_group_is_given_away_once_however_many_ask(api: Api) -> None:
    shares = {"variations": ARMS, "group": "g", "percentage": 20}

    def start(number: int) -> Any:
        return api.post("/experiments", {"experiment_id": f"e{number}", **shares})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(start, range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [409] * 3
    running = api.get("/experiments").json()["experiments"]
    given = sorted(part for each in running for part in each["ranges"])
    assert given == [[begin, begin + 20_000] for begin in range(0, 100_000, 20_000)]


def test_of_those_who_know_the_same_experiment_one_changes_it(api: Api) -> None:
    position = started(api, percentage=0)["position"]

    def change(percentage: int) -> int:
        body = {"percentage": percentage}
        return api.post("/experiments/drops/percentage", body, revision=position).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(change, range(1, 9)))
    assert sorted(statuses) == [200] + [412] * 7
    assert api.head() == position + 1


# --- Lists ---


def listed(api: Api, **wanted: Json) -> list[str]:
    page = api.get("/experiments", **wanted).json()
    return [experiment["experiment_id"] for experiment in page["experiments"]]


def test_lists_are_filtered_and_come_in_pages(api: Api) -> None:
    for name in ("a", "b", "c"):
        started(api, name, percentage=10, group="g" if name == "b" else None)
    api.post("/experiments/b/stop")
    assert listed(api) == ["c", "b", "a"]
    assert listed(api, status="running") == ["c", "a"]
    assert listed(api, status="stopped", group="g") == ["b"]
    first = api.get("/experiments", limit=2).json()
    assert listed(api, limit=2, cursor=first["next"]) == ["a"]
    problem(api.get("/experiments", cursor="x"), 400, "malformed")


def test_status_names_those_that_run(api: Api) -> None:
    position = started(api)["position"]
    started(api, "other")
    api.post("/experiments/other/stop")
    running = api.get("/status").json()["experiments"]
    assert {name: origin["position"] for name, origin in running.items()} == {"drops": position}


# --- Rolling back ---


def test_a_plan_tells_what_a_rollback_does_to_experiments(api: Api) -> None:
    started(api, percentage=10)
    before = api.head()
    api.post("/experiments/drops/percentage", {"percentage": 20})
    started(api, "other")
    planned = api.post("/rollback", {"position": before, "plan": True}).json()["experiments"]
    assert [(each["experiment_id"], each["action"]) for each in planned] == [
        ("drops", "change"),
        ("other", "stop"),
    ]
    done = api.post("/rollback", {"position": before}, key="k")
    assert done.json()["experiments"] == planned
    assert api.post("/rollback", {"position": before}, key="k").content == done.content
    assert listed(api, status="running") == ["drops"]


def test_a_rollback_of_its_place_rolls_one_experiment_back(api: Api) -> None:
    before = api.head()
    started(api)
    started(api, "other")
    there = {"scope": "experiment", "scope_ref": "drops"}
    api.post("/rollback", {"position": before, **there})
    assert listed(api, status="running") == ["other"]
