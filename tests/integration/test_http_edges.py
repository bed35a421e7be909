"""Where a request meets the API: tokens, bodies, headers, routes, and a database that is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from commands.client import BASE
from commands.http import create_app
from commands.http.requests import LARGEST_BODY
from commands.ledger import Ledger
from commands.settings import Settings
from ledger.errors import ClockBehind
from ledger.store import LedgerStore
from tests.integration.calling import DROPS, TOKEN, Api, problem, serving
from tests.integration.cutting import cut_after

Json = Any


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


# --- Who calls ---


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic abc", TOKEN, "Bearer wrong", f"Bearer {TOKEN}x", "Bearer é"],
)
def test_a_request_without_the_token_is_unauthorized(api: Api, authorization: str) -> None:
    headers = {"Authorization": authorization.encode()}
    for path in ("/configs", "/freeze", "/resolve"):
        answer = api.post(path, {"never": "read"}, headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_no_token_and_two_tokens_are_unauthorized(api: Api) -> None:
    two = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")]
    problem(api.client.get(BASE + "/status", headers=two), 401, "unauthorized")
    api.client.headers.pop("Authorization")
    problem(api.client.get(BASE + "/status"), 401, "unauthorized")
    assert api.client.get(
        BASE + "/status", headers={"Authorization": f"bearer  {TOKEN} "}
    ).is_success


def test_every_operation_but_health_needs_the_token(api: Api) -> None:
    api.client.headers.pop("Authorization")
    for method, path, operation in api.document.operations():
        answer = api.client.request(method, path)
        secured = operation.get("security")
        assert (answer.status_code == 401) == bool(secured), path
        assert bool(secured) == path.startswith(BASE)


def test_the_documentation_needs_no_token(api: Api) -> None:
    api.client.headers.pop("Authorization")
    assert api.client.get("/docs").is_success
    assert api.client.get("/openapi.json").json()["openapi"] == "3.1.0"


@pytest.mark.parametrize("settings", [{"admin_token": " "}, {"admin_token": None}])
def test_an_app_without_a_token_is_not_made(store: LedgerStore, settings: Json) -> None:
    with pytest.raises(ValueError, match="LIVEOPS_ADMIN_TOKEN"):
        create_app(Ledger(store), Settings(database_url="postgresql:///x", **settings))


def test_an_app_without_a_database_is_not_made(store: LedgerStore) -> None:
    with pytest.raises(ValueError, match="LIVEOPS_DATABASE_URL"):
        create_app(Ledger(store), Settings(admin_token=TOKEN, database_url=None))


def test_the_documentation_fetches_nothing_from_elsewhere(api: Api) -> None:
    page = api.client.get("/docs").text
    fetched = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(fetched) == 3
    for path in fetched:
        assert path.startswith("/")
        assert api.client.get(path).is_success, path


# --- Routes ---


def test_an_unknown_path_is_a_problem(api: Api) -> None:
    for path in ("/nothing", "/configs/", "/configs/x/y", "/resolve/preview/x"):
        problem(api.get(path), 404, "no-such-route")


def test_another_method_is_a_problem_that_says_which(api: Api) -> None:
    answer = api.call("DELETE", "/configs")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize("config_id", ["x", "1", "0" * 31, "%00", "é", "'; --"])
def test_an_id_that_is_none_is_named(api: Api, config_id: str) -> None:
    told = problem(api.client.get(f"{BASE}/configs/{config_id}/history"), 422, "invalid")
    assert [(error["pointer"], error["in"]) for error in told["errors"]] == [("/config_id", "path")]


# --- Bodies ---

BROKEN = {
    "cut off": b'{"reason":',
    "not UTF-8": b'{"reason":"\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not a number": b'{"reason":NaN}',
    "infinite": b'{"reason":1e999}',
    "a lone surrogate": b'{"reason":"\\ud800"}',
    "a raw control character": b'{"reason":"\x00"}',
    "a repeated member": b'{"reason":"a","reason":"b"}',
    "a repeated member, deep inside": b'{"x":[{"y":1,"y":1}]}',
    "very deep": b'{"x":' + b"[" * 40 + b"]" * 40 + b"}",
    "deeper than any parser likes": b"[" * 100_000,
    "single quotes": b"{'reason':'a'}",
    "two texts": b"{} {}",
    "white space alone": b"  ",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_body_that_is_not_one_json_text_is_malformed(api: Api, name: str) -> None:
    head, json = api.head(), {"Content-Type": "application/json"}
    answer = api.call("POST", "/freeze", content=BROKEN[name], headers=json)
    problem(answer, 400, "malformed")
    assert api.head() == head


@pytest.mark.parametrize("body", ["[]", "null", "1", '"x"', "true", "[{}]"])
def test_a_body_that_is_no_object_is_invalid(api: Api, body: str) -> None:
    json = {"Content-Type": "application/json"}
    told = problem(api.call("POST", "/freeze", content=body, headers=json), 422, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [""]


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/jsonx", ""])
def test_a_body_of_another_kind_is_415(api: Api, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    answer = api.call("POST", "/freeze", content=b"{}", headers=headers)
    problem(answer, 415, "unsupported-media-type")


def test_a_charset_may_be_named(api: Api) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert api.call("POST", "/freeze", content=b"{}", headers=headers).is_success


def test_a_body_up_to_the_limit_is_read_and_none_beyond(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    full = b"{}".ljust(LARGEST_BODY)
    assert api.call("POST", "/freeze", content=full, headers=headers).is_success
    answer = api.call("POST", "/unfreeze", content=full + b" ", headers=headers)
    problem(answer, 413, "too-large")


def test_a_body_is_refused_while_it_is_read(api: Api) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 50 * LARGEST_BODY:
            sent += 65_536
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    answer = api.call("POST", "/freeze", content=endless(), headers=headers)
    problem(answer, 413, "too-large")


def test_a_declared_length_beyond_the_limit_is_not_read(api: Api) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(LARGEST_BODY + 1)}
    problem(api.call("POST", "/freeze", content=b"{}", headers=headers), 413, "too-large")


# --- Headers ---


@pytest.mark.parametrize("tag", ["1", '"x"', 'W/"1"', '"0"', '"01"', '"1", "2"', '""', '"-1"'])
def test_an_if_match_is_one_quoted_revision(api: Api, tag: str) -> None:
    answer = api.post(f"/configs/{api.created()}/activate", headers={"If-Match": tag})
    told = problem(answer, 400, "malformed")
    assert [(error["pointer"], error["in"]) for error in told["errors"]] == [
        ("/If-Match", "header")
    ]


@pytest.mark.parametrize("position", ["x", "-1", "1.0", "", "9" * 19, "9" * 30, "٣"])
def test_a_minimal_position_is_a_position(api: Api, position: str) -> None:
    headers = {"Ledger-Min-Position": position.encode()}
    told = problem(api.call("GET", "/status", headers=headers), 400, "malformed")
    assert [error["pointer"] for error in told["errors"]] == ["/Ledger-Min-Position"]


@pytest.mark.parametrize("header", ["If-Match", "Idempotency-Key"])
def test_a_repeated_header_is_malformed(api: Api, header: str) -> None:
    path = f"{BASE}/configs/{api.created()}/activate"
    answer = api.client.post(path, headers=[(header, '"1"'), (header, '"1"')])
    problem(answer, 400, "malformed")


# --- Failures ---


def test_a_database_that_is_away_is_503_with_retry_after(api: Api) -> None:
    config_id = api.created()
    api.ledger.store.close()
    asked: list[tuple[str, str, Json]] = [
        ("GET", "/status", None),
        ("GET", "/readyz", None),
        ("POST", "/freeze", {}),
    ]
    asked += [("POST", f"/configs/{config_id}/activate", {}), ("POST", "/configs", DROPS)]
    for method, path, body in asked:
        url = path if path == "/readyz" else BASE + path
        answer = api.client.request(method, url, json=body)
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"


def test_a_command_whose_answer_was_lost_is_carried_out_once(database: str) -> None:
    with (
        cut_after(database, marker=b"Frozen") as (url, _),
        LedgerStore(url) as store,
        serving(store, database) as api,
    ):
        problem(api.post("/freeze", {"reason": "once"}, key="k"), 503, "unavailable")
        assert api.post("/freeze", {"reason": "once"}, key="k").is_success
        kinds = [stored.type for stored in store.stream()]
    assert kinds.count("Frozen") == 1


def test_a_clock_that_is_behind_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def behind(*_: object, **__: object) -> None:
        raise ClockBehind

    monkeypatch.setattr(api.ledger.store, "append", behind)
    answer = api.post("/freeze")
    problem(answer, 503, "clock-behind")
    assert answer.headers["retry-after"]


def test_a_failure_is_told_without_its_details(
    store: LedgerStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the secret of the house")

    with serving(store, database) as api:
        monkeypatch.setattr(api.ledger.store, "head", fail)
        client = TestClient(api.client.app, raise_server_exceptions=False)
        answer = client.get(BASE + "/events", headers={"Authorization": f"Bearer {TOKEN}"})
    problem(answer, 500, "internal")
    assert "secret" not in answer.text
