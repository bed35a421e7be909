"""The embedded PostgreSQL as an ordinary user, and what other users of the machine see of it.

The scripts run in a process of their own that gives up root for good after its imports: the
user it becomes may be unable to read this checkout.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.embedded.postgres import EmbeddedPostgres

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to become another user; the rest ran as an ordinary one"
)

BECOME = """
import os, pwd, signal, sys
from pathlib import Path
import psutil, psycopg
from commands.embedded.errors import EmbeddedServerError
from commands.embedded.postgres import EmbeddedPostgres
user = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid); os.chdir("/")
"""

WHOLE_LIFE = """
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
server.start()
with psycopg.connect(server.url) as connection:
    connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
os.kill(server.pid, signal.SIGKILL)
server.start()
with psycopg.connect(server.url) as connection:
    assert connection.execute("SELECT value FROM kept").fetchone() == (42,)
assert psutil.Process(server.pid).uids().real == user.pw_uid
assert not (Path(sys.argv[1]) / "postgres").is_symlink()
server.stop()
"""

TAKEN_NUMBER = """
import subprocess
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
server.start()
killed, lock = server.pid, Path(sys.argv[1]) / "postgres" / "postmaster.pid"
os.kill(killed, signal.SIGKILL)
server.stop()
with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as unrelated:
    lock.write_text(lock.read_text().replace(str(killed), str(unrelated.pid), 1))
    server.start()
    assert unrelated.poll() is None
    unrelated.kill()
server.stop()
"""

LOOK_AROUND = """
def refused(error, action, *arguments, **options):
    try:
        action(*arguments, **options)
    except error:
        return True
for name in ("postgres.password", "postgres/PG_VERSION", "logs/postgres.log"):
    assert refused(PermissionError, (Path(sys.argv[1]) / name).read_text), name
assert refused(PermissionError, os.listdir, sys.argv[2])
assert refused(psycopg.OperationalError, psycopg.connect, sys.argv[3], passfile="/x")
assert refused(PermissionError, os.kill, int(sys.argv[4]), 0)
assert refused(EmbeddedServerError, EmbeddedPostgres(Path(sys.argv[1])).start)
"""


def run_as_nobody(script: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BECOME + script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def nobodys_folder() -> Iterator[Path]:
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield Path(folder)


def test_an_ordinary_user_starts_it_and_starts_it_again_after_kill_9(
    nobodys_folder: Path,
) -> None:
    run_as_nobody(WHOLE_LIFE, str(nobodys_folder / "home"))


def test_a_lock_file_whose_number_went_to_another_program_of_the_same_user(
    nobodys_folder: Path,
) -> None:
    # Root sees less of this: PostgreSQL itself passes over processes it may not signal.
    run_as_nobody(TAKEN_NUMBER, str(nobodys_folder / "home"))


def test_root_takes_over_the_data_of_an_ordinary_user(nobodys_folder: Path) -> None:
    home = nobodys_folder / "home"
    run_as_nobody(WHOLE_LIFE, str(home))
    server = EmbeddedPostgres(home)
    server.start()
    server.stop()
    assert (home / "postgres").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_another_user_of_the_machine_gets_nothing(mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(mode)
        server = EmbeddedPostgres(home, settings={"fsync": "off"})
        server.start()
        try:
            data = str((home / "postgres").resolve())
            without_password = server.url.replace(server.url.split(":")[2].split("@")[0], "")
            run_as_nobody(LOOK_AROUND, folder, data, without_password, str(server.pid))
        finally:
            server.erase()
