"""Processes that an earlier program left running on a folder of ours.

A process is recognised by the folder it works on, never by its name or number alone, so that
nothing else on the machine is ever touched.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from commands.embedded.errors import EmbeddedServerError

Steps = Sequence[tuple[signal.Signals, float]]

_NOTICE_SECONDS = 3.0
"""How long a backend gets to notice by itself that its postmaster is gone."""


def end_leftover_postgres(data: Path, farewell: Steps) -> None:
    """Stop whatever server still runs on this data folder.

    A lock file whose process is gone is left to PostgreSQL, which checks the shared memory too.
    """
    lock = data / "postmaster.pid"
    if (named := _first_number(lock)) is None:
        return
    servers = servers_on(data)
    postmaster = [process for process in servers if process.pid == named]
    end(postmaster, farewell)
    end(still_alive(servers, _NOTICE_SECONDS), ((signal.SIGQUIT, 2.0),))
    if not postmaster and psutil.pid_exists(named):
        # The number has gone to another program, which PostgreSQL would take for a server.
        lock.unlink(missing_ok=True)


def servers_on(data: Path) -> list[psutil.Process]:
    """Every process of a PostgreSQL server on this data folder: all of them work inside it."""
    return _processes(
        lambda found: found.name().startswith("postgres") and found.cwd() == str(data)
    )


def programs_naming(folder: Path, program: str) -> list[psutil.Process]:
    """Every process of this program whose command line names something inside the folder."""
    inside = f"{folder}/"
    return _processes(
        lambda found: (
            found.name() == program and any(word.startswith(inside) for word in found.cmdline())
        )
    )


def _processes(wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Look through all processes; those that we may not look into are not ours.

    Without psutil.process_iter, whose answers are shared by all threads of a program.
    """
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if wanted(process):
                found.append(process)
    return found


def end(processes: Sequence[psutil.Process], farewell: Steps) -> None:
    """Send each signal in turn, with its grace, then kill. Raises EmbeddedServerError."""
    alive = list(processes)
    for number, grace in (*farewell, (signal.SIGKILL, 5.0)):
        _send(alive, number)
        alive = still_alive(alive, grace)
    if alive:
        raise EmbeddedServerError(f"An earlier process does not end, not even killed: {alive}")


def still_alive(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for their end; give those that have not ended.

    A zombie counts as ended: whoever should have waited for it may never do so.
    """
    give_up = time.monotonic() + seconds
    alive = [process for process in processes if not _is_zombie(process)]
    while alive and time.monotonic() < give_up:
        _, left = psutil.wait_procs(alive, timeout=0.05)
        alive = [process for process in left if not _is_zombie(process)]
    return alive


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _first_number(lock: Path) -> int | None:
    try:
        return int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
