"""The examples of docs/reference/ofrep.md, run against a server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.ledger import Ledger
from docs.generate import REFERENCE
from ledger.catalog import shipped_catalog
from ledger.store import LedgerStore
from tests.conformance.ofrep_packages import installed_packages
from tests.conformance.ofrep_server import Server, served
from tests.conftest import temporary_database
from tests.integration.calling import TOKEN

Json = Any

PAGE = REFERENCE / "ofrep.md"
WEEKEND = {
    "name": "Weekend drops",
    "scope": "world",
    "scope_ref": "world.forest_glade",
    "payload": {"DROP_RATE_LEGENDARY_MULTIPLIER": 2.5},
}


@pytest.fixture(scope="module")
def server(postgres_url: str, template: str) -> Iterator[Server]:
    """A server as the page has it, once its config is active."""
    with temporary_database(postgres_url, template) as database:
        with LedgerStore(database) as store:
            Ledger(store).adopt(shipped_catalog())
        with served(database) as running:
            running.activated(WEEKEND)
            yield running


def example(language: str, naming: str) -> str:
    """Give the page's one example in a language that names something."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    [found] = [block for block in blocks if naming in block]
    return found


def environment(server: Server) -> dict[str, str]:
    given = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {**given, "LIVEOPS_URL": server.url, "LIVEOPS_TOKEN": TOKEN}


def printed(server: Server, *argv: str) -> str:
    done = subprocess.run(
        argv, env=environment(server), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_one_lever_by_curl_is_what_the_page_shows(server: Server) -> None:
    told = json.loads(printed(server, "bash", "-c", example("sh", "curl -s ")))
    shown = json.loads(example("json", "DROP_RATE"))
    shown["metadata"]["config_id"] = told["metadata"]["config_id"]
    assert told == shown


def test_the_python_example_prints_the_value(server: Server) -> None:
    told = printed(server, sys.executable, "-c", example("python", "OFREPProvider"))
    assert told == "2.5 STATIC Weekend drops 3\n"


@pytest.mark.timeout(300)
def test_the_javascript_example_prints_the_value(server: Server, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(installed_packages() / "node_modules")
    script = tmp_path / "example.mjs"
    script.write_text(example("js", "OFREPWebProvider"), encoding="utf-8")
    argv = ["node", str(script)]
    with subprocess.Popen(
        argv, env=environment(server), stdout=subprocess.PIPE, text=True
    ) as polling:
        assert polling.stdout is not None
        try:
            assert polling.stdout.readline() == "2.5\n"
        finally:
            polling.kill()
