"""A view is built anew beside the one that is read, and takes its place in one moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from ledger.errors import LedgerError, LedgerUnavailable
from projections.audit import AuditView
from projections.catalogue import VIEWS, install
from projections.configs import ConfigsView
from projections.rebuild import Rebuild, RebuildForbidden, RebuildUnderWay, rebuild
from projections.views import Progress, View, connect, standings
from tests.integration.patience import eventually
from tests.integration.projecting import (
    all_rows,
    many_configs,
    project,
    random_history,
    record,
    rows,
    running,
    terminate,
    wait_until_up_to_date,
)

AUDIT = AuditView()


@pytest.fixture
def url(database: str) -> str:
    install(database)
    return database


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_rebuilt_table_is_the_live_one_row_for_row(url: str, view: View, seed: int) -> None:
    record(url, random_history(seed).events)
    project(url, batch=7)
    live = all_rows(url)
    done = rebuild(url, view)
    assert done == Progress(view.name, done.head, done.head)
    assert all_rows(url) == live


def test_nothing_of_the_structure_is_lost(url: str) -> None:
    before = structure(url)
    rebuild(url, AUDIT)
    assert structure(url) == before


def structure(url: str) -> list[tuple[str, ...]]:
    """Read indexes, constraints, policies and grants of the view, wherever they are."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT 'index', schemaname, indexdef FROM pg_indexes WHERE tablename = 'liveops_audit'"
            " UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'liveops_audit'::regclass"
            " UNION ALL SELECT 'policy', policyname, roles::text || cmd || qual FROM pg_policies"
            " WHERE tablename = 'liveops_audit'"
            " UNION ALL SELECT 'table', relacl::text, relforcerowsecurity::text FROM pg_class"
            " WHERE relname = 'liveops_audit' ORDER BY 1, 2, 3"
        ).fetchall()


def test_heals_what_was_damaged_or_dropped(url: str) -> None:
    record(url, random_history(3).events)
    project(url)
    whole = all_rows(url)
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("UPDATE liveops_audit SET reason = 'nothing to see' WHERE position < 9")
        superuser.execute("DROP TABLE liveops_configs")
    for view in VIEWS:
        rebuild(url, view)
    assert all_rows(url) == whole


def test_starts_from_an_empty_ledger(url: str) -> None:
    assert rebuild(url, AUDIT).position == 0


def test_shows_progress(url: str) -> None:
    record(url, many_configs(3).events)
    told = list[Progress]()
    rebuild(url, AUDIT, told.append)
    assert [(p.position, p.rebuilding) for p in told] == [(6, True), (6, False)]


# --- Crashes ---


class Crash(Exception):
    """What stands for a crash of the process that rebuilds."""


def test_a_crash_in_the_middle_leaves_the_live_one_and_a_second_try_cleans_up(url: str) -> None:
    record(url, random_history(4).events)
    project(url)
    live = all_rows(url)

    def crash(_: Progress) -> None:
        raise Crash

    with pytest.raises(Crash):
        rebuild(url, AUDIT, crash)
    assert (all_rows(url), leftovers(url)) == (live, sorted(AUDIT.tables))
    rebuild(url, AUDIT)
    assert (all_rows(url), leftovers(url)) == (live, [])


def test_a_lost_connection_leaves_the_live_one(url: str) -> None:
    record(url, random_history(5).events)
    project(url)
    live = all_rows(url)

    def lose_the_connection(_: Progress) -> None:
        terminate(url)

    with pytest.raises(LedgerUnavailable):
        rebuild(url, AUDIT, lose_the_connection)
    assert all_rows(url) == live


def test_a_swap_that_is_cut_off_changes_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record(url, random_history(6).events)
    project(url)
    before = all_rows(url), oid(url)
    move = Rebuild._move_tables

    def move_and_lose_the_connection(building: Rebuild) -> None:
        move(building)
        terminate(url)

    monkeypatch.setattr(Rebuild, "_move_tables", move_and_lose_the_connection)
    with pytest.raises(LedgerUnavailable):
        rebuild(url, AUDIT)
    assert (all_rows(url), oid(url)) == before


def leftovers(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = (
            "SELECT tablename FROM pg_tables WHERE schemaname = 'liveops_rebuild_public' ORDER BY 1"
        )
        return [name for (name,) in connection.execute(query)]


def oid(url: str) -> int:
    with psycopg.connect(url) as connection:
        (found,) = connection.execute("SELECT 'liveops_audit'::regclass::oid").fetchone() or (0,)
        return int(found)


# --- Beside readers, writers and each other ---


def test_readers_see_all_rows_all_the_time(url: str) -> None:
    history = many_configs(60)
    record(url, history.events)
    project(url)
    over = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(counts, url, over) for _ in range(2)]
        before = oid(url)
        for view in (*VIEWS, *VIEWS):
            rebuild(url, view)
        over.set()
        seen = {count for reader in reading for count in reader.result()}
    assert oid(url) != before
    assert seen == {(60, 120)}


def counts(url: str, over: threading.Event) -> set[tuple[int, int]]:
    seen = set()
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute("SET ROLE liveops_reader")
        while not over.is_set():
            (configs,) = connection.execute("SELECT count(*) FROM liveops_configs").fetchone() or ()
            (audit,) = connection.execute("SELECT count(*) FROM liveops_audit").fetchone() or ()
            seen.add((configs, audit))
    return seen


def test_a_long_read_delays_the_swap_but_no_other_reader(url: str) -> None:
    record(url, many_configs(3).events)
    project(url)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as long_reader:
        long_reader.execute("SELECT count(*) FROM liveops_audit")
        done = pool.submit(rebuild, url, AUDIT)
        eventually(lambda: waiting(url) > 0)
        with psycopg.connect(url, options="-c statement_timeout=5s") as reader:
            assert reader.execute("SELECT count(*) FROM liveops_audit").fetchone() == (6,)
        assert not done.done()
        long_reader.rollback()
        assert done.result(20).position == 6


def waiting(url: str) -> int:
    with psycopg.connect(url) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM pg_locks"
            " WHERE NOT granted AND relation = 'liveops_audit'::regclass"
        ).fetchone() or (0,)
        return int(count)


def test_the_runner_goes_on_meanwhile(url: str) -> None:
    history = random_history(7)
    half = len(history.events) // 2
    record(url, history.events[:half])
    with running(url):
        wait_until_up_to_date(url)
        record(url, history.events[half:])
        for view in (*VIEWS, *VIEWS):
            rebuild(url, view)
        wait_until_up_to_date(url)
    swapped = all_rows(url)
    for view in VIEWS:
        rebuild(url, view)
    assert all_rows(url) == swapped
    assert len(rows(url, "liveops_audit")) == len(history.events)


def test_what_is_recorded_while_it_is_built_is_in_it(url: str) -> None:
    history = many_configs(4)
    record(url, history.events[:4])
    connection = connect(url)
    building = Rebuild(connection, AUDIT)
    assert building.step()
    record(url, history.events[4:])
    assert building.swap()
    assert standings(connection)["liveops_audit"].position == len(history.events)
    connection.close()


def test_one_at_a_time_for_each_view(url: str) -> None:
    connection = connect(url)
    first = Rebuild(connection, AUDIT)
    with pytest.raises(RebuildUnderWay):
        rebuild(url, AUDIT)
    rebuild(url, ConfigsView())
    assert first.swap()
    rebuild(url, AUDIT)
    connection.close()


def test_what_depends_on_the_table_is_not_dropped_with_it(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("CREATE VIEW report AS SELECT count(*) FROM liveops_audit")
        with pytest.raises(LedgerError, match="view report depends"):
            rebuild(url, AUDIT)
        assert superuser.execute("SELECT * FROM report").fetchone() == (0,)


# --- Who may ---


@contextmanager
def login(url: str, *roles: str) -> Iterator[str]:
    """Make a login that is a member of some roles; yields its URL."""
    name = f"{urlsplit(url).path.strip('/')}_login"
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute(SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(Identifier(name)))
        try:
            for role in roles:
                grant = SQL("GRANT {} TO {}").format(Identifier(role), Identifier(name))
                superuser.execute(grant)
            host = urlsplit(url).netloc.rpartition("@")[2]
            yield urlsplit(url)._replace(netloc=f"{name}:x@{host}").geturl()
        finally:
            superuser.execute(SQL("DROP ROLE {}").format(Identifier(name)))


def test_the_projector_alone_may_follow_but_not_rebuild(url: str) -> None:
    record(url, many_configs(2).events)
    with login(url, "liveops_projector") as projector:
        with running(projector):
            wait_until_up_to_date(url)
        with pytest.raises(RebuildForbidden, match="liveops_owner"):
            rebuild(projector, AUDIT)


def test_whoever_may_become_both_may_rebuild(url: str) -> None:
    record(url, many_configs(2).events)
    with login(url, "liveops_projector", "liveops_owner") as operator:
        assert rebuild(operator, AUDIT).position == 4
