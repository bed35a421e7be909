"""The command line in the test's own process, against a ledger that is served over loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import uvicorn
from click.testing import CliRunner, Result

from commands.cli import app
from commands.http import create_app
from commands.ledger import Ledger
from commands.settings import Settings
from ledger.catalog import shipped_catalog
from ledger.store import LedgerStore
from tests.integration.calling import TOKEN
from tests.integration.patience import eventually

Json = Any


@dataclass(frozen=True)
class Terminal:
    """Somebody who types `liveops` in a window of 80 columns."""

    url: str

    def run(self, *words: str, columns: int = 80) -> Result:
        """Type a command."""
        settings = {
            "LIVEOPS_URL": self.url,
            "LIVEOPS_TOKEN": TOKEN,
            "COLUMNS": str(columns),
            "NO_COLOR": "1",
        }
        return CliRunner().invoke(app, words, env=settings)

    def said(self, *words: str, columns: int = 80) -> str:
        """Type a command that succeeds; gives what it prints, which fits the window."""
        done = self.run(*words, columns=columns)
        assert done.exit_code == 0, done.output
        assert max(map(len, done.stdout.splitlines()), default=0) <= columns
        return done.stdout

    def answer(self, *words: str) -> Json:
        """Type a command that succeeds, and read its answer as a machine does."""
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        return orjson.loads(done.stdout)

    def config(self, *content: str) -> str:
        """Draft a config and activate it; gives its id."""
        config_id = str(self.answer("config", "create", *content)["config_id"])
        self.answer("config", "activate", config_id)
        return config_id


@contextmanager
def terminal(store: LedgerStore, database: str) -> Iterator[Terminal]:
    """Serve a ledger that has its catalog, and open a terminal to it."""
    ledger = Ledger(store)
    ledger.adopt(shipped_catalog())
    served = create_app(ledger, Settings(admin_token=TOKEN, database_url=database))
    server = uvicorn.Server(uvicorn.Config(served, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, name="api-under-test")
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Terminal(f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
