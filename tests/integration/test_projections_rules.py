"""Who may read and who may write the views, and how their tables come into a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.resources import files

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier

from ledger.errors import LedgerUnavailable
from ledger.store import migrate
from projections import sql
from projections.audit import ACTIONS
from projections.catalogue import VIEWS, install, upgrade
from projections.configs import ConfigsView
from tests.integration.projecting import (
    all_rows,
    columns,
    many_configs,
    project,
    random_history,
    record,
    rows,
)

TABLES = [
    "liveops_audit",
    "liveops_audit_experiments",
    "liveops_audit_levers",
    "liveops_checkpoints",
    "liveops_configs",
    "liveops_forgotten",
    "liveops_freezes",
    "liveops_log_keys",
    "liveops_projections",
    "liveops_snapshots",
    "liveops_telemetry",
    "liveops_timeline",
    "liveops_tree",
    "liveops_verifications",
]
READERS = ["liveops_reader", "liveops_writer", "liveops_projector"]
NOT_PROJECTORS = ["liveops_reader", "liveops_writer", "liveops_owner"]


@pytest.fixture
def url(database: str) -> str:
    install(database)
    record(database, many_configs(2).events)
    project(database)
    return database


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connected:
        yield connected


def become(connection: psycopg.Connection, role: str) -> None:
    connection.execute(SQL("SET ROLE {}").format(Identifier(role)))


# --- Reading and writing ---


def test_every_table_has_both_policies(connection: psycopg.Connection) -> None:
    policies = connection.execute(
        "SELECT tablename::text, cmd, roles::text[] FROM pg_policies"
        " WHERE tablename LIKE 'liveops_%' ORDER BY 1, 2 DESC"
    ).fetchall()
    reading, writing = ("SELECT", sorted(READERS)), ("ALL", ["liveops_projector"])
    assert policies == [(table, *rule) for table in TABLES for rule in (reading, writing)]


def test_they_hold_for_the_owner_too(connection: psycopg.Connection) -> None:
    forced = connection.execute(
        "SELECT relname::text FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
        " AND relkind = 'r' ORDER BY 1"
    ).fetchall()
    assert [name for (name,) in forced] == TABLES


@pytest.mark.parametrize("role", READERS)
def test_readers_see_every_row(connection: psycopg.Connection, role: str) -> None:
    become(connection, role)
    assert connection.execute("SELECT count(*) FROM liveops_configs").fetchone() == (2,)
    assert connection.execute("SELECT count(*) FROM liveops_configs_at()").fetchone() == (2,)


def test_the_owner_sees_nothing(connection: psycopg.Connection) -> None:
    become(connection, "liveops_owner")
    assert connection.execute("SELECT count(*) FROM liveops_audit").fetchone() == (0,)


@pytest.mark.parametrize("role", NOT_PROJECTORS)
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "INSERT INTO {} SELECT * FROM {}"])
def test_only_the_projector_writes(
    url: str, connection: psycopg.Connection, role: str, statement: str
) -> None:
    before = all_rows(url), rows(url, "liveops_projections")
    for table in TABLES:
        copied = SQL("CREATE TEMP TABLE {} AS SELECT * FROM {}")
        connection.execute(copied.format(Identifier(f"copy_{table}"), Identifier(table)))
    connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA pg_temp TO PUBLIC")
    become(connection, role)
    for table in TABLES:
        names = Identifier(table), Identifier(f"copy_{table}")
        with suppress(errors.InsufficientPrivilege):
            connection.execute(SQL(statement).format(*names))
    assert (all_rows(url), rows(url, "liveops_projections")) == before


@pytest.mark.parametrize("role", ["liveops_reader", "liveops_writer", "liveops_projector"])
@pytest.mark.parametrize("statement", ["TRUNCATE {}", "DROP TABLE {}", "ALTER TABLE {} ADD x int"])
def test_nobody_takes_a_table_away(
    connection: psycopg.Connection, role: str, statement: str
) -> None:
    become(connection, role)
    with pytest.raises(errors.InsufficientPrivilege):
        connection.execute(SQL(statement).format(Identifier("liveops_audit")))


@pytest.mark.parametrize("schema", ["public", "liveops_rebuild_public"])
@pytest.mark.parametrize("role", ["liveops_reader", "liveops_writer", "liveops_projector"])
def test_only_the_owner_makes_tables(
    connection: psycopg.Connection, role: str, schema: str
) -> None:
    become(connection, role)
    with pytest.raises(errors.InsufficientPrivilege):
        connection.execute(SQL("CREATE TABLE {} ()").format(Identifier(schema, "planted")))


# --- Installing ---


def test_installing_again_changes_nothing(url: str) -> None:
    before = all_rows(url), rows(url, "liveops_projections")
    install(url)
    assert (all_rows(url), rows(url, "liveops_projections")) == before


def test_what_the_login_may_not_is_told(url: str) -> None:
    with pytest.raises(LedgerUnavailable, match="no_such_database"):
        install(url.replace(url.rsplit("/", 1)[1], "no_such_database"))


def test_several_may_install_at_once(new_database: Callable[[], str]) -> None:
    url = new_database()
    migrate(url)
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(install, url) for _ in range(6)]:
            done.result()
    assert len(rows(url, "liveops_projections")) == len(VIEWS)


def test_a_table_that_was_dropped_is_made_again_and_filled(url: str) -> None:
    before = all_rows(url)
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("DROP TABLE liveops_freezes")
    install(url)
    project(url, [ConfigsView()])
    assert all_rows(url) == before


def test_installs_beside_readers(url: str) -> None:
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM liveops_audit, liveops_configs, liveops_snapshots")
        install(url)


def test_a_ledger_may_live_in_a_schema_of_its_own(new_database: Callable[[], str]) -> None:
    url = new_database()
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("CREATE SCHEMA game")
    there = f"{url}?options=-csearch_path%3Dgame"
    migrate(there)
    install(there)
    record(there, many_configs(2).events)
    project(there)
    assert len(rows(there, "liveops_audit")) == 4


def test_every_action_is_in_the_database(connection: psycopg.Connection) -> None:
    query = "SELECT unnest(enum_range(NULL::liveops_audit_action))::text"
    assert {name for (name,) in connection.execute(query)} == set(ACTIONS.values())


def test_a_database_of_the_version_before_is_brought_up(new_database: Callable[[], str]) -> None:
    url = new_database()
    migrate(url)
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("CREATE TYPE liveops_audit_action AS ENUM ('create', 'activate')")
        superuser.execute("ALTER TYPE liveops_audit_action OWNER TO liveops_owner")
    install(url)
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("ALTER TABLE liveops_configs DROP COLUMN shadow")
        superuser.execute("UPDATE liveops_projections SET version = version - 1")
    record(url, random_history(1).events)
    install(url)
    assert upgrade(url) == [view.name for view in VIEWS]
    assert {row["action"] for row in columns(url, "liveops_audit")} > {"shadow", "stop_experiment"}
    assert any(row["shadow"] for row in columns(url, "liveops_configs"))


def test_the_seeds_columns_are_there(connection: psycopg.Connection) -> None:
    for table, named in SEED.items():
        found = connection.execute(
            "SELECT column_name, udt_name, is_nullable FROM information_schema.columns"
            " WHERE table_name = %s ORDER BY ordinal_position",
            (table,),
        ).fetchall()
        assert found[: len(named)] == named


SEED = {
    "liveops_configs": [
        ("config_id", "uuid", "NO"),
        ("name", "text", "NO"),
        ("scope", "liveops_config_scope", "NO"),
        ("scope_ref", "text", "NO"),
        ("status", "liveops_config_status", "NO"),
        ("payload", "jsonb", "NO"),
        ("valid_from", "timestamptz", "YES"),
        ("valid_to", "timestamptz", "YES"),
        ("created_by", "uuid", "NO"),
        ("created_at", "timestamptz", "NO"),
        ("updated_at", "timestamptz", "NO"),
    ],
    # config_id is NOT NULL in the seed; a freeze, a kill and a catalog concern no config.
    "liveops_audit": [
        ("id", "uuid", "NO"),
        ("config_id", "uuid", "YES"),
        ("action", "liveops_audit_action", "NO"),
        ("actor", "uuid", "NO"),
        ("diff", "jsonb", "YES"),
        ("ts", "timestamptz", "NO"),
    ],
    "liveops_snapshots": [
        ("id", "uuid", "NO"),
        ("session_id", "text", "NO"),
        ("turn_id", "int4", "NO"),
        ("resolved", "jsonb", "NO"),
        ("ts", "timestamptz", "NO"),
    ],
}


def test_every_statement_is_asked_by_somebody() -> None:
    sources = "".join(
        path.read_text() for path in files("projections").iterdir() if path.name.endswith(".py")
    )
    assert [name for name in sql.queries() if f'"{name}"' not in sources] == []
