"""Nobody changes or removes an event, and nobody adds one but through ledger_append."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from ledger.store import LedgerStore
from tests.conftest import temporary_database
from tests.integration.drafting import append

APPEND_ONLY = "42L01"

REMOVALS = [
    "UPDATE liveops_events SET state = 'x'",
    "UPDATE liveops_events SET state = state WHERE false",
    "DELETE FROM liveops_events",
    "DELETE FROM liveops_events WHERE false",
    "TRUNCATE liveops_events",
    "TRUNCATE liveops_events, liveops_closed CASCADE",
    """MERGE INTO liveops_events e USING (SELECT 1::bigint AS position) x
       ON e.position = x.position WHEN MATCHED THEN UPDATE SET topic = 'x'""",
    """MERGE INTO liveops_events e USING (SELECT 1::bigint AS position) x
       ON e.position = x.position WHEN MATCHED THEN DELETE""",
    """INSERT INTO liveops_events SELECT * FROM liveops_events
       ON CONFLICT (position) DO UPDATE SET topic = 'x'""",
    "DELETE FROM liveops_closed",
    "TRUNCATE liveops_closed",
]

ADDITIONS = [
    """INSERT INTO liveops_events (position, recorded_at, originator_id, originator_version, topic,
       state) VALUES (2, now(), gen_random_uuid(), 1, 'x', 'x')""",
    "INSERT INTO liveops_events SELECT * FROM liveops_events ON CONFLICT DO NOTHING",
    "COPY liveops_events FROM PROGRAM 'true'",
    """MERGE INTO liveops_events e USING (SELECT 2::bigint AS position) x
       ON e.position = x.position WHEN NOT MATCHED THEN INSERT
       VALUES (2, now(), gen_random_uuid(), 1, 'x', 'x')""",
    "UPDATE liveops_closed SET instant = now() + interval '1 day'",
    "INSERT INTO liveops_closed VALUES (now())",
]

ROLES = ["liveops_writer", "liveops_projector", "liveops_reader"]


@pytest.fixture(scope="module")
def ledger_url(postgres_url: str, template: str) -> Iterator[str]:
    """One ledger with one event for all tests here: none of them can change it."""
    with temporary_database(postgres_url, template) as url:
        with LedgerStore(url) as store:
            append(store)
        yield url


@pytest.fixture
def superuser(ledger_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner(superuser: psycopg.Connection) -> psycopg.Connection:
    # Only a superuser or a member of a predefined role may COPY from a program at all.
    superuser.execute("GRANT pg_execute_server_program TO liveops_owner")
    superuser.execute("SET ROLE liveops_owner")
    return superuser


@pytest.mark.parametrize("statement", REMOVALS + ADDITIONS)
def test_a_superuser_is_refused(superuser: psycopg.Connection, statement: str) -> None:
    _refused(superuser, statement)


@pytest.mark.parametrize("statement", REMOVALS + ADDITIONS)
def test_a_superuser_who_plays_replica_is_refused(
    superuser: psycopg.Connection, statement: str
) -> None:
    superuser.execute("SET session_replication_role = replica")
    _refused(superuser, statement)


@pytest.mark.parametrize("statement", REMOVALS + ADDITIONS)
def test_the_owner_is_refused(owner: psycopg.Connection, statement: str) -> None:
    _refused(owner, statement)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("statement", REMOVALS + ADDITIONS)
def test_the_other_roles_have_no_right_to(
    superuser: psycopg.Connection, role: str, statement: str
) -> None:
    superuser.execute(f"SET ROLE {role}".encode())
    with pytest.raises(InsufficientPrivilege):
        superuser.execute(statement.encode())


@pytest.mark.parametrize("role", ["liveops_projector", "liveops_reader"])
def test_only_the_writer_appends(superuser: psycopg.Connection, role: str) -> None:
    superuser.execute(f"SET ROLE {role}".encode())
    with pytest.raises(InsufficientPrivilege, match="ledger_append"):
        superuser.execute("SELECT ledger_append('{}', '{}', '{}', '{}')")


@pytest.mark.parametrize("role", ROLES)
def test_everybody_reads_and_closes(superuser: psycopg.Connection, role: str) -> None:
    superuser.execute(f"SET ROLE {role}".encode())
    assert superuser.execute("SELECT position FROM liveops_events").fetchall() == [(1,)]
    assert superuser.execute("SELECT closed_position FROM ledger_close(now())").fetchall() == [(1,)]


def test_tables_of_the_caller_are_not_mistaken_for_the_ledgers(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as caller, LedgerStore(database) as store:
        caller.execute("CREATE TEMPORARY TABLE liveops_events (LIKE public.liveops_events)")
        caller.execute("SELECT ledger_append(ARRAY[gen_random_uuid()], '{1}', '{x}', '{x}')")
        assert store.head().position == 1


def _refused(connection: psycopg.Connection, statement: str) -> None:
    before = _rows(connection)
    with pytest.raises(psycopg.Error) as refused:
        connection.execute(statement.encode())
    assert refused.value.sqlstate == APPEND_ONLY
    assert _rows(connection) == before


def _rows(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return [
        *connection.execute("SELECT * FROM liveops_events").fetchall(),
        *connection.execute("SELECT * FROM liveops_closed").fetchall(),
    ]
