"""The runner: one leads, the others stand by, and whatever is cut off goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast
from uuid import UUID

import psycopg
import pytest

from ledger.content import Content
from ledger.events import Recorded
from ledger.intents import CreateConfig, ReviseConfig
from ledger.scopes import EVERYWHERE
from projections import sql, views
from projections.audit import AuditView
from projections.catalogue import install, upgrade
from projections.configs import ConfigsView
from projections.views import Cursor, Progress, View, close, connect, standings
from tests.conftest import temporary_database
from tests.integration.cutting import cut_after
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
    up_to_date,
    wait_until_up_to_date,
)
from tests.unit.history import History


@pytest.fixture
def url(database: str) -> str:
    install(database)
    return database


@pytest.fixture
def expected(postgres_url: str, template: str) -> Iterator[str]:
    """A database beside, to project the same events in without any trouble."""
    with temporary_database(postgres_url, template) as database:
        install(database)
        yield database


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.Feed.__init__, "__defaults__", (3,))


def leaders(url: str) -> int:
    with psycopg.connect(url) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid = 1280332362 AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone() or (0,)
        return int(count)


def sessions(url: str) -> int:
    with psycopg.connect(url) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'liveops projector'"
            " AND datname = current_database()"
        ).fetchone() or (0,)
        return int(count)


# --- Following ---


def test_follows_what_is_appended(url: str, expected: str) -> None:
    history = random_history(1)
    with running(url):
        for n in range(0, len(history.events), 40):
            record(url, history.events[n : n + 40])
            wait_until_up_to_date(url)
    record(expected, history.events)
    project(expected)
    assert all_rows(url) == all_rows(expected)


def test_goes_on_without_notifications(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast("dict[str, bytes]", sql.queries()), "listen", b"SELECT")
    with running(url):
        eventually(lambda: leaders(url) == 1)
        record(url, random_history(2).events)
        wait_until_up_to_date(url)


def test_tells_how_far_it_is(url: str, small_batches: None) -> None:
    history, told = many_configs(10), list[Progress]()
    record(url, history.events)
    with running(url, on_progress=told.append):
        wait_until_up_to_date(url)
    positions = [progress.position for progress in told if progress.view == "liveops_audit"]
    assert positions == [3, 6, 9, 12, 15, 18, 20]
    assert {progress.head for progress in told} == {20}


def test_stops_in_a_moment(url: str) -> None:
    with running(url) as stop:
        eventually(lambda: leaders(url) == 1)
        stop.set()
        eventually(lambda: sessions(url) == 0, seconds=3)


# --- Being cut off ---


def test_goes_on_after_every_lost_connection(url: str, expected: str, small_batches: None) -> None:
    history = random_history(3)
    with running(url):
        for n in range(0, len(history.events), 20):
            record(url, history.events[n : n + 20])
            eventually(lambda: terminate(url) > 0)
        wait_until_up_to_date(url)
    record(expected, history.events)
    project(expected)
    assert all_rows(url) == all_rows(expected)


def test_a_commit_whose_answer_is_lost_is_not_done_twice(url: str) -> None:
    history = random_history(4)
    record(url, history.events)
    with cut_after(url, b"INSERT INTO liveops_projections") as (by_proxy, proxy):
        with running(by_proxy):
            eventually(lambda: proxy.cuts > 0)
        project(url)
    assert len(rows(url, "liveops_audit")) == len(history.events)


class Cut(AuditView):
    """An audit view whose connection is cut after it has written a batch, the first few times."""

    def __init__(self, url: str) -> None:
        self.url, self.cuts = url, 0

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        super().apply(cursor, batch)
        if self.cuts < 3:
            self.cuts += terminate(self.url)


def test_a_connection_cut_before_the_commit_leaves_nothing_behind(url: str) -> None:
    history, view = random_history(5), Cut(url)
    record(url, history.events)
    with running(url, [view]):
        wait_until_up_to_date(url, [view])
    assert view.cuts == 3
    assert len(rows(url, "liveops_audit")) == len(history.events)


def test_tries_for_ever_to_reach_a_database(url: str, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = url.replace(url.rsplit("/", 1)[1], "no_such_database")
    with running(nowhere):
        eventually(lambda: caplog.text.count("the database is away") > 2)


# --- Who leads ---


def test_of_two_runners_one_leads_and_the_other_takes_over(url: str) -> None:
    with running(url) as first:
        eventually(lambda: leaders(url) == 1)
        with running(url):
            eventually(lambda: sessions(url) == 2)
            assert leaders(url) == 1
            first.set()
            eventually(lambda: sessions(url) == 1 and leaders(url) == 1)
            record(url, random_history(6).events)
            wait_until_up_to_date(url)


def test_a_leader_that_is_frozen_loses_the_lead(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = sql.queries()["session"].replace(b"60s", b"300ms")
    monkeypatch.setitem(cast("dict[str, bytes]", sql.queries()), "session", session)
    frozen = connect(url)
    frozen.execute(sql.queries()["lead"])
    monkeypatch.undo()
    record(url, random_history(6).events)
    with running(url):
        wait_until_up_to_date(url)
    close(frozen)


def test_two_runners_that_are_cut_off_at_random_write_each_row_once(
    url: str, expected: str, small_batches: None
) -> None:
    history = random_history(7)
    with running(url), running(url):
        for n in range(0, len(history.events), 10):
            record(url, history.events[n : n + 10])
            terminate(url)
            assert leaders(url) <= 1
        wait_until_up_to_date(url)
    record(expected, history.events)
    project(expected)
    assert all_rows(url) == all_rows(expected)


# --- Views that cannot go on ---


class Stumbling(AuditView):
    """An audit view that fails after it has written a batch, as often as told."""

    def __init__(self, times: int) -> None:
        self.times = times

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        super().apply(cursor, batch)
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError("stumbled")


def test_a_view_that_fails_keeps_rows_and_position_together(url: str) -> None:
    record(url, random_history(8).events)
    told = list[Progress]()
    with running(url, [Stumbling(10**6), ConfigsView()], told.append):
        wait_until_up_to_date(url, [ConfigsView()])
        eventually(lambda: any(progress.error for progress in told))
    assert rows(url, "liveops_audit") == []
    assert not up_to_date(url)
    assert {progress.view for progress in told if progress.error} == {"liveops_audit"}


def test_a_view_that_recovers_goes_on(url: str) -> None:
    history = random_history(9)
    record(url, history.events)
    with running(url, [Stumbling(2)]):
        wait_until_up_to_date(url, [AuditView()])
    assert len(rows(url, "liveops_audit")) == len(history.events)


def test_a_view_that_is_not_installed_is_told(database: str) -> None:
    install(database, [ConfigsView()])
    record(database, random_history(10).events)
    told = list[Progress]()
    with running(database, on_progress=told.append):
        eventually(lambda: any(p.error and "install" in p.error for p in told))
        wait_until_up_to_date(database, [ConfigsView()])


def test_a_text_that_postgres_cannot_hold_stops_nothing(url: str) -> None:
    history = History()
    content = Content("nul \0 here", EVERYWHERE, {}, labels={"a\0": "\\u0000 \0"})
    history.do(CreateConfig(UUID(int=1), content), reason="\0")
    record(url, history.events)
    with running(url):
        wait_until_up_to_date(url)
    assert "\ufffd" in rows(url, "liveops_configs")[0]
    assert r"\\\\u0000 " in rows(url, "liveops_configs")[0]


# --- New and changed views ---


def test_a_new_view_catches_up_alone(database: str) -> None:
    history = random_history(11)
    install(database, [ConfigsView()])
    record(database, history.events)
    with running(database, [ConfigsView()]):
        wait_until_up_to_date(database, [ConfigsView()])
    install(database)
    told = list[Progress]()
    with running(database, on_progress=told.append):
        wait_until_up_to_date(database)
    assert [p.position for p in told if p.view == "liveops_configs"] == [len(history.events)]


class Changed(AuditView):
    """The next version of the audit view, with a column more."""

    version = AuditView.version + 1
    schema = AuditView.schema + b"ALTER TABLE liveops_audit ADD COLUMN note text;"


def test_a_changed_view_is_built_anew_while_the_others_go_on(url: str) -> None:
    history, told = random_history(12), list[Progress]()
    record(url, history.events)
    project(url)
    changed: list[View] = [ConfigsView(), Changed()]
    with running(url, changed, told.append):
        eventually(lambda: version(url, "liveops_audit") == Changed.version)
        record(url, [_next(history)])
        wait_until_up_to_date(url, changed)
    assert any(progress.rebuilding for progress in told)
    assert len(rows(url, "liveops_audit")) == len(history.events)


def test_installing_a_newer_program_leaves_the_table_that_is_read(url: str) -> None:
    record(url, random_history(12).events)
    project(url)
    before = rows(url, "liveops_audit")
    install(url, [WithAnotherTable()])
    assert rows(url, "liveops_audit") == before


class WithAnotherTable(AuditView):
    """The next version of the audit view, with a table more."""

    version = AuditView.version + 1
    tables: tuple[str, ...] = (*AuditView.tables, "liveops_notes")


def test_a_changed_view_is_built_anew_when_asked_to_upgrade(url: str) -> None:
    record(url, random_history(12).events)
    project(url)
    before = rows(url, "liveops_configs")
    changed: list[View] = [ConfigsView(), Changed()]
    assert upgrade(url, changed) == ["liveops_audit"]
    assert (version(url, "liveops_audit"), upgrade(url, changed)) == (Changed.version, [])
    assert rows(url, "liveops_configs") == before
    assert up_to_date(url)


def test_a_view_of_a_newer_program_is_left_alone(url: str) -> None:
    history = random_history(12)
    record(url, history.events)
    with running(url, [Changed()]):
        eventually(lambda: version(url, "liveops_audit") == Changed.version)
    record(url, [_next(history)])
    told = list[Progress]()
    with running(url, on_progress=told.append):
        eventually(lambda: any(p.error and "newer" in p.error for p in told))
        wait_until_up_to_date(url, [ConfigsView()])
    assert len(rows(url, "liveops_audit")) == len(history.events) - 1


def _next(history: History) -> Recorded:
    config = next(c for c in history.state.configs.values() if not c.archived)
    return history.do(ReviseConfig(config.config_id, config.latest.content))


def version(url: str, name: str) -> int:
    with psycopg.connect(url) as connection:
        return standings(connection)[name].version
