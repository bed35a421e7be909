"""Lists are read from an index, however many configs and entries there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from psycopg import ClientCursor

from ledger.clock import format_instant
from ledger.events import EXPERIMENTS_STREAM
from ledger.intents import ArchiveConfig
from projections import sql
from projections.catalogue import install
from projections.configs import configs_statement
from projections.trail import audit_statement
from tests.conftest import temporary_database
from tests.integration.projecting import LEVERS, SECOND, many_configs, project, record
from tests.unit.history import ACTOR, START

Json = Any
CONFIGS = 6000
CONFIG = UUID(int=17)


@pytest.fixture(scope="module")
def connection(postgres_url: str, template: str) -> Iterator[psycopg.Connection]:
    with temporary_database(postgres_url, template) as url:
        install(url)
        history = many_configs(CONFIGS)
        for n in range(1, 100):
            history.do(ArchiveConfig(UUID(int=n)))
        record(url, history.events)
        project(url, batch=5000)
        with psycopg.connect(url, autocommit=True, cursor_factory=ClientCursor) as connected:
            connected.execute("VACUUM ANALYZE liveops_configs")
            connected.execute("VACUUM ANALYZE liveops_audit")
            connected.execute("VACUUM ANALYZE liveops_audit_levers")
            connected.execute("VACUUM ANALYZE liveops_events")
            connected.execute("SET ROLE liveops_reader")
            yield connected


def plan(connection: psycopg.Connection, statement: Any, parameters: dict[str, Json]) -> str:
    explained = connection.execute(psycopg.sql.SQL("EXPLAIN ") + statement, parameters).fetchall()
    return "\n".join(line for (line,) in explained)


def stamped(seconds: int) -> str:
    return format_instant(START + seconds * SECOND)


AUDIT: list[tuple[str, dict[str, Json]]] = [
    ("position", {}),
    ("position", {"after": 900}),
    ("actor", {"actor": UUID(int=5)}),
    ("action", {"action": "freeze"}),
    ("action", {"action": "activate"}),
    ("scope", {"scope": "session"}),
    ("ref", {"scope": "world", "scope_ref": "w7"}),
    ("config", {"config_id": CONFIG}),
    ("config", {"config_id": CONFIG, "since": stamped(10), "until": stamped(5000)}),
    ("levers", {"lever": "NEVER_SET"}),
    ("levers", {"lever": LEVERS[1]}),
    ("position", {"since": stamped(6000), "until": stamped(6010)}),
]


@pytest.mark.parametrize(("index", "filters"), AUDIT)
@pytest.mark.parametrize("oldest_first", [False, True])
def test_the_trail_is_read_from(
    connection: psycopg.Connection, index: str, filters: dict[str, Json], oldest_first: bool
) -> None:
    statement = audit_statement(filters, oldest_first=oldest_first)
    text = plan(connection, statement, {**filters, "limit": 51})
    assert f"liveops_audit_{index}" in text, text
    assert "Seq Scan" not in text


@pytest.mark.parametrize(
    "filters", [{}, {"action": "activate"}, {"scope": "session"}, {"lever": LEVERS[1]}]
)
def test_a_page_of_a_long_list_is_not_sorted(
    connection: psycopg.Connection, filters: dict[str, Json]
) -> None:
    text = plan(connection, audit_statement(filters), {**filters, "limit": 51})
    # What an entry tells of the few configs behind an experiment is sorted, the trail is not.
    assert set(re.findall(r"Sort Key: (\w+)\.", text)) <= {"x"}
    assert text.count("Sort Key") == ("lever" in filters)


def test_a_span_of_time_ends_the_search_at_both_sides(connection: psycopg.Connection) -> None:
    filters = {"actor": ACTOR, "since": stamped(6000), "until": stamped(6010)}
    text = plan(connection, audit_statement(filters), {**filters, "limit": 51})
    assert text.count("liveops_audit_ts_key") == 2
    assert "Seq Scan" not in text


def test_what_stood_before_an_experiment_is_looked_for_in_its_stream(
    connection: psycopg.Connection,
) -> None:
    before = {"stream": EXPERIMENTS_STREAM, "before": 2 * CONFIGS, "named": b'"experiment_id":"x"'}
    statement = psycopg.sql.SQL(sql.queries()["audit_before_experiment"].decode())
    text = plan(connection, statement, before)
    assert re.search(r"Index Scan Backward using liveops_events_originator\w*", text), text


CONFIG_LISTS: list[tuple[str, dict[str, Json]]] = [
    ("created_position_key", {}),
    ("created_position_key", {"after": 900}),
    ("status", {"status": "archived"}),
    ("place", {"scope": "world", "scope_ref": "w7"}),
    ("pkey", {"config_id": CONFIG}),
    ("levers", {"lever": ["NEVER_SET"]}),
]


@pytest.mark.parametrize(("index", "filters"), CONFIG_LISTS)
def test_configs_are_read_from(
    connection: psycopg.Connection, index: str, filters: dict[str, Json]
) -> None:
    text = plan(connection, configs_statement(filters), {**filters, "at": None, "limit": 51})
    assert f"liveops_configs_{index}" in text, text
    assert "Seq Scan on liveops_configs" not in text


@pytest.mark.parametrize("filters", [{}, {"status": "archived"}, {"status": "active"}])
def test_a_page_of_many_configs_is_not_sorted(
    connection: psycopg.Connection, filters: dict[str, Json]
) -> None:
    text = plan(connection, configs_statement(filters), {**filters, "at": None, "limit": 51})
    assert "Sort" not in text


@pytest.mark.parametrize("status", ["active", "expired"])
def test_a_page_of_a_status_by_the_clock_is_quick(
    connection: psycopg.Connection, status: str
) -> None:
    filters = {"status": status}
    statement = psycopg.sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + configs_statement(filters)
    ((explained,),) = connection.execute(statement, {**filters, "at": None, "limit": 51})
    assert explained[0]["Execution Time"] < 500, orjson.dumps(explained)
