"""The home folder of one running program: who holds it, and which processes belong to it."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from commands.embedded.errors import EmbeddedServerError
from commands.embedded.leftovers import end

_SAME_START_SECONDS = 2.0
"""How far two readings of one process's start may differ: the clock may have been set between."""

_GRACE_SECONDS = 10.0


class HomeTaken(EmbeddedServerError):
    """Another program runs in this home: stop it, or choose another LIVEOPS_HOME."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A process of ours: its number, when it began (seconds since 1970), what asks it to stop."""

    pid: int
    began: float
    stop_signal: int


class Home:
    """A folder for one program at a time.

    `HOME/lock` goes with the process that holds it, however it ends. `HOME/run.json` names the
    processes, so that the next program ends what this one could not.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self._record = self.folder / "run.json"
        self._lock = FileLock(
            self.folder / "lock", timeout=0, mode=0o600, thread_local=False, fallback_to_soft=False
        )
        self._holder: Recorded | None = None
        self._processes: dict[str, Recorded] = {}
        self._writing = threading.Lock()

    def claim(self) -> int:
        """Take the home, end what an earlier program left running in it, and count that.

        Raises HomeTaken, which names the process that holds it.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise HomeTaken(self._taken(), pid=self._holder_pid()) from None
        try:
            ended = _end_leftovers(self._read())
            self._holder = _recorded(os.getpid(), signal.SIGTERM)
            self._write()
        except BaseException:
            self._lock.release()
            raise
        return ended

    def release(self) -> None:
        """Give the home back. Every process of ours must have ended."""
        self._record.unlink(missing_ok=True)
        self._lock.release()

    def remember(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        """Record a process that has just been made."""
        with self._writing:
            self._processes[name] = _recorded(pid, stop_signal)
            self._write()

    def forget(self, name: str) -> None:
        """Strike a process out that has ended."""
        with self._writing:
            if self._processes.pop(name, None) is not None:
                self._write()

    def _taken(self) -> str:
        pid = self._holder_pid()
        holder = "another process" if pid is None else f"the process {pid}"
        return f"{self.folder} is in use by {holder}: stop it, or choose another LIVEOPS_HOME."

    def _holder_pid(self) -> int | None:
        holder = self._read().get("holder")
        # Between taking the lock and writing its name, the file still has the one before it.
        return None if holder is None or _process(holder) is None else holder.pid

    def _read(self) -> dict[str, Recorded]:
        try:
            raw = json.loads(self._record.read_text())
            return {name: Recorded(**fields) for name, fields in raw.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}  # cut off in the middle of its writing, or not ours: nothing to go by

    def _write(self) -> None:
        everything = {"holder": self._holder, **self._processes}
        text = json.dumps({name: asdict(found) for name, found in everything.items() if found})
        unfinished = self._record.with_suffix(".new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        unfinished.replace(self._record)


def _recorded(pid: int, stop_signal: signal.Signals) -> Recorded:
    try:
        began = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:  # gone within a moment: let it match nothing
        began = 0.0
    return Recorded(pid, began, int(stop_signal))


def _process(recorded: Recorded) -> psutil.Process | None:
    """The process that was recorded, unless its number has gone to another one since."""
    try:
        found = psutil.Process(recorded.pid)
        same = abs(found.create_time() - recorded.began) <= _SAME_START_SECONDS
    except psutil.Error:
        return None
    return found if same else None


def _end_leftovers(record: dict[str, Recorded]) -> int:
    """End the recorded processes, the latest first; its holder is dead, or there were no claim."""
    left = [found for name, found in record.items() if name != "holder"]
    alive = [(found, process) for found in reversed(left) if (process := _process(found))]
    for found, process in alive:
        end([process], ((signal.Signals(found.stop_signal), _GRACE_SECONDS),))
    return len(alive)
