"""`liveops up`: what it offers once it serves, how it ends, and how it begins again."""

from __future__ import annotations

import os
import pwd
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

import commands
from commands.embedded.account import Account, can_reach
from commands.embedded.broker import EmbeddedBroker
from commands.embedded.postgres import EmbeddedPostgres
from tests.acceptance.agreement import assert_mirrored, assert_published, read_ledger
from tests.acceptance.running import PARTS, Ready, Up, processes_of, up
from tests.integration.patience import eventually, gone
from tests.integration.publishing import Published

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

DROPS = {
    "name": "Weekend drops",
    "scope": "world",
    "scope_ref": "world.forest_glade",
    "payload": {"DROP_RATE_LEGENDARY_MULTIPLIER": 2.5},
}
OURS = ("api", "projector", "publisher")


def change_something(ready: Ready) -> int:
    """Draft and activate a config; gives the position of the last event."""
    with ready.client() as client:
        made = client.post("/configs", json=DROPS).raise_for_status().json()
        path = f"/configs/{made['config_id']}/activate"
        return int(client.post(path, json={}).raise_for_status().json()["position"])


def await_views(ready: Ready, position: int) -> None:
    with ready.client() as client:
        eventually(
            lambda: all(
                view["position"] == position
                for view in client.get("/status").json()["views"].values()
            )
        )


def assert_complete(ready: Ready, position: int) -> None:
    """Ledger, views and topics are all at a position."""
    ledger = read_ledger(ready.database_url)
    assert len(ledger) == position
    await_views(ready, position)
    with Published(ready.kafka_bootstrap, "liveops") as topics:
        eventually(lambda: len(topics.values()) == position)
        assert_published(topics, ledger)
        assert_mirrored(topics, ledger)


# --- What it offers ---


def test_the_ready_file_is_for_its_user_alone(standing: Up, ready: Ready) -> None:
    assert ready.url.startswith("http://127.0.0.1:")
    assert stat.S_IMODE(standing.ready_file.stat().st_mode) == 0o600
    assert standing.ready_file.read_bytes() == (standing.home / "ready.json").read_bytes()


def test_it_says_how_far_it_is_and_where_everything_is(standing: Up, ready: Ready) -> None:
    said = standing.said()
    assert [name for name in PARTS if f"{name}  ready after" not in said] == []
    assert f"{ready.url}/docs" in said
    assert ready.token in said


def test_the_token_is_an_administrators(ready: Ready) -> None:
    assert change_something(ready) > 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer another"}])
def test_without_the_token_nothing_is_changed(ready: Ready, headers: dict[str, str]) -> None:
    url = f"{ready.url}/api/awf-liveops/configs"
    answer = httpx.post(url, json=DROPS, headers=headers, timeout=30)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("role", [None, "liveops_writer", "liveops_projector", "liveops_reader"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO liveops_events SELECT * FROM liveops_events",
        "UPDATE liveops_events SET topic = 'Forged'",
        "DELETE FROM liveops_events",
        "TRUNCATE liveops_events",
    ],
)
def test_the_programs_login_cannot_change_an_event(
    ready: Ready, role: str | None, statement: str
) -> None:
    with psycopg.connect(ready.database_url) as connection:
        connection.execute("SELECT set_config('role', coalesce(%s, 'none'), false)", (role,))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_nobody_else_on_the_machine_can_read_the_home(standing: Up) -> None:
    open_ones = [
        path
        for path in (standing.home, *standing.home.rglob("*"))
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_ones == []


# --- How it ends, and begins again ---


def test_ctrl_c_leaves_no_process_and_the_next_start_goes_on(home: Path) -> None:
    with up(home) as program:
        ready = program.await_ready()
        position = change_something(ready)
        assert len(processes_of(home)) > len(PARTS)
        assert program.interrupt() == 0
        assert processes_of(home) == []
        assert not (home / "ready.json").exists()
        program.start()
        after = program.await_ready()
        assert after.token == ready.token
        assert_complete(after, position)
        assert change_something(after) == position + 2


def test_after_its_own_kill_9_nothing_of_it_is_in_the_way(home: Path) -> None:
    with up(home) as program:
        ready = program.await_ready()
        position = change_something(ready)
        before = {name: program.part(name) for name in PARTS}
        program.kill()
        # Our own programs end by themselves; the servers, at the latest, when the next one starts.
        eventually(lambda: all(program.part(name) is None for name in OURS))
        program.start()
        after = program.await_ready()
        assert all(process is not None and gone(process.pid) for process in before.values())
        assert after.token == ready.token
        assert_complete(after, position)


def test_two_at_once_do_not_disturb_each_other(ready: Ready, home: Path) -> None:
    with up(home) as program:
        other = program.await_ready()
        assert other.token != ready.token
        before = len(read_ledger(ready.database_url))
        assert change_something(other) == 3
        assert program.interrupt() == 0
    assert len(read_ledger(ready.database_url)) == before
    assert change_something(ready) == before + 2


def test_a_second_one_on_the_same_home_is_refused(standing: Up, ready: Ready, home: Path) -> None:
    home.symlink_to(standing.home)
    second = Up(home)
    assert second.await_end() == 1
    assert f"in use by the process {standing.pid}" in second.said()
    assert not second.ready_file.exists()
    assert change_something(ready) > 1


# --- On given servers, and as another user ---


@pytest.fixture
def given(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Servers that somebody else runs."""
    postgres = EmbeddedPostgres(tmp_path / "given", settings={"fsync": "off"})
    broker = EmbeddedBroker(tmp_path / "given")
    try:
        postgres.start()
        broker.start()
        yield {
            "LIVEOPS_DATABASE_URL": f"{postgres.url}?sslmode=disable",
            "LIVEOPS_KAFKA_BOOTSTRAP": broker.bootstrap,
        }
        assert postgres.running
        assert broker.running
    finally:
        broker.stop()
        postgres.erase()


def test_given_servers_are_used_and_none_is_started(home: Path, given: dict[str, str]) -> None:
    with up(home, settings=given) as program:
        ready = program.await_ready()
        assert ready.database_url == given["LIVEOPS_DATABASE_URL"]
        assert ready.kafka_bootstrap == given["LIVEOPS_KAFKA_BOOTSTRAP"]
        children = psutil.Process(program.pid).children(recursive=True)
        assert {child.pid for child in children} == pids_of(program, OURS)
        assert_complete(ready, change_something(ready))
        assert program.interrupt() == 0


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("LIVEOPS_DATABASE_URL", "postgresql://127.0.0.1:9/x", "port 9 failed: Connection refused"),
        (
            "LIVEOPS_CATALOG",
            "/nonexistent.json",
            "LIVEOPS_CATALOG=/nonexistent.json cannot be read",
        ),
        ("LIVEOPS_PORT", "high", "LIVEOPS_PORT: Input should be a valid integer"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    home: Path, setting: str, value: str, words: str
) -> None:
    with up(home, settings={"COLUMNS": "200", setting: value}) as program:
        assert program.await_end() in (1, 2)
        assert words in program.said()
        assert "Traceback" not in program.said()
        assert processes_of(home) == []


def pids_of(program: Up, parts: Sequence[str]) -> set[int]:
    return {process.pid for name in parts if (process := program.part(name)) is not None}


@pytest.fixture
def nobody() -> Account:
    """An ordinary user that this test can become."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user; the rest ran as an ordinary one")
    entry = pwd.getpwnam("nobody")
    account = Account(entry.pw_uid, entry.pw_gid)
    for needed in (Path(sys.executable), Path(commands.__file__)):
        if not can_reach(needed, account):
            pytest.skip(f"{needed} is in a folder that is closed to other users")
    return account


def test_an_ordinary_user_runs_all_of_it(nobody: Account) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, nobody.uid, nobody.gid)
        settings = {"HOME": "/nonexistent"}
        with up(Path(folder) / "home", account=nobody, settings=settings) as program:
            ready = program.await_ready()
            parts = [psutil.Process(pid) for pid in pids_of(program, PARTS)]
            assert {part.uids().real for part in parts} == {nobody.uid}
            assert_complete(ready, change_something(ready))
            assert program.interrupt() == 0
            assert processes_of(program.home) == []
