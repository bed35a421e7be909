"""What is asked of the past is read from an index, and costs the same at any depth: a million rows.

All of it is one test, so that workers that share the suite out make the million rows only once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from psycopg import ClientCursor
from psycopg.sql import SQL, Composed, Identifier

from ledger import sql as ledger_sql
from projections import sql
from projections.audit import EXPERIMENTING
from projections.catalogue import install
from projections.timeline import TimelineView
from projections.trail import audit_statement, list_audit
from tests.conftest import temporary_database

Json = Any
Connection = psycopg.Connection[Any]

ROWS = 1_000_000
FILL = Path(__file__).with_name("million.sql").read_bytes()
TABLES = ("liveops_events", "liveops_audit", "liveops_audit_levers", "liveops_timeline")
PAGE = 51


def instant(position: int) -> str:
    """Say when an event was recorded: one a second."""
    seconds = position % 60, position // 60 % 60, position // 3600 % 24, position // 86_400 + 1
    return f"2026-01-{seconds[3]:02}T{seconds[2]:02}:{seconds[1]:02}:{seconds[0]:02}Z"


# --- What is asked, and how many blocks of 8 kB it may read ---

# A page of 51 entries takes an index and the table: three or four blocks each for the entry itself.
NEAR = 51 * 5 + 60

AUDIT: dict[str, tuple[dict[str, Json], int]] = {
    "all": ({}, NEAR),
    "a frequent actor": ({"actor": UUID(int=1)}, NEAR),
    "a rare actor": ({"actor": UUID(int=999)}, NEAR),
    "nobody": ({"actor": UUID(int=10**9)}, NEAR),
    "a frequent action": ({"action": "revise"}, NEAR),
    "a rare action": ({"action": "adopt_catalog"}, NEAR),
    "several actions": ({"actions": ["kill", "revise", "adopt_catalog"]}, 3 * NEAR),
    "a frequent lever": ({"lever": "LEVER_7"}, 2 * NEAR),
    "a rare lever": ({"lever": "RARE"}, 2 * NEAR),
    "a scope": ({"scope": "session"}, NEAR),
    "a rare scope": ({"scope": "global"}, NEAR),
    "a place": ({"scope": "world", "scope_ref": "w77"}, 600),  # all five hundred, and sorted
    "a config": ({"config_id": UUID(int=3)}, NEAR),
    "a cause": ({"correlation_id": UUID(int=222)}, NEAR),
    "a time": ({"since": instant(300_000), "until": instant(600_000)}, NEAR),
    "an actor at a time": (
        {"actor": UUID(int=1), "since": instant(300_000), "until": instant(600_000)},
        NEAR,
    ),
    "a lever's experiments": ({"lever": "LEVER_44", "action": "start_experiment"}, 40_000),
}
"""By name: filters, and how many blocks their page may take, wherever in the trail it is."""

DEPTHS = (None, ROWS - 10, ROWS // 2, 10)


def audit_questions() -> Iterator[tuple[str, Composed, dict[str, Json], int]]:
    for name, (filters, blocks) in AUDIT.items():
        for depth in DEPTHS:
            for oldest_first in (False, True):
                wanted = {**filters, **({} if depth is None else {"after": depth})}
                statement = audit_statement(wanted, oldest_first=oldest_first)
                direction = "oldest first" if oldest_first else "newest first"
                asked = {**wanted, "limit": PAGE}
                yield f"audit: {name}, {direction}, behind {depth}", statement, asked, blocks


PARTS = ["catalog", "kills", "freezes", "experiments", "global:global", "world:w77", "session:s1"]
STREAM = UUID(int=77)
STORE: dict[str, tuple[dict[str, Json], int]] = {
    "head": ({}, 10),
    "head_at": ({"at": datetime(2026, 1, 5, tzinfo=UTC)}, 10),
    "events_after": ({"after": ROWS // 2, "upto": None, "limit": 100}, 30),
    "events_of_stream": ({"stream": STREAM, "upto": 100}, 60),
    "events_of_request": ({"actor": UUID(int=1), "key": "k4"}, 10),
    "stream_ascending": ({"stream": STREAM, "gt": None, "lte": None, "limit": None}, 60),
    "stream_descending": ({"stream": STREAM, "gt": None, "lte": None, "limit": 1}, 10),
}
HELD = {"position": ROWS // 2, "version": TimelineView.version, "parts": PARTS}
SPAN = {"first": ROWS // 2, "last": ROWS // 2 + 100, "parts": PARTS, "levers": None}
TIMELINE: dict[str, tuple[dict[str, Json], int]] = {
    "timeline_prefix": (HELD, 120),
    "timeline_prefix_whole": ({**HELD, "parts": None}, 2_500),
    "timeline_between": (SPAN, 120),
    "timeline_whole_between": ({**SPAN, "parts": None}, 2_500),
    "timeline_open": ({"things": ["thing 7"], "parts": ["freezes"]}, 60),
    "audit_touch_levers": (
        {
            "experiments": ["e7"],
            "actions": list(EXPERIMENTING),
            "first": ROWS - 5000,
            "last": ROWS,
        },
        600,
    ),
    "audit_set_in": ({"experiments": ["e7"]}, 100),
    "audit_before": ({"positions": [ROWS // 2], "topics": ["Create", "Revise"]}, 60),
}


def other_questions() -> Iterator[tuple[str, Composed, dict[str, Json], int]]:
    for name, (asked, blocks) in STORE.items():
        yield name, SQL(ledger_sql.queries()[name].decode()).format(), asked, blocks
    for name, (asked, blocks) in TIMELINE.items():
        yield name, SQL(sql.queries()[name].decode()).format(), asked, blocks


# --- How it is found out ---


@contextmanager
def a_million(postgres_url: str, template: str) -> Iterator[Connection]:
    """Fill a database without its indexes, make them then, and read it as an auditor."""
    with temporary_database(postgres_url, template) as url:
        install(url)
        with psycopg.connect(url, autocommit=True, cursor_factory=ClientCursor) as connection:
            connection.execute("SET maintenance_work_mem = '256MB'")
            with without_indexes(connection):
                connection.execute(FILL)
            connection.execute("VACUUM ANALYZE")
            connection.execute("UPDATE liveops_projections SET position = %s", [ROWS])
            yield connection


@contextmanager
def without_indexes(connection: Connection) -> Iterator[None]:
    keys = connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype IN ('p', 'u') AND conrelid::regclass::text = ANY (%s)",
        [list(TABLES)],
    ).fetchall()
    indexes = connection.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid::regclass::text = ANY (%s)"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        [list(TABLES)],
    ).fetchall()
    for table, name, _ in keys:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}".encode())
    yield
    for table, name, definition in keys:
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}".encode())
    for _, definition in indexes:
        connection.execute(definition.encode())


def explained(
    connection: Connection, name: str, statement: Composed, asked: Mapping[str, Json]
) -> Json:
    role = "liveops_projector" if name.startswith("audit_") else "liveops_reader"
    explain = SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ")
    with connection.transaction(force_rollback=True):
        connection.execute(SQL("SET LOCAL ROLE {}").format(Identifier(role)))
        rows = connection.execute(explain + statement, asked).fetchone()
    assert rows is not None
    return rows[0][0]["Plan"]


def walk(connection: Connection, lever: str) -> list[int]:
    """List the positions of all entries of a lever, as an export reads them."""
    found: list[int] = []
    after: int | None = None
    with psycopg.connect(connection.info.dsn, password=connection.info.password) as reader:
        while not found or after is not None:
            page = list_audit(reader, lever=lever, after=after, limit=2_000)
            found += [entry.position for entry in page.rows]
            after = page.next
    return found


def nodes(plan: Json) -> Iterator[Json]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def walked(plan: Json) -> list[str]:
    """Name the big tables that are read from one end to the other."""
    return [
        node["Relation Name"]
        for node in nodes(plan)
        if node["Node Type"] == "Seq Scan" and node.get("Relation Name") in TABLES
    ]


def blocks_of(plan: Json) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.timeout(240)
def test_what_is_asked_of_the_past_reads_an_index(
    postgres_url: str, template: str, subtests: pytest.Subtests
) -> None:
    with a_million(postgres_url, template) as connection:
        with subtests.test("all entries of a lever, page behind page"):
            assert walk(connection, "LEVER_7") == list(range(ROWS - 33, 0, -60))
        for name, statement, asked, most in (*audit_questions(), *other_questions()):
            with subtests.test(name):
                plan = explained(connection, name, statement, asked)
                told = orjson.dumps(plan, option=orjson.OPT_INDENT_2).decode()
                assert walked(plan) == [], told
                assert blocks_of(plan) <= most, told


def test_every_question_about_the_timeline_is_explained() -> None:
    reading = re.compile(rb"(FROM|JOIN) liveops_timeline")
    asking = {name for name, text in sql.queries().items() if reading.search(text)}
    assert asking <= set(TIMELINE)
