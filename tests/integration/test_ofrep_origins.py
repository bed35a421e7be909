"""Browsers of other origins: which may evaluate flags, and that they may do nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from commands.client import BASE
from ledger.store import LedgerStore
from tests.integration.calling import Api, serving
from tests.integration.evaluating import FLAGS, evaluate

PAGE = "https://game.example"


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def preflight(api: Api, path: str, origin: str = PAGE) -> httpx2.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,if-none-match",
    }
    return api.client.options(path, headers=asked)


def test_a_page_of_an_allowed_origin_may_evaluate_and_read_the_tag(
    store: LedgerStore, database: str
) -> None:
    with serving(
        store, database, cors_origins="http://127.0.0.1:3000, https://Game.example"
    ) as api:
        allowed = preflight(api, FLAGS)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == PAGE
        answer = evaluate(api, Origin=PAGE)
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "ETag" in answer.headers["access-control-expose-headers"]
        failure = evaluate(api, "NO_SUCH_LEVER", Origin=PAGE)
        assert failure.headers["access-control-allow-origin"] == PAGE


def test_a_page_of_another_origin_may_not(store: LedgerStore, database: str) -> None:
    with serving(store, database, cors_origins=PAGE) as api:
        assert preflight(api, FLAGS, "https://elsewhere.example").status_code == 400
        answer = evaluate(api, Origin="https://elsewhere.example")
        assert "access-control-allow-origin" not in answer.headers


def test_no_page_may_use_the_rest_of_the_api(store: LedgerStore, database: str) -> None:
    with serving(store, database, cors_origins="*") as api:
        refused = preflight(api, f"{BASE}/configs")
        assert refused.status_code == 405
        assert "access-control-allow-origin" not in refused.headers


def test_unless_origins_are_set_no_page_may_evaluate(api: Api) -> None:
    assert "access-control-allow-origin" not in preflight(api, FLAGS).headers
    assert "access-control-allow-origin" not in evaluate(api, Origin=PAGE).headers


@pytest.mark.parametrize("origin", ["game.example", "https://game.example/", "https://*.example"])
def test_what_is_no_origin_is_refused_when_set(
    store: LedgerStore, database: str, origin: str
) -> None:
    with (
        pytest.raises(ValueError, match="is no origin"),
        serving(store, database, cors_origins=origin),
    ):
        pass
