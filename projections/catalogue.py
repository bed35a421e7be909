"""Which views there are, and how their tables come into the database."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from projections import sql
from projections.audit import AuditView
from projections.configs import ConfigsView
from projections.views import (
    OWNER,
    PROJECTOR,
    Connection,
    Schemas,
    View,
    drop_tables,
    stand,
    standings,
    work_as,
)

VIEWS: tuple[View, ...] = (ConfigsView(), AuditView())


def install(url: str, views: Sequence[View] = VIEWS) -> None:
    """Make the tables that are not there yet; run it after `ledger.store.migrate`.

    `url` names a login that may become the ledger's roles and may create a schema. Safe to run by
    several processes at once. A view whose tables are of another version is left as it is: the
    runner builds it anew.
    """
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        connection.execute(sql.queries()["install_lock"])
        schemas = Schemas.of(connection)
        connection.execute(sql.read("schemas.sql"))
        work_as(connection, OWNER, schemas.ledger_path)
        connection.execute(sql.read("install.sql"))
        connection.execute(sql.read("functions.sql"))
        work_as(connection, PROJECTOR, schemas.ledger_path)
        known = standings(connection)
        for view in views:
            if view.name not in known or not _has_tables(connection, view):
                _make(connection, view, schemas)


def _has_tables(connection: Connection, view: View) -> bool:
    parameters = {"tables": list(view.tables)}
    row = connection.execute(sql.queries()["tables_exist"], parameters).fetchone()
    return row is not None and bool(row[0])


def _make(connection: Connection, view: View, schemas: Schemas) -> None:
    work_as(connection, OWNER, schemas.ledger_path)
    drop_tables(connection, view, schemas.ledger)
    connection.execute(view.schema)
    work_as(connection, PROJECTOR, schemas.ledger_path)
    stand(connection, view, None)
