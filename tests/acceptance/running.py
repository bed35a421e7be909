"""`liveops up` in a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import orjson
import psutil

from commands.embedded.account import Account
from commands.embedded.cluster import erase_cluster
from tests.integration.patience import eventually, gone

Json = Any

START_SECONDS = 90.0
STOP_SECONDS = 45.0
_STORY = 5_000
_ODD = {"HTTP_PROXY": "http://127.0.0.1:9", "PGSSLMODE": "verify-full", "PGDATABASE": "other"}
"""What people have in their environment for other programs."""

PARTS = ("postgres", "broker", "api", "projector", "publisher")


@dataclass(frozen=True)
class Ready:
    """What the ready file says; a member more or less is an error."""

    url: str
    token: str
    database_url: str
    kafka_bootstrap: str

    def client(self, **options: Json) -> httpx.Client:
        """Talk to the API as its administrator."""
        headers = {"Authorization": f"Bearer {self.token}"}
        base = f"{self.url}/api/awf-liveops"
        return httpx.Client(base_url=base, headers=headers, timeout=30, **options)


class Up:
    """One `liveops up` on a home, started and ended as a person would, or worse."""

    def __init__(
        self,
        home: Path,
        *options: str,
        account: Account | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`settings` are added to our environment; with an account it runs as that user."""
        self.home = home
        self.log = home.with_name(f"{home.name}.log")
        self.ready_file = home.with_name(f"{home.name}.ready.json")
        self._options = options
        self._account = account
        self._settings = settings
        self.start()

    def start(self) -> None:
        """Start it, or start it once more after its end."""
        self.ready_file.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "commands", "up", "--home", str(self.home), "--port", "0"]
        argv += ["--ready-file", str(self.ready_file), *self._options]
        account = self._account
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(self._settings),
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the program itself, which looks after the others."""
        return self._process.pid

    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def story(self) -> str:
        """What it and its parts have said, for whoever looks into a failure."""
        logs = {"up": self.log} | {name: self.home / "logs" / f"{name}.log" for name in PARTS}
        return "".join(
            f"--- {name}\n{log.read_text()[-_STORY:]}\n"
            for name, log in logs.items()
            if log.exists()
        )

    def await_ready(self) -> Ready:
        """Wait until everything serves."""
        eventually(lambda: self.ready_file.exists() or self.ended, START_SECONDS)
        assert not self.ended, self.said()
        return Ready(**orjson.loads(self.ready_file.read_bytes()))

    @property
    def ended(self) -> bool:
        """Whether the program itself has ended."""
        return self._process.poll() is not None

    def await_end(self) -> int:
        """Wait for its end; gives the exit code."""
        return self._process.wait(STOP_SECONDS)

    def interrupt(self) -> int:
        """Press Ctrl-C; gives the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.await_end()

    def kill(self) -> None:
        """Kill the program itself; its parts are not asked."""
        self._process.kill()
        self._process.wait()

    def part(self, name: str) -> psutil.Process | None:
        """Find a part's process of this moment; None between two starts."""
        with suppress(FileNotFoundError, KeyError, psutil.NoSuchProcess):
            recorded = orjson.loads((self.home / "run.json").read_bytes())[name]
            process = psutil.Process(recorded["pid"])
            if abs(process.create_time() - recorded["began"]) < 1 and not gone(process.pid):
                return process
        return None

    @property
    def superuser_url(self) -> str:
        """The embedded server's superuser, who may have views rebuilt."""
        return (self.home / "superuser.url").read_text()

    def end(self) -> None:
        """End it and everything of it, and delete its ledger."""
        if not self.ended:
            self._process.terminate()
            try:
                self.await_end()
            except subprocess.TimeoutExpired:
                self.kill()
        for process in processes_of(self.home):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        eventually(lambda: processes_of(self.home) == [])
        erase_cluster(self.home)


@contextmanager
def up(
    home: Path,
    *options: str,
    account: Account | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Up]:
    """Start it, and end whatever has become of it."""
    program = Up(home, *options, account=account, settings=settings)
    try:
        yield program
    except BaseException:
        sys.stdout.write(program.story())
        raise
    finally:
        program.end()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Give our environment without any setting of LiveOps Ledger but these."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LIVEOPS_")}
    return {**plain, **_ODD, **settings}


def processes_of(home: Path) -> list[psutil.Process]:
    """Find every process that names the home or has a file of it open, as all of them do."""
    found = []
    for pid in psutil.pids():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if pid != os.getpid() and _belongs(process, str(home)):
                found.append(process)
    return found


def _belongs(process: psutil.Process, home: str) -> bool:
    named = any(word == home or word.startswith(f"{home}/") for word in process.cmdline())
    return not gone(process.pid) and (
        named or any(file.path.startswith(f"{home}/") for file in process.open_files())
    )
