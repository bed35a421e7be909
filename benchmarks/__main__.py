"""Measure everything on embedded servers and write the table: `make bench`."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import appends, freshness, startup
from benchmarks.bench import Row
from commands.embedded.broker import EmbeddedBroker
from commands.embedded.logins import prepare
from commands.embedded.postgres import EmbeddedPostgres
from commands.programs import migrate
from commands.settings import Settings

TABLE = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    """Print each row as it is measured, then write all of them."""
    rows = []
    for row in _measured():
        print(_line(row), flush=True)
        rows.append(row)
    TABLE.write_text(_page(rows), encoding="utf-8")


def _measured() -> Iterator[Row]:
    yield from startup.rows()
    with tempfile.TemporaryDirectory() as folder:
        server, broker = EmbeddedPostgres(Path(folder)), EmbeddedBroker(Path(folder))
        try:
            server.start()
            broker.start()
            database = prepare(server.url, Path(folder)).superuser
            migrate(Settings.model_validate({"database_url": database}))
            yield from freshness.rows(database, broker.bootstrap)
            yield from appends.rows(database)
        finally:
            broker.stop()
            server.erase()


def _line(row: Row) -> str:
    ours, limit = f"{row.ours:.4g} {row.unit}", f"{row.limit:.4g} {row.unit}"
    return f"| {row.what} | {ours} | {row.against} | {limit} | {row.ratio:.2f} |"


def _page(rows: list[Row]) -> str:
    commit = _said("git", "rev-parse", "--short", "HEAD")
    machine = f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}"
    python, date = platform.python_version(), datetime.now(UTC).date()
    head = f"Written by `make bench` on {date}: {machine}, Python {python}, commit {commit}.\n"
    note = "Machines are noisy: trust the ratios, which come from one run on one machine.\n"
    table = ["| what | ours | limit | limit's figure | ratio |", "|---|--:|---|--:|--:|"]
    return "\n".join(["# Benchmarks\n", head, note, *table, *map(_line, rows)]) + "\n"


def _said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
