"""OpenFeature's web SDK with its OFREP provider, from npm, polls our server in Node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import IO, Any

import pytest

from commands.ledger import Ledger
from ledger.catalog import shipped_catalog
from ledger.store import LedgerStore
from tests.conformance.ofrep_packages import installed_packages
from tests.conformance.ofrep_server import Server, served
from tests.integration.calling import DROPS, TOKEN

Json = Any

SCRIPT = Path(__file__).with_name("ofrep_web.mjs")
SECONDS = 40
LEGENDARY = "DROP_RATE_LEGENDARY_MULTIPLIER"
GLADE = {"targetingKey": "s1", "world_id": "world.forest_glade"}
DEFAULT = {"value": 1, "reason": "DEFAULT", "variant": "default"}


@pytest.fixture
def server(store: LedgerStore, database: str) -> Iterator[Server]:
    Ledger(store).adopt(shipped_catalog())
    with served(database) as running:
        yield running


class Page:
    """What runs in a browser elsewhere; here it is Node."""

    def __init__(self, told: IO[str], contexts: IO[str]) -> None:
        self._told = told
        self._contexts = contexts

    def set_context(self, context: Json, told: str = "value") -> Json:
        """Set the context of all evaluations, and return what the flag is in it."""
        self._contexts.write(json.dumps(context) + "\n")
        self._contexts.flush()
        return self.told(told)

    def told(self, what: str, condition: Callable[[Json], bool] = lambda _: True) -> Json:
        """Wait until the page tells of something."""
        for line in self._told:
            told = json.loads(line)
            if what in told and condition(told[what]):
                return told[what]
        raise AssertionError(f"the page ended before it told of {what}")


@contextmanager
def page(server: Server) -> Iterator[Page]:
    """Open a page, and close it: it must end by itself then."""
    argv = ["node", str(SCRIPT), str(installed_packages()), server.url, TOKEN, LEGENDARY]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        patience = Timer(SECONDS, node.kill)
        patience.start()
        try:
            yield Page(node.stdout, node.stdin)
            node.stdin.close()
            assert node.wait(20) == 0
        finally:
            patience.cancel()
            node.kill()


def not_modified(polled: Json) -> bool:
    return bool(polled["status"] == 304)


@pytest.mark.timeout(300)
def test_a_page_polls_without_change_and_sees_an_activation(server: Server) -> None:
    with page(server) as opened:
        assert opened.set_context(GLADE) == DEFAULT
        polled = opened.told("polled", not_modified)
        assert polled["tag"] == polled["known"]
        server.activated(DROPS)
        changed = opened.told("changed", lambda told: bool(told["flags"]))
        assert (changed["flags"], changed["value"]) == ([LEGENDARY], 1.5)
        assert (changed["reason"], changed["variant"]) == ("STATIC", "Drops")
        assert opened.told("polled", not_modified)["tag"] != polled["tag"]


@pytest.mark.timeout(300)
def test_a_page_whose_context_changes_gets_its_answer_in_spite_of_its_tag(server: Server) -> None:
    server.activated(DROPS)
    with page(server) as opened:
        assert opened.set_context(GLADE)["value"] == 1.5
        opened.told("polled", not_modified)
        assert opened.set_context({**GLADE, "world_id": "elsewhere"}) == DEFAULT


@pytest.mark.timeout(300)
def test_a_page_without_a_targeting_key_is_refused(server: Server) -> None:
    with page(server) as opened:
        assert "400" in opened.set_context({"world_id": "world.forest_glade"}, told="refused")
        assert opened.set_context(GLADE) == DEFAULT
