"""A PostgreSQL server that an earlier program left running on our data folder.

A process counts as ours only when it is a `postgres` whose working directory is that folder:
every process of a server has it, and no other program does.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import psutil

from commands.embedded.errors import EmbeddedServerError


def end_leftover(data: Path) -> None:
    """Stop whatever still runs on this data folder, and nothing else.

    A lock file whose process is gone is left to PostgreSQL, which checks the shared memory too.
    """
    lock = data / "postmaster.pid"
    if (named := _process_named(lock)) is None:
        return
    if servers := servers_on(data):
        _end(servers, named)
    elif psutil.pid_exists(named):
        # The number has gone to another program, which PostgreSQL would take for a server.
        lock.unlink()


def servers_on(data: Path) -> list[psutil.Process]:
    """Every process of a PostgreSQL server on this data folder."""
    processes = psutil.process_iter(["name", "cwd"])
    return [process for process in processes if _belongs_to(process, data)]


def _belongs_to(process: psutil.Process, data: Path) -> bool:
    name, folder = process.info["name"], process.info["cwd"]
    return bool(name and folder and name.startswith("postgres") and Path(folder) == data)


def _process_named(lock: Path) -> int | None:
    try:
        return int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _end(servers: Sequence[psutil.Process], postmaster: int) -> None:
    """Ask the postmaster first; processes without one get the time to notice that it is gone."""
    main = [process for process in servers if process.pid == postmaster]
    _send(main, signal.SIGINT)
    _, alive = psutil.wait_procs(servers, timeout=30 if main else 5)
    _send(alive, signal.SIGQUIT)
    _, alive = psutil.wait_procs(alive, timeout=5)
    _send(alive, signal.SIGKILL)
    _, alive = psutil.wait_procs(alive, timeout=5)
    if alive:
        raise EmbeddedServerError(f"An earlier PostgreSQL does not end: {alive}")


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
