"""A base backup and the archived log bring the ledger back as it was at any instant."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from commands.questions import DamagedToken
from ledger.errors import NotFound
from ledger.store import migrate
from projections.catalogue import install
from projections.verification import Verdict
from tests.integration.patience import eventually
from tests.integration.restoring import (
    Kept,
    archiving,
    change,
    continues,
    envelopes,
    hand_over,
    keep,
    place,
    repeated,
    restored_home,
    root_of,
    server,
    tool,
    verified,
)


class BackedUp(NamedTuple):
    """A base backup and an archive, and what the ledger was at an instant and in the end."""

    folder: Path
    source: Path
    then: Kept
    instant: str
    last: Kept


@pytest.fixture(scope="module")
def backed_up() -> Iterator[BackedUp]:
    """A ledger that is backed up while it grows, and then lost."""
    with place() as folder:
        source = folder / "source"
        with server(source, archiving(folder / "archive")) as primary:
            migrate(primary.url)
            install(primary.url)
            change(primary.url, 0.5)
            base = f"--pgdata={folder / 'base'}"
            tool("pg_basebackup", base, "--checkpoint=fast", url=primary.url)
            tool("pg_verifybackup", str(folder / "base"))
            change(primary.url, 0.8)
            then = keep(primary.url)
            instant = now(primary.url)
            change(primary.url, 1.2)
            last = keep(primary.url)
            archive_all(primary.url)
        yield BackedUp(folder, source, then, instant, last)


def now(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT clock_timestamp()::text").fetchone()
    assert row is not None
    return str(row[0])


def archive_all(url: str) -> None:
    """Have the segment that is being written archived too, and wait for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert row is not None
        newest = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"
        eventually(lambda: connection.execute(newest, row).fetchone() == (True,))


@contextmanager
def restored(backup: BackedUp, name: str, **target: str) -> Iterator[str]:
    """Recover a copy of the base backup with the archive; yields where it answers."""
    copy = backup.folder / f"{name}-base"
    tool("pg_combinebackup", f"--output={copy}", str(backup.folder / "base"))
    home = restored_home(backup.folder / name, backup.source, copy, recover=True)
    command = {"restore_command": f"cp {backup.folder}/archive/%f %p", **target}
    with server(home, command) as recovered:
        eventually(lambda: promoted(recovered.url))
        yield recovered.url


def promoted(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)


def said(verdict: Verdict) -> str:
    return "; ".join(map(str, verdict.faults))


def test_all_of_the_log_brings_back_all_of_the_ledger(backed_up: BackedUp) -> None:
    with restored(backed_up, "whole") as url:
        assert envelopes(url) == backed_up.last.envelopes
        assert repeated(url, backed_up.last.answers) == backed_up.last.answers
        assert root_of(envelopes(url)) == backed_up.last.head.root
        assert verified(url, backed_up.last).faults == ()
        continues(url)


def test_the_ledger_as_it_was_at_an_instant(backed_up: BackedUp) -> None:
    target = {
        "recovery_target_time": backed_up.instant,
        "recovery_target_action": "promote",
    }
    with restored(backed_up, "then", **target) as url:
        assert envelopes(url) == backed_up.then.envelopes
        assert repeated(url, backed_up.then.answers) == backed_up.then.answers
        assert verified(url, backed_up.then).faults == ()
        # What was published after that instant is known to others, and shows that an end is lost.
        size = backed_up.last.head.size
        assert f"the ledger ends before its checkpoint of {size} events" in said(
            verified(url, backed_up.last)
        )
        lost = backed_up.last.answers[-1:]
        with pytest.raises(NotFound):
            repeated(url, lost)
        continues(url)
        change(url, *[0.6] * 4)
        with pytest.raises(DamagedToken):  # the event at its position was recorded later
            repeated(url, lost)
        # And when others have taken the lost events' places: that they are others.
        assert "the events are not those that were signed" in said(verified(url, backed_up.last))


def test_a_stopped_home_can_be_copied(backed_up: BackedUp) -> None:
    copy = backed_up.folder / "copy"
    shutil.copytree(backed_up.source, copy)
    hand_over(copy / "postgres")
    with server(copy) as copied:
        assert envelopes(copied.url) == backed_up.last.envelopes
        assert verified(copied.url, backed_up.last).faults == ()
