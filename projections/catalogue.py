"""Which views there are, and how their tables come into the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg

from projections import sql
from projections.audit import AuditView
from projections.configs import ConfigsView
from projections.rebuild import RebuildUnderWay, rebuild
from projections.timeline import TimelineView
from projections.tree import TreeView
from projections.views import (
    OWNER,
    PROJECTOR,
    Connection,
    Progress,
    Schemas,
    View,
    close,
    connect,
    drop_tables,
    ledger_errors,
    stand,
    standings,
    work_as,
)

VIEWS: tuple[View, ...] = (ConfigsView(), AuditView(), TimelineView(), TreeView())


def install(url: str, views: Sequence[View] = VIEWS) -> None:
    """Make the tables that are not there yet; run it after `ledger.store.migrate`.

    `url` names a login that may become the ledger's roles and may create a schema. Safe to run by
    several processes at once. A view whose tables are of another version is left as it is: see
    `upgrade`. Raises LedgerUnavailable, and LedgerError for what the login may not.
    """
    with (
        ledger_errors("the views cannot be installed"),
        psycopg.connect(url, autocommit=True) as connection,
        connection.transaction(),
    ):
        _install(connection, views)


def upgrade(
    url: str, views: Sequence[View] = VIEWS, on_progress: Callable[[Progress], None] | None = None
) -> list[str]:
    """Build the views anew whose tables an older program has made; returns their names.

    Needs the login that installs. A runner does the same by itself if its login may.
    """
    with ledger_errors("the views cannot be read"):
        connection = connect(url)
        known = standings(connection)
        close(connection)
    changed = [view for view in views if known[view.name].version < view.version]
    for view in changed:
        # Another process that upgrades at the same time does the same work.
        with suppress(RebuildUnderWay):
            rebuild(url, view, on_progress)
    return [view.name for view in changed]


def _install(connection: Connection, views: Sequence[View]) -> None:
    connection.execute(sql.queries()["install_lock"])
    schemas = Schemas.of(connection)
    connection.execute(sql.read("schemas.sql"))
    work_as(connection, OWNER, schemas.ledger_path)
    connection.execute(sql.read("install.sql"))
    connection.execute(sql.read("functions.sql"))
    work_as(connection, PROJECTOR, schemas.ledger_path)
    known = standings(connection)
    for view in views:
        standing = known.get(view.name)
        if standing is None or (
            standing.version == view.version and not _has_tables(connection, view)
        ):
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
