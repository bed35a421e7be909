"""Fixtures of the tests that run the whole program, each in a home of its own."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Ready, Up, up

# The client tells of every attempt to connect; what a failed test has to tell drowns in it.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


@pytest.fixture(autouse=True)
def sockets_left_to_the_collector() -> Iterator[None]:
    """kafka-python closes no socket whose connection was refused; the collector does, here."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A program that many tests use, one after the other; none of them ends it."""
    with up(tmp_path_factory.mktemp("standing") / "home") as program:
        program.await_ready()
        yield program


@pytest.fixture
def ready(standing: Up) -> Ready:
    """Where the program that stands for all tests serves."""
    return standing.await_ready()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that nobody has used."""
    return tmp_path / "home"
