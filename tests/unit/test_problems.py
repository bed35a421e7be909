"""Problem details: every refusal has a kind, a stable type, and its row in the docs."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from commands.http import problems
from commands.http.auth import Authority
from commands.http.formats import Format, wanted_format
from commands.http.problems import KINDS, TYPE_PREFIX, Problem, pointer
from commands.http.requests import strict_json
from commands.identity import ADMINISTRATOR
from ledger import errors
from ledger.errors import LedgerError
from tests.strategies import json_values

Json = Any

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
ERRORS = [
    error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, LedgerError)
]


def rows() -> dict[str, tuple[int, str]]:
    """Read the page's table of problems: status and meaning by slug."""
    found = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    return {slug: (int(status), meaning) for slug, status, meaning in found}


def test_every_kind_of_problem_is_in_the_docs_and_no_other() -> None:
    assert {slug: status for slug, (status, _) in rows().items()} == {
        slug: kind.status for slug, kind in KINDS.items()
    }


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_of_the_ledger_has_its_kind(error: type[LedgerError]) -> None:
    assert KINDS[error.slug].status == error.status
    assert KINDS[error.slug].type == TYPE_PREFIX + error.slug


def test_titles_are_one_line_and_say_something() -> None:
    for kind in KINDS.values():
        assert 10 < len(kind.title) < 120
        assert "\n" not in kind.title


def test_a_pointer_escapes_what_would_read_as_a_step() -> None:
    assert pointer(["a/b", "c~d", 0]) == "/a~1b/c~0d/0"
    assert pointer([]) == ""


def test_a_failure_says_nothing_of_what_failed() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    def fail() -> None:
        raise RuntimeError("the secret of the house")

    answer = TestClient(app, raise_server_exceptions=False).get("/")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:liveops:problem:internal"
    assert "secret" not in answer.text


def test_an_error_of_the_ledger_says_what_it_carries() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    def refuse() -> None:
        raise errors.LedgerUnavailable("gone fishing", until="noon")

    answer = TestClient(app).get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["detail"] == "gone fishing"
    assert answer.json()["until"] == "noon"


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_strict_json_is_json_to_the_reader_that_is_used_and_to_pythons(body: bytes) -> None:
    with suppress(Problem):
        read = strict_json(body)
        assert orjson.dumps(read) == orjson.dumps(orjson.loads(body))
        json.loads(body)  # does not raise


@pytest.mark.parametrize(
    "given_header", [[], [""], ["Bearer"], ["Bearer x"], ["Bearer t", "Bearer t"]]
)
def test_only_the_token_tells_who_calls(given_header: list[str]) -> None:
    with pytest.raises(Problem):
        Authority("t").actor(given_header)
    assert Authority("t").actor(["Bearer t"]) == ADMINISTRATOR


def test_every_format_is_chosen_by_its_name() -> None:
    for each in Format:
        assert wanted_format(Request({"type": "http"}), each, *Format) is each
