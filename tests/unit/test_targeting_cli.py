"""A rule on the command line: alone without a server, and as the server checked it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import orjson
import pytest
from click.testing import CliRunner, Result

from commands.cli import app, talk
from ledger.catalog import shipped_catalog
from ledger.targeting.review import review

Json = Any


def liveops(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"LIVEOPS_CATALOG": ""})


def test_a_sound_rule_says_what_it_reads() -> None:
    done = liveops("rule", "level >= 20 && turn_id > 3")
    assert (done.exit_code, done.output) == (0, "valid, reads level (dyn), turn_id (int)\n")


def test_an_unsound_rule_is_refused_with_a_caret() -> None:
    done = liveops("rule", "level >= 20 and vip")
    assert done.exit_code == 1
    assert "did you mean '&&'? (at 12)" in done.output
    assert "    level >= 20 and vip\n                ^\n" in done.output


def test_a_rule_is_not_taken_for_markup() -> None:
    assert "    [red] == '[/red]\n             ^\n" in liveops("rule", "[red] == '[/red]").output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--with", "level=21"], "it holds"),
        (["--with", "level=3"], "it does not hold"),
        (["--with", "level=abc"], ">= does not take string and int"),
        (["--with", "other=1"], "level is not in the context"),
    ],
)
def test_a_rule_is_asked_of_names(given: list[str], said: str) -> None:
    done = liveops("rule", "level >= 20", *given)
    assert done.exit_code == 0
    assert said in done.output


def test_a_rule_is_asked_of_an_instant() -> None:
    text = "at >= timestamp('2026-01-01T00:00:00Z')"
    answers = [
        orjson.loads(liveops("rule", text, "--at", at, "--json").output)["answer"]
        for at in ("2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z")
    ]
    assert answers == [False, True]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    file = tmp_path / "catalog.json"
    declared = {"attributes": {"score": "double"}}
    file.write_bytes(orjson.dumps(shipped_catalog().to_json() | declared))
    return file


def test_a_catalog_says_which_attributes_there_are(catalog: Path) -> None:
    done = liveops("rule", "scor > 1.5", "--catalog", str(catalog))
    assert "unknown name 'scor'; did you mean 'score'? (at 0)" in done.output
    with_int = ("--with", "score=1", "--catalog", str(catalog))
    assert "it holds" in liveops("rule", "score + 1.0 == 2.0", *with_int).output


# --- validate: what the server said ---


class Server:
    """Answers every question with one answer."""

    answer: Json = None

    def __init__(self, url: str, token: str) -> None:
        self.asked = (url, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def post(self, path: str, body: Json) -> Json:
        assert (path, list(body)) == ("/validate", ["targeting"])
        return self.answer


def checked(text: str, **members: Json) -> Json:
    rule = review(text).to_json()
    sound = {"valid": rule["valid"], "activatable": rule["valid"], "violations": [], "errors": []}
    return sound | {"targeting": {"include": rule}} | members


def validate(monkeypatch: pytest.MonkeyPatch, answer: Json) -> Result:
    monkeypatch.setattr(Server, "answer", answer)
    monkeypatch.setattr(talk, "Api", Server)
    return liveops("validate", "--rule", "…", "--url", "http://127.0.0.1", "--token", "x")


def test_validate_shows_a_sound_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    done = validate(monkeypatch, checked("level > 1"))
    assert (done.exit_code, done.output) == (0, "include: valid, reads level (dyn)\nvalid\n")


def test_validate_fails_on_an_unsound_rule_and_points_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = validate(monkeypatch, checked("level > "))
    assert done.exit_code == 1
    assert "    level > \n            ^" in done.output
    assert done.output.endswith("not valid\n")


def test_validate_tells_what_could_not_be_activated(monkeypatch: pytest.MonkeyPatch) -> None:
    done = validate(monkeypatch, checked("true", activatable=False))
    assert (done.exit_code, "cannot be activated" in done.output) == (0, True)


def test_validate_needs_one_thing_to_check() -> None:
    assert liveops("validate", "--url", "x", "--token", "x").exit_code == 2
