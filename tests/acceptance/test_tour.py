"""`liveops up --tour`, as `make run` starts it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.running import Up, up
from tests.integration.patience import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

AGREES = re.compile(r"^All 60 levers of all (\d+) turns agree\.$", re.MULTILINE)


def play(program: Up) -> str:
    """Wait for the end of the tour, and for the invitation after it; gives what was printed."""
    eventually(lambda: "Ctrl-C stops it" in program.said() or program.ended, 120)
    assert not program.ended, program.said()
    return program.said()


def test_the_tour_shows_the_whole_path_and_agrees_with_itself_twice(home: Path) -> None:
    with up(home, "--tour") as program:
        for found in ("at position", "is in the ledger already"):
            said = play(program)
            assert_told(said, found)
            with program.await_ready().client() as client:
                assert client.get("/status").status_code == 200
            assert program.interrupt() == 0
            if found == "at position":
                program.start()


def assert_told(said: str, found: str) -> None:
    assert len(re.findall(rf"^created .*{found}", said, re.MULTILINE)) == 3
    assert len(re.findall(r"^  warning [A-Z_]+ is 1\.[12], outside", said, re.MULTILINE)) == 2
    assert "AWF_MAX_INPUT_TOKENS 4000 → 5000" in said
    assert "refused, 423" in said
    assert len(re.findall(r"^planned: deactivate", said, re.MULTILINE)) == 3
    assert "AWF_MAX_INPUT_TOKENS 5000 → 4000" in said
    turns = AGREES.search(said)
    assert turns is not None
    assert said.count("agrees") == int(turns[1])
