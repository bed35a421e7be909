"""What a game's process takes in when it imports us: as little as it can do with at first."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

MODULES = ["consumers.replica", "consumers.views", "consumers.game", "consumers.openfeature"]


@cache
def imported_by(module: str) -> frozenset[str]:
    program = f"import {module}, sys; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return frozenset(said.stdout.decode().split())


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    "server",
    ["pydantic", "psycopg", "fastapi", "eventsourcing", "projections", "commands", "ledger.store"],
)
def test_a_game_imports_nothing_of_a_server(module: str, server: str) -> None:
    assert server not in imported_by(module)


@pytest.mark.parametrize("module", ["consumers.replica", "consumers.views"])
@pytest.mark.parametrize(
    "later",
    [
        # Of a start's 40 ms each of these takes between 1 and 10, and nothing there needs them.
        *("dataclasses", "inspect", "logging", "socket", "json", "orjson", "hashlib", "difflib"),
        *("fractions", "decimal", "importlib.resources", "kafka"),
        # What reads an event, a catalog file or a rule is imported with the first of them.
        *("ledger.events", "ledger.catalog_file", "ledger.amounts", "ledger.validation"),
        *("ledger.targeting.grammar", "ledger.targeting.emission", "ledger.targeting.checking"),
    ],
)
def test_what_a_start_can_do_without_is_imported_when_it_is_needed(module: str, later: str) -> None:
    assert later not in imported_by(module)
