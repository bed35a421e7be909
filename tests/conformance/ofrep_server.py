"""The API's own program on a ledger of the test's, for clients that need a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from commands.client import BASE
from commands.embedded.process import free_port
from tests.integration.calling import TOKEN
from tests.integration.patience import eventually

Json = Any


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and its administrator's way to it."""

    url: str
    client: httpx.Client

    def post(self, path: str, body: Json = None) -> Json:
        """Give a command to the API."""
        answer = self.client.post(self.url + BASE + path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def activated(self, config: Json) -> str:
        """Draft a config, activate it, and return its id."""
        config_id = str(self.post("/configs", config)["config_id"])
        self.post(f"/configs/{config_id}/activate")
        return config_id


@contextmanager
def served(database: str) -> Iterator[Server]:
    """Run `liveops serve` on a migrated database until the end of the block."""
    port = free_port()
    argv = [sys.executable, "-m", "commands", "serve", "--port", str(port)]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LIVEOPS_")}
    settings = {"LIVEOPS_DATABASE_URL": database, "LIVEOPS_ADMIN_TOKEN": TOKEN}
    process = subprocess.Popen(argv, env={**ours, **settings}, stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(headers=headers, trust_env=False) as client:
        try:
            eventually(lambda: process.poll() is not None or _ready(client, url), 60)
            assert process.poll() is None, "the server ended while it started"
            yield Server(url, client)
        finally:
            process.terminate()
            process.wait(30)


def _ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False
