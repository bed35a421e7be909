"""The ledger's database on the embedded server, and the login that the programs use.

The superuser only migrates. Everything else works as `liveops_app`, which can append to the
ledger through its one function and write the views, and nothing besides.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

DATABASE = "liveops"
LOGIN = "liveops_app"
GROUPS = ("liveops_writer", "liveops_projector", "liveops_reader")


class Logins(NamedTuple):
    """Two ways into the ledger's database: to migrate it, and to work with it."""

    superuser: str
    application: str


def prepare(server_url: str, home: Path) -> Logins:
    """Make the database and the application's login where they are missing."""
    password = kept_secret(home / "application.password", lambda: secrets.token_hex(24))
    # The wheel's server has no TLS: a PGSSLMODE of the user's that asks for it is not for us.
    with psycopg.connect(server_url, autocommit=True, sslmode="disable") as connection:
        if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", LOGIN):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(LOGIN)))
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(LOGIN), password)
        )
    server = conninfo_to_dict(server_url)
    where = f"{server['host']}:{server['port']}/{DATABASE}?sslmode=disable"
    return Logins(
        f"postgresql://{server['user']}:{server['password']}@{where}",
        f"postgresql://{LOGIN}:{password}@{where}",
    )


def admit(superuser_url: str) -> None:
    """Give the application's login the roles that migrating has made."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        groups = sql.SQL(", ").join(map(sql.Identifier, GROUPS))
        connection.execute(sql.SQL("GRANT {} TO {}").format(groups, sql.Identifier(LOGIN)))


def kept_secret(file: Path, make: Callable[[], str]) -> str:
    """Read a secret from its file, or make it and keep it there for this user alone."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        secret = make()
        write_private(file, secret.encode())
        return secret


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only this user can read, whole or not at all."""
    unfinished = file.with_name(file.name + ".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
    unfinished.replace(file)


def _exists(connection: psycopg.Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode(), (name,)).fetchone() is not None
