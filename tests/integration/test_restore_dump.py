"""A ledger that was dumped and restored elsewhere is the same ledger, and can be seen to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from ledger.store import migrate
from projections.catalogue import install
from tests.integration.restoring import (
    change,
    continues,
    database_of,
    envelopes,
    guards,
    keep,
    place,
    repeated,
    root_of,
    server,
    tool,
    verified,
)

BACKUP = "CREATE ROLE liveops_backup LOGIN BYPASSRLS PASSWORD 'backup' IN ROLE pg_read_all_data"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Another server, as new as one can be: without the ledger's roles."""
    with place() as folder, server(folder / "home") as fresh:
        yield fresh.url


@pytest.fixture
def ledger(database: str) -> str:
    install(database)
    change(database, 0.5, 0.8, 1.2)
    return database


def dumped(url: str, file: Path) -> Path:
    tool("pg_dump", "--format=custom", f"--file={file}", url=url)
    return file


def roles_of(url: str, file: Path) -> Path:
    file.write_text(tool("pg_dumpall", "--roles-only", "--no-role-passwords", url=url))
    return file


def test_a_dump_restores_the_ledger_and_all_that_protects_it(
    ledger: str, elsewhere: str, tmp_path: Path
) -> None:
    kept = keep(ledger)
    roles = roles_of(ledger, tmp_path / "roles.sql")
    dump = dumped(ledger, tmp_path / "ledger.dump")
    change(ledger, 2.0)

    tool("psql", "--command=CREATE DATABASE restored", url=elsewhere)
    restored = database_of(elsewhere, "restored")
    load = ["--exit-on-error", "--single-transaction", str(dump)]
    said = tool("pg_restore", *load, url=restored, refused=True)
    assert 'role "liveops_owner" does not exist' in said
    tool("psql", "--quiet", f"--file={roles}", url=elsewhere)
    tool("pg_restore", *load, url=restored)

    assert envelopes(restored) == kept.envelopes
    assert repeated(restored, kept.answers) == kept.answers
    assert root_of(envelopes(restored)) == kept.head.root
    assert guards(restored) == guards(ledger)
    assert migrate(restored) == []
    found = verified(restored, kept)
    assert (found.faults, found.checkpoints) == ((), 2)
    continues(restored)


def test_who_backs_up_needs_no_superuser_but_must_be_beyond_the_policies(
    ledger: str, tmp_path: Path
) -> None:
    """A role that policies bind is refused whole: it never makes a dump with rows missing."""
    with psycopg.connect(ledger, autocommit=True) as connection:
        connection.execute(BACKUP)
    try:
        url = login(ledger, "liveops_backup", "backup")
        assert dumped(url, tmp_path / "ledger.dump").stat().st_size > 10_000
        with psycopg.connect(ledger, autocommit=True) as connection:
            connection.execute("ALTER ROLE liveops_backup NOBYPASSRLS")
        arguments = ["--format=custom", f"--file={tmp_path / 'part.dump'}"]
        said = tool("pg_dump", *arguments, url=url, refused=True)
        assert "row-level security" in said
    finally:
        with psycopg.connect(ledger, autocommit=True) as connection:
            connection.execute("DROP ROLE liveops_backup")


def test_rows_alone_are_not_let_in(
    ledger: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    """Loading data into tables that are there goes past no trigger, unless triggers are put out.

    Put out and on again by pg_restore they are weaker than before: that is no way to restore.
    """
    other = new_database()
    migrate(other)
    dump = dumped(ledger, tmp_path / "ledger.dump")
    only = ["--data-only", "--table=liveops_events", str(dump)]
    said = tool("pg_restore", *only, url=other, refused=True)
    assert "only ledger_append() writes here" in said
    assert envelopes(other) == []
    tool("pg_restore", "--disable-triggers", *only, url=other)
    assert envelopes(other) == envelopes(ledger)
    assert fires_always(ledger) - fires_always(other) == {"append_only", "one_door"}


def fires_always(url: str) -> set[object]:
    found = guards(url)["triggers"]
    return {name for table, name, fires, _ in found if (table, fires) == ("liveops_events", "A")}


def login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()
