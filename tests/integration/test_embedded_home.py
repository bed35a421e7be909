"""A home belongs to one program at a time, and the next one clears up after it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from commands.embedded.home import Home, HomeTaken
from tests.integration.patience import gone


@contextmanager
def idle_process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def record(folder: Path, pid: int, began: float) -> None:
    entry = {"pid": pid, "began": began, "stop_signal": int(signal.SIGTERM)}
    (folder / "run.json").write_text(json.dumps({"api": entry}))


def test_a_second_program_is_told_who_holds_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.claim()
    with pytest.raises(HomeTaken, match=f"in use by the process {os.getpid()}:"):
        Home(tmp_path).claim()
    home.release()


def test_a_released_home_can_be_claimed_again(tmp_path: Path) -> None:
    for _ in range(3):
        home = Home(tmp_path)
        assert home.claim() == 0
        home.release()
    assert not (tmp_path / "run.json").exists()


def test_a_recorded_process_is_ended(tmp_path: Path) -> None:
    with idle_process() as process:
        record(tmp_path, process.pid, psutil.Process(process.pid).create_time())
        home = Home(tmp_path)
        assert home.claim() == 1
        assert gone(process.pid)
    home.release()


def test_another_process_with_a_recorded_number_is_left_alone(tmp_path: Path) -> None:
    with idle_process() as process:
        record(tmp_path, process.pid, psutil.Process(process.pid).create_time() - 60)
        home = Home(tmp_path)
        assert home.claim() == 0
        assert process.poll() is None
    home.release()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"api": 1}', '{"api": {"pid": 1}}'])
def test_a_record_that_was_cut_off_is_nothing_to_go_by(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    home = Home(tmp_path)
    assert home.claim() == 0
    home.release()


def test_what_it_records_is_closed_to_others_and_goes_with_the_process(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    home.claim()
    with idle_process() as process:
        home.remember("api", process.pid, signal.SIGTERM)
        assert json.loads((tmp_path / "new" / "run.json").read_text())["api"]["pid"] == process.pid
    home.forget("api")
    assert "api" not in json.loads((tmp_path / "new" / "run.json").read_text())
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "run.json").stat().st_mode) == 0o600
    home.release()
