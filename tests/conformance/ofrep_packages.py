"""The npm packages that conformance tests run, installed once outside of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from filelock import FileLock
from platformdirs import user_cache_path

HERE = Path(__file__).parent
PINNED = (HERE / "package.json", HERE / "package-lock.json")
SECONDS = 120

_NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
_RETRIES = ("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")


class CannotBeInstalledError(Exception):
    """The packages cannot be had here; says why."""


def installed_packages() -> Path:
    """Give the folder in which the pinned packages are installed.

    Skips the test where they cannot be had, but fails it where CI says that it is CI.
    """
    folder, problem = _attempt()
    if problem is None:
        return folder
    if os.environ.get("CI"):
        pytest.fail(f"{problem}, and CI must run this test")
    pytest.skip(problem)


@cache
def _attempt() -> tuple[Path, str | None]:
    digest = sha256(b"".join(file.read_bytes() for file in PINNED)).hexdigest()[:16]
    folder = _cache() / f"npm-{digest}"
    try:
        if shutil.which("npm") is None or shutil.which("node") is None:
            raise CannotBeInstalledError("Node and npm are not on this machine")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=2 * SECONDS):
            if not folder.exists():
                _install(folder)
    except CannotBeInstalledError as error:
        return folder, str(error)
    return folder, None


def _cache() -> Path:
    named = os.environ.get("LIVEOPS_TEST_CACHE")
    return Path(named).absolute() if named else user_cache_path("liveops-ledger-tests")


def _install(folder: Path) -> None:
    """Install beside the folder and move it there whole: it is there or it is not."""
    building = folder.with_suffix(".new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    for file in PINNED:
        shutil.copy(file, building)
    argv = [*_NPM, *_RETRIES]
    try:
        subprocess.run(argv, cwd=building, capture_output=True, timeout=SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        raise CannotBeInstalledError(f"npm cannot: {_reason(error.stderr)}") from error
    except subprocess.TimeoutExpired as error:
        raise CannotBeInstalledError(f"npm has not come to an end in {SECONDS} s") from error
    building.rename(folder)


def _reason(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
    return "; ".join([line for line in lines if line.startswith("npm error")][:3])
