"""What a game's process takes in when it imports us: as little as it can do with at first."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

MODULES = ["consumers.replica", "consumers.views", "consumers.game"]


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


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    "later",
    [
        *("kafka", "ledger.catalog_file", "ledger.targeting.grammar", "ledger.targeting.emission"),
        *("ledger.targeting.checking", "ledger.validation", "ledger.amounts", "fractions"),
        *("decimal", "difflib", "importlib.resources"),
    ],
)
def test_what_may_never_be_needed_is_imported_when_it_is(module: str, later: str) -> None:
    assert later not in imported_by(module)
