"""Shared fixtures: a real Postgres, and in it a migrated database of its own for every test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from commands.embedded.postgres import EmbeddedPostgres
from ledger.store import LedgerStore, migrate

# Nothing in a test survives a power cut, so nothing has to be flushed for one.
_IN_MEMORY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}

_NUMBERS = count(1)


@contextmanager
def temporary_server() -> Iterator[str]:
    """Start a Postgres of its own, yield its superuser's URL, stop and delete it."""
    with tempfile.TemporaryDirectory(prefix="liveops-tests-") as home:
        server = EmbeddedPostgres(Path(home), settings=_IN_MEMORY)
        try:
            server.start()
            yield server.url
        finally:
            server.erase()


@contextmanager
def temporary_database(server_url: str, template: str = "template1") -> Iterator[str]:
    """Make a database, yield its URL, drop it with whatever is still connected to it."""
    name = f"test_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        names = {"name": Identifier(name), "template": Identifier(template)}
        connection.execute(SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The superuser's URL of a server that lives as long as the session.

    Every worker of pytest-xdist has its own. LIVEOPS_TEST_DATABASE_URL names another server.
    """
    given = os.environ.get("LIVEOPS_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with temporary_server() as url:
        yield url


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database that others are copied from; nobody connects to it."""
    with temporary_database(postgres_url) as url:
        migrate(url)
        yield urlsplit(url).path.strip("/")


@pytest.fixture
def new_database(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Make empty databases that are dropped with the test."""
    with ExitStack() as databases:
        yield lambda: databases.enter_context(temporary_database(postgres_url))


@pytest.fixture
def database(postgres_url: str, template: str) -> Iterator[str]:
    """The superuser's URL of a fresh, migrated database."""
    with temporary_database(postgres_url, template) as url:
        yield url


@pytest.fixture
def store(database: str) -> Iterator[LedgerStore]:
    """A store on a fresh database, working as liveops_writer."""
    with LedgerStore(database) as opened:
        yield opened
