"""Measure and write the tables: `make bench`, or `python -m benchmarks NAME…` for some of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench import Row

TABLES = Path(__file__).parent / "RESULTS.md"
PEERED = Path(".venv/peers/bin/python")
HEAD = """# Benchmarks

Written by `make bench`. Machines are noisy: trust the ratios; both sides of each come from one run
on one machine, measured in turns.
"""


def main() -> None:
    """Print each row as it is measured, then write the tables that were measured anew."""
    tables = _tables_there()
    for name in sys.argv[1:] or MEASURED:
        title, measure = MEASURED[name]
        tables[title] = _table(title, measure())
    titles = [title for title, _ in MEASURED.values()]
    written = [tables[title] for title in titles if title in tables]
    TABLES.write_text("\n".join([HEAD, *written]), encoding="utf-8")


# --- What is measured ---


def _history() -> Iterator[Row | str]:
    from benchmarks import history
    from commands.embedded.logins import prepare
    from commands.embedded.postgres import EmbeddedPostgres
    from ledger.store import migrate
    from projections.catalogue import install

    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        try:
            server.start()
            database = prepare(server.url, Path(folder)).superuser
            migrate(database)
            install(database)
            yield from history.rows(database)
        finally:
            server.erase()


def _servers() -> Iterator[Row | str]:
    from benchmarks import appends, freshness
    from commands.embedded.broker import EmbeddedBroker
    from commands.embedded.logins import prepare
    from commands.embedded.postgres import EmbeddedPostgres
    from commands.programs import migrate
    from commands.settings import Settings

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


def _peered(module: str) -> Callable[[], Iterator[Row | str]]:
    """Measure in the environment that has the peers' SDKs: they do not get along with ours."""

    def measured() -> Iterator[Row | str]:
        argv = [str(PEERED), "-m", "benchmarks.peered", module]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                said = json.loads(line)
                yield said if isinstance(said, str) else Row(**said)
        if process.returncode:
            raise SystemExit(f"benchmarks.{module} failed in {PEERED}")

    return measured


MEASURED: Mapping[str, tuple[str, Callable[[], Iterator[Row | str]]]] = {
    "resolution": ("Resolution", _peered("resolution")),
    "startup": ("Start of a game's process", _peered("startup")),
    "history": ("Every past instant", _history),
    "servers": ("Commands, and their way to a replica", _servers),
}


# --- Tables ---


def _tables_there() -> dict[str, str]:
    text = TABLES.read_text(encoding="utf-8") if TABLES.exists() else ""
    found = (f"## {part.rstrip()}\n" for part in text.split("\n## ")[1:])
    return {part.partition("\n")[0].removeprefix("## "): part for part in found}


def _table(title: str, measured: Iterator[Row | str]) -> str:
    notes, lines = [], []
    for said in measured:
        print(said if isinstance(said, str) else _line(said), flush=True)
        if isinstance(said, str):
            notes.append(f"- {said}")
        else:
            lines.append(_line(said))
    rule = [
        "| what | ours | limit or peer | its figure | ratio | bar |",
        "|---|--:|---|--:|--:|---|",
    ]
    listed = ["", *notes] if notes else []
    return "\n".join([f"## {title}", "", _where(), *listed, "", *rule, *lines]) + "\n"


def _line(row: Row) -> str:
    ours, limit = f"{row.ours:.4g} {row.unit}", f"{row.limit:.4g} {row.unit}"
    return f"| {row.what} | {ours} | {row.against} | {limit} | {row.ratio:.3g} | {row.verdict} |"


def _where() -> str:
    commit = _said("git", "describe", "--always", "--dirty")
    machine = f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}"
    return f"{datetime.now(UTC).date()}: {machine}, Python {platform.python_version()}, {commit}."


def _said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
