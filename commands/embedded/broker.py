"""A Kafka-compatible broker as a child process: for development and tests.

It begins empty at every start, on purpose: the ledger is the truth and the publisher fills the
topics again, so nothing half-saved or half-open is ever inherited.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import psutil

from commands.embedded.errors import EmbeddedServerError
from commands.embedded.leftovers import end, programs_naming
from commands.embedded.part import Part
from commands.embedded.process import (
    LOOPBACK,
    UNWATCHED,
    ChildProcess,
    Watch,
    free_port,
    last_lines,
)

_READY_SECONDS = 30.0
_PORT_TRIES = 5
_PROGRAM = "noida-db"

_CORRELATION = 4711
_API_VERSIONS = struct.pack(">hhih", 18, 0, _CORRELATION, -1)
"""Key, version, correlation, no client id; the body of version 0 is empty."""
_SUPPORTED = struct.pack(">iih", 0, _CORRELATION, 0)
"""Length (whatever it is), correlation, no error: how the answer begins."""


class Broker(Protocol):
    """What the program needs of a broker that it runs itself."""

    @property
    def bootstrap(self) -> str:
        """`host:port`, the same for as long as the program lives."""

    @property
    def pid(self) -> int:
        """The process id of the latest start."""

    def start(self) -> None:
        """Start it empty, and return once it answers."""

    def stop(self) -> None:
        """Stop it; what it held is gone."""


class EmbeddedBroker(Part):
    """The broker of the wheel `noida-db`, on loopback, with its data below `home/broker`.

    It knows neither passwords nor TLS: every user of this machine can reach it.
    """

    farewell = ()
    """Killed at once: saving its data first would be work for nothing."""

    def __init__(self, home: Path) -> None:
        super().__init__("broker")
        self.home = home
        self._folder = home.resolve() / "broker"
        self._port: int | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port`; it stays the same over the restarts of this object."""
        if self._port is None:
            raise EmbeddedServerError("The broker has not been started")
        return f"{LOOPBACK}:{self._port}"

    def start(self, watch: Watch = UNWATCHED) -> None:
        """Start it empty, unless it serves already; return once it answers.

        Ends a broker that an earlier program left in this home. Raises EmbeddedServerError.
        """
        if self.running and self._port is not None and _answers(self.pid, self._port):
            return
        self._clear()
        for _ in range(_PORT_TRIES):
            if self._launch(self._port or free_port(), watch):
                return
        raise EmbeddedServerError("No loopback port stays free long enough for the broker")

    def stop(self) -> None:
        """Stop it and delete its data. Nothing happens before the first start."""
        super().stop()
        if self._process is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _clear(self) -> None:
        """End our own process and whatever an earlier program left, and delete their data."""
        super().stop()
        if self._folder.exists():
            end(programs_naming(self._folder, _PROGRAM), self.farewell)
            shutil.rmtree(self._folder)

    def _launch(self, port: int, watch: Watch) -> bool:
        """Start it once; False means that somebody else has taken the port."""
        process = self._process = ChildProcess(self._argv(port), log=self._log())
        process.start(watch)
        if process.serves(lambda: _answers(process.pid, port), _READY_SECONDS, watch):
            self._port = port
            return True
        self.stop()
        if "already in use" in process.said():
            return False
        raise EmbeddedServerError(
            f"The broker did not start; the end of {process.log}:" + last_lines(process.said())
        )

    def _argv(self, port: int) -> Sequence[str]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = tempfile.mkdtemp(dir=self._folder)
        only_kafka = ["--only", "kafka", "--kafka-port", str(port)]
        return [str(_program()), "start", *only_kafka, "--host", LOOPBACK, "--data-dir", data]

    def _log(self) -> Path:
        return self.home / "logs" / "broker.log"


def _program() -> Path:
    found = find_spec("noida_db")
    if found is None or found.origin is None:
        raise EmbeddedServerError(
            "The wheel noida-db is not installed: install liveops-ledger[server,embedded], or set "
            "LIVEOPS_KAFKA_BOOTSTRAP."
        )
    program = Path(found.origin).parent / _PROGRAM
    if not os.access(program, os.X_OK):
        raise EmbeddedServerError(f"{program} cannot be executed: check its mode and its mount")
    return program


def _answers(pid: int, port: int) -> bool:
    """Ask which requests it takes: the first thing that every Kafka client asks.

    By hand, because a client would retry for seconds where the next look at the process tells.
    """
    if not _listens(pid, port):
        return False
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
            return connection.recv(len(_SUPPORTED), socket.MSG_WAITALL)[4:] == _SUPPORTED[4:]
    except OSError:
        return False


def _listens(pid: int, port: int) -> bool:
    """Tell whether it is this process that has the port, and not somebody who was faster."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp4")
    except psutil.Error:
        return False
    listening = [found for found in connections if found.status == psutil.CONN_LISTEN]
    return any(found.laddr == (LOOPBACK, port) for found in listening)
