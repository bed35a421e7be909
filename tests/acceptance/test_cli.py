"""The command line against a running program, found by its home alone, as the README has it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from projections.catalogue import VIEWS
from tests.acceptance.running import Ready, Up, environment
from tests.integration.patience import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

Json = Any
Done = subprocess.CompletedProcess[str]
Liveops = Callable[..., Done]

README = Path(__file__).parents[2] / "README.md"
DROPS = ("--scope", "world", "--ref", "w", "--set", "DROP_RATE_LEGENDARY_MULTIPLIER=2.5")
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def liveops(standing: Up, ready: Ready) -> Liveops:
    """Run the command with LIVEOPS_HOME and nothing else."""
    assert ready.token

    def run(*arguments: str, **settings: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "commands", *arguments],
            env=environment({"LIVEOPS_HOME": str(standing.home), **settings}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def succeeded(done: Done) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def by_hand() -> list[list[str]]:
    """Read the commands of the README's first change, each as its words."""
    section = README.read_text().split("## A first change by hand")[1].split("```")[1]
    lines = section.replace("\\\n", " ").splitlines()
    words = [
        shlex.split(line.replace("<the id it printed>", "ID"), comments=True) for line in lines
    ]
    return [line[1:] for line in words if line[:1] == ["liveops"]]


def test_a_first_change_by_hand_goes_as_the_readme_says(liveops: Liveops) -> None:
    create, activate, resolve, audit, game = by_hand()
    found = re.search(r"config (\S+) · revision 1 · draft", succeeded(liveops(*create)))
    assert found is not None
    config_id = found[1]
    activated = succeeded(liveops(*(config_id if word == "ID" else word for word in activate)))
    assert f"config {config_id} · revision 1 · active" in activated
    explained = succeeded(liveops(*resolve))
    assert re.search(r"→ +2\.5 +world world\.forest_glade .*\n +Weekend drops", explained)
    assert config_id in succeeded(liveops(*audit))
    assert "legendary drops x 2.5" in succeeded(liveops(*game, "--turns", "1"))


@pytest.mark.parametrize(
    "verb",
    [
        "status",
        "lever list",
        "config list",
        "audit",
        "events",
        "resolve --session s1",
        "resolve --session s1 --explain-all",
        "resolve --session s1 --shadow",
        "config list --shadow",
        "experiment list",
        "validate FILE",
        "cache",
        "rollback --position 1 --plan",
    ],
)
def test_answers_for_machines_are_json(liveops: Liveops, verb: str, tmp_path: Path) -> None:
    file = tmp_path / "content.json"
    file.write_text('{"payload": {"DIALOGUE_GATE": "off"}}')
    words = [str(file) if word == "FILE" else word for word in verb.split()]
    assert isinstance(orjson.loads(succeeded(liveops(*words, "--json"))), dict)


def test_what_a_game_was_given_is_verified(liveops: Liveops) -> None:
    played = ("--session", "sampled", "--turns", "3", "--interval", "0.01")
    succeeded(liveops("game", *played))

    def arrived() -> bool:
        said = liveops("snapshots", "list", "--session", "sampled", "--json")
        return bool(orjson.loads(succeeded(said))["count"] == 3)

    eventually(arrived)
    assert "3 samples resolved again, 3 agree" in succeeded(
        liveops("snapshots", "verify", "--session", "sampled")
    )


def test_an_answer_is_proved_by_the_key_in_the_home(liveops: Liveops, tmp_path: Path) -> None:
    answer = orjson.loads(succeeded(liveops("resolve", "--session", "s", "--json")))
    assert succeeded(liveops("proof", "answer", answer["token"])).endswith("PROVED.\n")
    note = str(tmp_path / "note")
    key = succeeded(liveops("keys", "show")).strip()
    succeeded(liveops("proof", "checkpoint", "--key", key, "--save", note))
    assert succeeded(liveops("proof", "consistency", note)).endswith("PROVED.\n")


def test_views_are_rebuilt_beside_the_running_program(liveops: Liveops) -> None:
    said = succeeded(liveops("rebuild"))
    assert re.findall(r"(liveops_\w+) .*100%", said) == [view.name for view in VIEWS]


def created(liveops: Liveops) -> str:
    answer = orjson.loads(succeeded(liveops("config", "create", "--name", "x", *DROPS, "--json")))
    return str(answer["config_id"])


def test_exit_1_is_a_refusal_and_says_why(liveops: Liveops) -> None:
    config_id = created(liveops)
    done = liveops("config", "deactivate", config_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Refused (409): ")


def test_exit_1_for_machines_is_a_problem_document(liveops: Liveops) -> None:
    done = liveops("config", "create", "--name", "x", *DROPS[:4], "--set", "NO_SUCH=1", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    problem = orjson.loads(done.stderr)
    assert problem["status"] == 422
    assert problem["errors"][0]["pointer"] == "/payload/NO_SUCH"


@pytest.mark.parametrize(
    ("arguments", "settings", "exit_code"),
    [
        (["no-such-verb"], {}, 2),
        (["config", "create", "--set", "NOT A SETTING"], {}, 2),
        (["status"], {"LIVEOPS_HOME": "/nonexistent"}, 2),
        (["status", "--url", "http://127.0.0.1:9"], {}, 3),
        (["status", "--token", "wrong"], {}, 4),
        (["config", "show", NOBODY], {}, 5),
        (["lever", "kill", "NO_SUCH"], {}, 5),
    ],
)
def test_other_exit_codes(
    liveops: Liveops, arguments: list[str], settings: dict[str, str], exit_code: int
) -> None:
    done = liveops(*arguments, **settings)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_names_every_exit_code(liveops: Liveops) -> None:
    said = succeeded(liveops("--help"))
    assert re.findall(r"(\d) (?:done|refused|wrong|nothing|not)", said) == list("012345")
