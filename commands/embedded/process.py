"""One child process: what it says goes to a log, and it is always ended by its own pid."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from commands.embedded.account import Account
from commands.embedded.errors import EmbeddedServerError

LOOPBACK = "127.0.0.1"
LARGEST_LOG = 8 << 20
"""Bytes; a log that is larger when its process starts is kept once as `NAME.1`, then replaced."""

_PORTS = range(20_000, 32_000)
"""Below what Linux (32768) and macOS (49152) give to outgoing connections."""

_TAIL = 16 << 10


class Watch:
    """What a start tells, and asks, while it is under way. This one is not interested."""

    def spawned(self, pid: int) -> None:
        """Take note that the process exists, long before it serves."""

    def cancelled(self) -> bool:
        """Tell whether to give up now."""
        return False


UNWATCHED = Watch()


class ChildProcess:
    """A program that runs as our child, in a session of its own.

    The session keeps a terminal's Ctrl-C away from it: in which order things stop is the
    parent's business. `parent_pipe` gives it a standard input that ends when the parent dies.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account | None = None,
        parent_pipe: bool = False,
    ) -> None:
        self._argv = tuple(argv)
        self.log = log
        self._env = env
        self._cwd = cwd
        self._account = account
        self._parent_pipe = parent_pipe
        self._popen: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    @property
    def pid(self) -> int:
        """The process id of the latest start. Raises EmbeddedServerError before the first one."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._started().poll()

    def start(self, watch: Watch = UNWATCHED) -> None:
        """Start it once more; what it says is appended to the log."""
        self._close_pipe()
        output = open_log(self.log)
        try:
            self._said_before = os.fstat(output).st_size
            self._popen = self._spawn(output)
        finally:
            os.close(output)
        watch.spawned(self._popen.pid)

    def serves(self, answers: Callable[[], bool], seconds: float, watch: Watch = UNWATCHED) -> bool:
        """Ask again and again; False once it has ended, the time is over or nobody cares."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up and not watch.cancelled():
            if answers():
                return True
            if self.wait(0.02):
                return False
        return False

    def wait(self, seconds: float) -> bool:
        """Wait for its end; tell whether it has ended."""
        try:
            self._started().wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._close_pipe()
        return True

    def stop(self, signals: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal in turn, with so many seconds of grace, then kill."""
        for number, grace in signals:
            if not self.running:
                break
            self._started().send_signal(number)
            self.wait(grace)
        if self.running:
            self._started().kill()
        if self._popen is not None:
            self._popen.wait()
            self._close_pipe()

    def said(self) -> str:
        """The end of what it said since its latest start."""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._said_before, size - _TAIL))
            return log.read(_TAIL).decode("utf-8", "replace").strip()

    def _spawn(self, output: int) -> subprocess.Popen[bytes]:
        account = self._account
        return subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE if self._parent_pipe else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=None if self._env is None else dict(self._env),
            cwd=self._cwd,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            umask=0o077,
            start_new_session=True,
        )

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise EmbeddedServerError(f"{Path(self._argv[0]).name} has not been started")
        return self._popen

    def _close_pipe(self) -> None:
        if self._popen is not None and self._popen.stdin is not None:
            self._popen.stdin.close()


def open_log(path: Path) -> int:
    """Open a log for appending, readable by its owner only; give the file descriptor."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def last_lines(text: str, count: int = 12) -> str:
    """The last lines, indented, for the end of an error message."""
    return "".join(f"\n    {line}" for line in text.splitlines()[-count:])


def free_port() -> int:
    """A loopback port that nobody has at this moment; it may be gone in the next.

    Not one that the system would pick: those go to outgoing connections too, and a client that
    keeps calling a server that is down may then be given the server's own port and keep it.
    """
    while True:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
