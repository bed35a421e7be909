"""`liveops audit` lists by filters, and exports the trail to a file: whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from commands import download
from commands.client import Api, ApiUnreachable
from commands.http import audit
from ledger.errors import LedgerUnavailable
from ledger.store import LedgerStore
from projections.trail import list_audit
from tests.integration.calling import TOKEN
from tests.integration.projecting import wait_until_up_to_date
from tests.integration.terminal import Terminal, terminal
from tests.integration.test_http_audit import projecting

Json = Any
RARE = "DROP_RATE_RARE_MULTIPLIER"
WHY = 'say "hi",\nand\u2028go\r\n=1+1'


@pytest.fixture
def window(
    store: LedgerStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    monkeypatch.setattr(audit, "STREAMED_PAGE", 3)
    with projecting(database), terminal(store, database) as opened:
        for n in range(5):
            place = ("--scope", "world", "--ref", f"w{n}")
            opened.config("--name", "drops", *place, "--set", f"{RARE}=0.25", "--reason", WHY)
        wait_until_up_to_date(database)
        yield opened


def trail(database: str) -> list[Json]:
    with psycopg.connect(database) as connection:
        return [entry.to_json() for entry in list_audit(connection, limit=1000).rows]


def test_an_export_holds_every_entry(window: Terminal, database: str, tmp_path: Path) -> None:
    file = tmp_path / "trail.ndjson"
    said = window.said("audit", "--export", str(file), columns=200)
    assert said.startswith("11 entries up to position 11 are in ")
    assert [orjson.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] == trail(database)
    assert [path.name for path in tmp_path.iterdir()] == ["trail.ndjson"]


def test_an_export_as_csv_counts_rows_not_lines(window: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "trail.csv"
    told = window.answer("audit", "--export", str(file), "--oldest-first")
    assert told == {"file": str(file), "format": "csv", "entries": 11, "position": 11}
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert [int(row["position"]) for row in rows] == list(range(1, 12))
    assert rows[1]["reason"] == WHY


def test_an_export_to_standard_output_is_nothing_else(window: Terminal, database: str) -> None:
    done = window.run("audit", "--export", "-", "--action", "create,activate", "--limit", "4")
    listed = [orjson.loads(line) for line in done.stdout_bytes.split(b"\n")[:-1]]
    assert listed == trail(database)[:4]


def test_what_breaks_off_leaves_the_file_as_it_was(
    window: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "trail.ndjson"
    file.write_text("yesterday's")
    asked = count()

    def only_once(*args: Json, **kwargs: Json) -> Json:
        if next(asked) > 0:
            raise LedgerUnavailable
        return list_audit(*args, **kwargs)

    monkeypatch.setattr("commands.http.audit.list_audit", only_once)
    with Api(window.url, TOKEN) as api, pytest.raises(ApiUnreachable):
        download.download(api, "/audit", file, "ndjson", query={}, report=lambda _: None)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["yesterday's"]


def test_pages_go_on_behind_a_cursor(window: Terminal) -> None:
    first = window.answer("audit", "--lever", RARE, "--limit", "2")
    following = window.answer("audit", "--lever", RARE, "--limit", "2", "--cursor", first["next"])
    assert [entry["position"] for entry in first["entries"] + following["entries"]] == [
        *range(11, 7, -1)
    ]
    assert f"--cursor {first['next']}" in window.said("audit", "--lever", RARE, "--limit", "2")


def test_a_format_without_a_file_is_wrong_usage(window: Terminal) -> None:
    done = window.run("audit", "--format", "csv")
    assert (done.exit_code, "--export" in done.stderr) == (2, True)


def test_a_file_that_cannot_be_written_is_named(window: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "trail.ndjson"
    done = window.run("audit", "--export", str(file))
    assert (done.exit_code, f"{file} cannot be written: No such file" in done.stderr) == (1, True)


def test_an_experiment_tells_through_which_config_it_was_found(
    window: Terminal, database: str
) -> None:
    place = ("--scope", "experiment", "--ref", "drops:a")
    config_id = window.config("--name", "rare", *place, "--set", f"{RARE}=0.5")
    window.run("experiment", "start", "drops", "--variation", "a=1", "--variation", "b=1")
    wait_until_up_to_date(database)
    said = window.said("audit", "--lever", RARE, "--action", "start_experiment", columns=160)
    assert f"through config {config_id}" in said
