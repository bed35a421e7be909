"""`liveops replay`: folds the ledger, and with --verify says and exits by what it found."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from commands.cli import app
from ledger.notes import Signer
from projections.catalogue import install
from projections.checkpoints import newest
from projections.signing import Signing
from projections.views import connect
from tests.integration.projecting import project, random_history, record

EVENTS = random_history(2, 120).events
LAST = EVENTS[-1].position
SIGNER = Signer.generate("the-log", bytes(32))
KEY = SIGNER.verifier.text()


@pytest.fixture
def url(database: str) -> str:
    install(database)
    return database


def grow(url: str, first: int, last: int) -> None:
    record(url, EVENTS[first - 1 : last])
    project(url)


def signed(url: str, file: Path, signer: Signer = SIGNER) -> Path:
    """Sign the ledger's head and keep the checkpoint in a file."""
    connection = connect(url)
    Signing([signer]).look(connection)
    found = newest(connection)
    connection.close()
    assert found is not None
    file.write_text(found[1], encoding="utf-8")
    return file


def replay(url: str, *words: str | Path) -> Result:
    env = {"LIVEOPS_DATABASE_URL": url, "COLUMNS": "80"}
    return CliRunner().invoke(app, ["replay", *map(str, words)], env=env)


def test_it_folds_the_whole_ledger_and_counts(url: str) -> None:
    grow(url, 1, LAST)
    done = replay(url)
    assert done.exit_code == 0, done.output
    assert f"{LAST} events up to position {LAST}" in done.stdout
    assert "CatalogAdopted" in done.stdout
    assert "10 events up to position 10" in replay(url, "--upto", "10").stdout


def test_what_is_sound_exits_with_0(url: str, tmp_path: Path) -> None:
    grow(url, 1, 20)
    held = signed(url, tmp_path / "older.note")
    grow(url, 21, LAST)
    signed(url, tmp_path / "newer.note")
    for words in ((), ("--checkpoint", held), ("--checkpoint", held, "--key", KEY)):
        done = replay(url, "--verify", *words)
        assert done.exit_code == 0, done.output
        assert "Nothing differs." in done.stdout
        assert f"liveops_audit at position {LAST}: as the events make it" in done.stdout
    assert "3 signed checkpoints" in done.stdout


def test_what_differs_is_named_and_exits_with_1(url: str) -> None:
    grow(url, 1, LAST)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE liveops_audit SET reason = 'none' WHERE position = 3")
    done = replay(url, "--verify")
    assert done.exit_code == 1
    assert "liveops_audit at position" in done.stdout
    assert "DIFFERS" in done.stdout
    assert "reason is none, the events make" in done.stderr


def test_up_to_a_position_only_the_log_is_verified(url: str) -> None:
    grow(url, 1, LAST)
    done = replay(url, "--verify", "--upto", "9")
    assert done.exit_code == 0
    assert "Nothing in this part of the log differs." in done.stdout


def test_a_ledger_that_is_behind_the_checkpoint_held_is_found(
    url: str, tmp_path: Path, database: str
) -> None:
    grow(url, 1, 20)
    held = signed(url, tmp_path / "held.note")
    # As after a restore to an earlier point, where the later checkpoints are gone as well.
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE liveops_events DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM liveops_events WHERE position > 12")
        for table in ("liveops_checkpoints", "liveops_tree"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM liveops_projections")
    done = replay(url, "--checkpoint", held, "--key", KEY)
    assert done.exit_code == 1
    assert "position 13: the ledger ends before its checkpoint of 20 events" in done.stderr


def test_a_checkpoint_of_another_history_is_found(url: str, tmp_path: Path) -> None:
    grow(url, 1, 20)
    held = signed(url, tmp_path / "held.note")
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE liveops_events DISABLE TRIGGER ALL")
        connection.execute(
            "UPDATE liveops_events SET recorded_at = recorded_at + '1us' WHERE position = 20"
        )
        connection.execute("DELETE FROM liveops_checkpoints")
    done = replay(url, "--verify", "--checkpoint", held, "--key", KEY)
    assert done.exit_code == 1
    assert "position 20: the event has the leaf" in done.stderr
    assert "checkpoint of 20 events: the events are not those that were signed" in done.stderr


@pytest.mark.parametrize("content", ["", "nonsense", "the-log\n1\nAAAA\n\n"])
def test_what_is_no_checkpoint_is_said(url: str, tmp_path: Path, content: str) -> None:
    file = tmp_path / "note"
    file.write_text(content)
    done = replay(url, "--verify", "--checkpoint", file)
    assert done.exit_code == 1
    assert "cannot be used" in done.stderr


def test_a_checkpoint_that_the_key_has_not_signed_is_refused(url: str, tmp_path: Path) -> None:
    grow(url, 1, 20)
    held = signed(url, tmp_path / "held.note")
    stranger = Signer.generate("the-log", bytes([7] * 32)).verifier.text()
    done = replay(url, "--verify", "--checkpoint", held, "--key", stranger)
    assert done.exit_code == 1
    assert "cannot be used" in done.stderr
