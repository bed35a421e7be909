"""Fixtures of the tests that need a broker. It starts in milliseconds: every test has its own."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from commands.embedded.broker import EmbeddedBroker
from ledger.store import LedgerStore
from tests.integration.publishing import Operator, Published, Publishing

# The client tells of every attempt to connect; what a failed test has to tell drowns in it.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


@pytest.fixture(autouse=True)
def sockets_left_to_the_collector() -> Iterator[None]:
    """kafka-python closes no socket whose connection was refused; the collector does, here."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """An embedded broker, for tests that stop it or know its faults."""
    embedded = EmbeddedBroker(tmp_path)
    embedded.start()
    try:
        yield embedded
    finally:
        embedded.stop()


@pytest.fixture
def bootstrap(request: pytest.FixtureRequest) -> str:
    """Where a broker is. LIVEOPS_TEST_KAFKA_BOOTSTRAP names another than the embedded one."""
    given = os.environ.get("LIVEOPS_TEST_KAFKA_BOOTSTRAP")
    if given:
        return given
    embedded: EmbeddedBroker = request.getfixturevalue("broker")
    return embedded.bootstrap


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test has."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def operator(store: LedgerStore) -> Operator:
    """Someone who changes the ledger; it has a catalog already."""
    return Operator(store)


@pytest.fixture
def publishing(database: str, bootstrap: str, prefix: str) -> Iterator[Publishing]:
    """Publishers of the test's ledger, ended with the test."""
    publishers = Publishing(database, bootstrap, prefix)
    try:
        yield publishers
    finally:
        publishers.end()


@pytest.fixture
def topics(bootstrap: str, prefix: str) -> Iterator[Published]:
    """What anybody can read from the topics."""
    with Published(bootstrap, prefix) as published:
        yield published
