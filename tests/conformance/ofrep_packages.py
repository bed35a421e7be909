"""The npm packages that conformance tests run, installed once outside of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from filelock import FileLock
from platformdirs import user_cache_path

HERE = Path(__file__).parent
PINNED = (HERE / "package.json", HERE / "package-lock.json")
SECONDS = 120


def installed_packages() -> Path:
    """Give the folder in which the pinned packages are installed.

    Skips the test where they cannot be had, but fails it where CI says that it is CI.
    """
    digest = sha256(b"".join(file.read_bytes() for file in PINNED)).hexdigest()[:16]
    folder = _cache() / f"npm-{digest}"
    _cache().mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=2 * SECONDS):
        if not (folder / "node_modules").exists():
            _install(folder)
    return folder


def _cache() -> Path:
    named = os.environ.get("LIVEOPS_TEST_CACHE")
    return Path(named).absolute() if named else user_cache_path("liveops-ledger-tests")


def _install(folder: Path) -> None:
    """Install beside the folder and move it there whole: it is there or it is not."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        _give_up("Node and npm are not on this machine")
    building = folder.with_suffix(".new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    for file in PINNED:
        shutil.copy(file, building)
    argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        subprocess.run(argv, cwd=building, capture_output=True, timeout=SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        _give_up(f"npm cannot install the packages: {'; '.join(_last_lines(error.stderr))}")
    except subprocess.TimeoutExpired:
        _give_up(f"npm has not installed the packages within {SECONDS} s")
    building.rename(folder)


def _give_up(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must run this test")
    pytest.skip(reason)


def _last_lines(said: bytes) -> Iterator[str]:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    yield from lines[:3]
