"""The supervisor with real processes: restarts, hooks, stops, and what survives its own death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import psutil
import psycopg
import pytest

from commands.embedded.broker import EmbeddedBroker
from commands.embedded.errors import EmbeddedServerError
from commands.embedded.home import HomeTaken
from commands.embedded.part import Part
from commands.embedded.postgres import EmbeddedPostgres
from commands.supervisor import Backoff, Child, Exit, Supervisor
from tests.integration.patience import eventually, gone

WAITING = "import signal; signal.pause()"
OURS = f"from commands.supervisor import exit_with_parent as e; e(); print('up'); {WAITING}"
QUICK = Backoff(first=0.01, longest=0.1)


class Said:
    """What a supervisor reported, and the parts' names in the order of a certain report."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def __call__(self, name: str, text: str) -> None:
        self.all.append((name, text))

    def names(self, beginning: str) -> list[str]:
        return [name for name, text in self.all if text.startswith(beginning)]


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def supervisor(tmp_path: Path, said: Said) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, report=said) as running:
        yield running


def idle(home: Path, name: str = "idle", ready: Callable[[], bool] = lambda: True) -> Child:
    return Child(name, [sys.executable, "-c", WAITING], home=home, ready=ready)


def kill_and_await_another(part: Part) -> None:
    pid = part.pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: part.running and part.pid != pid)


def test_a_killed_child_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    child = supervisor.start(idle(tmp_path), backoff=QUICK)
    for _ in range(5):
        kill_and_await_another(child)


def test_a_child_that_ends_by_itself_is_started_again(
    supervisor: Supervisor, tmp_path: Path, said: Said
) -> None:
    supervisor.start(Child("short", ["true"], home=tmp_path), backoff=QUICK)
    eventually(lambda: len(said.names("ended with exit code 0")) >= 3)


def test_a_hook_restarts_another_part_before_its_own(
    supervisor: Supervisor, tmp_path: Path, said: Said
) -> None:
    ends: list[Exit] = []

    def broker_too(ended: Exit) -> None:
        ends.append(ended)
        supervisor.restart("broker")

    broker = supervisor.start(idle(tmp_path, "broker"))
    publisher = supervisor.start(idle(tmp_path, "publisher"), backoff=QUICK, on_exit=[broker_too])
    before, killed = broker.pid, publisher.pid
    kill_and_await_another(publisher)
    assert ends == [Exit("publisher", killed, -signal.SIGKILL)]
    assert broker.pid != before
    assert said.names("starting") == ["broker", "publisher", "broker", "publisher"]


def test_hooks_that_restart_each_others_parts_do_not_block(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    one = supervisor.start(
        idle(tmp_path, "one"), backoff=QUICK, on_exit=[lambda _: supervisor.restart("other")]
    )
    other = supervisor.start(
        idle(tmp_path, "other"), backoff=QUICK, on_exit=[lambda _: supervisor.restart("one")]
    )
    first = {one.pid, other.pid}
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: one.running and other.running and not first & {one.pid, other.pid})


def test_a_hook_that_fails_does_not_end_the_keeping(
    supervisor: Supervisor, tmp_path: Path, said: Said
) -> None:
    def fail(_ended: Exit) -> None:
        raise LookupError("no such luck")

    child = supervisor.start(idle(tmp_path), backoff=QUICK, on_exit=[fail])
    kill_and_await_another(child)
    assert ("idle", "after its end: no such luck") in said.all


def test_a_part_that_waits_for_another_does_not_keep_it_down(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    base = supervisor.start(idle(tmp_path, "base"), backoff=Backoff(first=0.5))
    killed = base.pid
    on_top = idle(tmp_path, "on-top", ready=lambda: base.running)
    supervisor.start(on_top, backoff=QUICK)
    os.kill(base.pid, signal.SIGKILL)
    kill_and_await_another(on_top)
    eventually(lambda: base.running)
    assert base.pid != killed


def test_parts_stop_in_reverse_order(tmp_path: Path, said: Said) -> None:
    with Supervisor(tmp_path, report=said) as supervisor:
        parts = [supervisor.start(idle(tmp_path, name)) for name in ("one", "two", "three")]
    assert said.names("stopping") == ["three", "two", "one"]
    assert all(gone(part.pid) for part in parts)
    assert not (tmp_path / "run.json").exists()


class Stubborn(Child):
    farewell: ClassVar = ((signal.SIGTERM, 0.2),)


def test_a_child_that_ignores_the_stop_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf');" + WAITING
    with Supervisor(tmp_path) as supervisor:
        child = Stubborn("deaf", [sys.executable, "-c", deaf], home=tmp_path)
        supervisor.start(child)
        eventually(lambda: child.said() == "deaf")
    assert child.exit_code == -signal.SIGKILL


def test_a_first_start_that_fails_shows_the_childs_last_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    child = Child("bad", ["sh", "-c", "echo no such port; exit 3"], home=tmp_path, ready=bool)
    with pytest.raises(EmbeddedServerError, match=r"bad did not start.*\n +no such port"):
        supervisor.start(child)


def test_a_first_start_is_given_up_after_its_time(supervisor: Supervisor, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WAITING]
    child = Child("slow", argv, home=tmp_path, ready=bool, ready_seconds=0.2)
    with pytest.raises(EmbeddedServerError, match="slow did not start"):
        supervisor.start(child)
    assert gone(child.pid)


def test_a_stop_during_a_start_ends_it_at_once(tmp_path: Path, said: Said) -> None:
    began = time.monotonic()
    with Supervisor(tmp_path, report=said) as supervisor:
        threading.Timer(0.2, supervisor.request_stop).start()
        supervisor.start(idle(tmp_path, ready=bool))
        pytest.fail("the start was not left")
    assert time.monotonic() - began < 10
    assert said.names("ready") == []


def test_a_program_asked_to_stop_during_a_backoff_stops_at_once(tmp_path: Path, said: Said) -> None:
    began = time.monotonic()
    with Supervisor(tmp_path, report=said) as supervisor:
        slow = Backoff(first=60.0, longest=60.0)
        supervisor.start(Child("short", ["true"], home=tmp_path), backoff=slow)
        eventually(lambda: said.names("ended") != [])
        supervisor.request_stop()
        supervisor.run()
    assert time.monotonic() - began < 30


def test_opening_and_closing_leaks_neither_files_nor_threads(tmp_path: Path) -> None:
    def open_and_close() -> tuple[int, int]:
        with Supervisor(tmp_path) as supervisor:
            supervisor.start(idle(tmp_path))
        return psutil.Process().num_fds(), threading.active_count()

    assert len({open_and_close() for _ in range(10)}) == 1


def test_the_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with Supervisor(tmp_path):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_two_programs_on_one_home(supervisor: Supervisor, tmp_path: Path) -> None:
    assert supervisor
    with pytest.raises(HomeTaken, match=str(os.getpid())), Supervisor(tmp_path):
        pytest.fail("entered a home that is taken")


# Whole programs: a supervisor in a process of its own, which can be killed.

PROGRAM = f"""
import signal
import sys
from pathlib import Path
from commands.supervisor import Child, Supervisor
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # or a suite under nohup would hand its own on
home = Path(sys.argv[1])
with Supervisor(home) as supervisor:
    for name, script in (("ours", {OURS!r}), ("foreign", {WAITING!r})):
        supervisor.start(Child(name, [sys.executable, "-c", script], home=home))
    print("serving", flush=True)
    supervisor.run()
print("bye", flush=True)
"""


class Program:
    """A supervisor in another process, with a child of ours and one that knows nothing of us."""

    def __init__(self, home: Path) -> None:
        self.home = home
        argv = [sys.executable, "-c", PROGRAM, str(home)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "serving\n"
        eventually(lambda: "up" in (home / "logs" / "ours.log").read_text())
        record = json.loads((home / "run.json").read_text())
        self.ours, self.foreign = record["ours"]["pid"], record["foreign"]["pid"]

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    running = Program(tmp_path / "program")
    yield running
    running.process.kill()
    running.process.communicate()
    with Supervisor(running.home):
        pass
    assert gone(running.ours)
    assert gone(running.foreign)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_cleanly(program: Program, number: signal.Signals) -> None:
    assert program.end(number) == (0, "bye\n")
    assert gone(program.ours)
    assert gone(program.foreign)


def test_children_of_ours_end_when_the_supervisor_is_killed(program: Program) -> None:
    assert program.end(signal.SIGKILL) == (-signal.SIGKILL, "")
    eventually(lambda: gone(program.ours))
    assert not gone(program.foreign)


def test_the_next_start_in_this_home_ends_what_is_left(
    program: Program, tmp_path: Path, said: Said
) -> None:
    program.end(signal.SIGKILL)
    with Supervisor(tmp_path / "elsewhere"):
        assert not gone(program.foreign)
    with Supervisor(program.home, report=said):
        assert gone(program.foreign)
    assert said.names("ended") == ["home"]


def test_two_programs_in_two_homes(program: Program, tmp_path: Path) -> None:
    other = Program(tmp_path / "other")
    assert other.end(signal.SIGTERM) == (0, "bye\n")
    assert not gone(program.ours)
    assert not gone(program.foreign)


# The real servers under it.


def test_postgres_comes_back_at_the_same_place_with_the_same_rows(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        server = EmbeddedPostgres(tmp_path, settings={"fsync": "off"})
        url = supervisor.start(server, backoff=QUICK).url
        for round_ in range(3):
            with closing(psycopg.connect(url, autocommit=True)) as connection:
                connection.execute(f"CREATE TABLE kept_{round_} ()")
                kill_and_await_another(server)
            eventually(lambda: connects(url))
        with closing(psycopg.connect(url)) as connection:
            tables = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename ~ 'kept'")
            assert tables.fetchone() == (3,)
    server.erase()


def connects(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_the_broker_comes_back_at_the_same_place_with_an_empty_folder(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        broker = supervisor.start(EmbeddedBroker(tmp_path), backoff=QUICK)
        bootstrap, folders = broker.bootstrap, [list((tmp_path / "broker").iterdir())]
        for _ in range(3):
            kill_and_await_another(broker)
            folders.append(list((tmp_path / "broker").iterdir()))
        assert broker.bootstrap == bootstrap
    assert all(old != new for old, new in pairwise(folders))
