"""Migrations lead to schema.sql, once, whoever else is migrating, and in the schema one is in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from ledger import sql
from ledger.errors import LedgerError, LedgerUnavailable
from ledger.store import Head, LedgerStore, migrate
from tests.conftest import temporary_database, temporary_server
from tests.integration.drafting import append

NEWEST = [migration.name for migration in sql.migrations()]

NewDatabase = Callable[[], str]


def catalogue(url: str) -> list[tuple[str, str, str]]:
    query = Path(__file__).with_name("catalogue.sql").read_bytes()
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def apply_schema(url: str) -> None:
    """Do what schema.sql says on top to do with it."""
    with psycopg.connect(url) as connection:
        connection.execute(sql.read("roles.sql"))
        connection.execute("SET LOCAL search_path = public, pg_temp")
        connection.execute("SET LOCAL ROLE liveops_owner")
        connection.execute(sql.read("schema.sql"))


def test_schema_and_migrations_make_the_same_database(
    new_database: NewDatabase, database: str
) -> None:
    apply_schema(url := new_database())
    assert catalogue(url) == catalogue(database)


def test_the_comparison_sees_a_difference(new_database: NewDatabase, database: str) -> None:
    apply_schema(url := new_database())
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE liveops_events ENABLE REPLICA TRIGGER append_only")
    assert len(set(catalogue(url)) ^ set(catalogue(database))) == 2


def test_migrating_after_schema_sql_finds_nothing_to_do(new_database: NewDatabase) -> None:
    apply_schema(url := new_database())
    assert migrate(url) == []


def test_migrating_again_does_nothing(new_database: NewDatabase) -> None:
    url = new_database()
    assert migrate(url) == NEWEST
    before = catalogue(url)
    assert migrate(url) == []
    assert catalogue(url) == before


def test_migrations_are_numbered_without_a_gap() -> None:
    versions = [migration.version for migration in sql.migrations()]
    assert versions == list(range(1, len(versions) + 1))


def test_one_database_migrated_by_many_at_once(new_database: NewDatabase) -> None:
    url = new_database()
    with ThreadPoolExecutor(6) as pool:
        applied = list(pool.map(migrate, [url] * 6))
    assert sorted(filter(None, applied)) == [NEWEST]


def test_a_ledger_lives_in_the_schema_that_is_current(new_database: NewDatabase) -> None:
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute('CREATE SCHEMA "Other Game"')
    there = url + '?options=-csearch_path%3D"Other%5C%20Game"'
    assert (migrate(url), migrate(there)) == (NEWEST, NEWEST)
    with LedgerStore(there) as store, LedgerStore(url) as other:
        append(store, count=2)
        assert (store.head().position, other.head()) == (2, Head())


def test_a_failed_migration_leaves_nothing_behind(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = sql.Migration(1, "0001_broken", b"CREATE TABLE half (); SELECT 1 / 0")
    monkeypatch.setattr(sql, "migrations", lambda: (broken,))
    url = new_database()
    with pytest.raises(LedgerError, match="division by zero"):
        migrate(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_databases_of_a_server_without_roles_are_migrated_at_once() -> None:
    with temporary_server() as server, ExitStack() as databases:
        urls = [databases.enter_context(temporary_database(server)) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(migrate, urls)) == [NEWEST] * 4


def test_a_login_that_may_make_roles_needs_no_superuser() -> None:
    with temporary_server() as server, temporary_database(server) as url:
        limited = login(url, "CREATEROLE")
        assert migrate(limited) == NEWEST
        with LedgerStore(limited) as store:
            assert append(store)[0].position == 1
            assert migrate(limited) == []


def test_a_login_that_may_not_is_told() -> None:
    with temporary_server() as server, temporary_database(server) as url:
        limited = login(url, "NOCREATEROLE")
        with pytest.raises(LedgerError, match="permission denied to create role"):
            migrate(limited)


def login(url: str, rights: str) -> str:
    """Make a login that owns the database and is otherwise nobody."""
    parts = urlsplit(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE founder LOGIN PASSWORD 'secret' {rights}".encode())
        connection.execute(f"ALTER DATABASE {parts.path[1:]} OWNER TO founder".encode())
    return parts._replace(netloc=f"founder:secret@{parts.hostname}:{parts.port}").geturl()


def test_a_database_that_is_away_is_told() -> None:
    with pytest.raises(LedgerUnavailable):
        migrate("postgresql://liveops@127.0.0.1:1/none")
