"""Building a view anew beside the one that is read, and putting it in its place.

The new tables are made in a schema of their own, filled from the ledger's first event on, and
moved into the ledger's schema in the transaction that drops the old ones and sets the position.
Readers see the old tables until then and the new ones after. Whatever goes wrong before leaves
the old ones as they were; what it leaves behind is dropped by the next rebuild.

A reader whose transaction took its snapshot before the swap and asks for the first time after it
sees too few rows: ask in READ COMMITTED, where each statement has a snapshot of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from psycopg import errors
from psycopg.sql import SQL, Identifier

from ledger.errors import LedgerError
from ledger.events import Recorded
from projections import sql
from projections.views import (
    OWNER,
    PROJECTOR,
    Connection,
    Feed,
    Progress,
    Schemas,
    View,
    close,
    connect,
    drop_tables,
    head,
    ledger_errors,
    stand,
    work_as,
)

_log = logging.getLogger(__name__)

_BETWEEN_SWAPS = 0.2
_SWAPS_PER_WARNING = 50


class RebuildUnderWay(LedgerError):
    """Another process is building this view anew: wait until it is done."""

    status = 409
    slug = "rebuild-under-way"


class RebuildForbidden(LedgerError):
    """This login may not become liveops_owner, who makes and drops the tables of a view."""

    status = 403
    slug = "rebuild-forbidden"


def rebuild(
    url: str, view: View, on_progress: Callable[[Progress], None] | None = None
) -> Progress:
    """Build a view anew from the whole ledger and swap it in; returns where it stands then.

    Needs a login that may become liveops_owner. Raises RebuildUnderWay, RebuildForbidden,
    LedgerUnavailable, or a LedgerError that says what is in the way; then nothing has changed.
    """
    with ledger_errors(f"{view.name} cannot be built anew"):
        connection = connect(url)
        try:
            return _rebuild(connection, view, on_progress or (lambda _: None))
        finally:
            close(connection)


def _rebuild(connection: Connection, view: View, report: Callable[[Progress], None]) -> Progress:
    building = Rebuild(connection, view)
    while building.step():
        report(building.progress())
    _swap(building)
    done = replace(building.progress(), rebuilding=False)
    report(done)
    return done


def _swap(building: Rebuild) -> None:
    attempts = 1
    while not building.swap():
        if attempts % _SWAPS_PER_WARNING == 0:
            _log.warning("%s is ready, but a long read keeps it waiting", building.view.name)
        attempts += 1
        time.sleep(_BETWEEN_SWAPS)


class Rebuild:
    """One view that is being built anew, on a connection of `connect`.

    It holds a lock of the session until it is swapped in or the connection ends.
    """

    def __init__(self, connection: Connection, view: View) -> None:
        self.view = view
        self._connection = connection
        self._schemas = Schemas.of(connection)
        self._feed = Feed()
        self._last: Recorded | None = None
        self._analysed = False
        self._begin()

    @property
    def position(self) -> int:
        """The last event that the new rows contain."""
        return _position(self._last)

    def progress(self) -> Progress:
        """Tell how far it has come."""
        return Progress(self.view.name, self.position, head(self._connection), rebuilding=True)

    def step(self) -> bool:
        """Apply one batch; False when there is none left."""
        with self._connection.transaction():
            work_as(self._connection, PROJECTOR, self._schemas.building_path)
            applied = self._apply(self._last)
        self._last = applied or self._last
        return applied is not None

    def swap(self) -> bool:
        """Catch up and take the old tables' place; False when a reader is in the way for now."""
        self._analyse()
        try:
            with self._connection.transaction():
                last = self._take_over()
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            return False
        self._last = last
        self._connection.execute(sql.queries()["rebuild_unlock"], {"name": self.view.name})
        return True

    def _begin(self) -> None:
        parameters = {"name": self.view.name}
        locked = self._connection.execute(sql.queries()["rebuild_lock"], parameters).fetchone()
        if locked != (True,):
            raise RebuildUnderWay
        try:
            with self._connection.transaction():
                work_as(self._connection, OWNER, self._schemas.building_path)
                drop_tables(self._connection, self.view, self._schemas.building)
                self._connection.execute(self.view.schema)
        except errors.InsufficientPrivilege as error:
            raise RebuildForbidden from error

    def _apply(self, last: Recorded | None) -> Recorded | None:
        batch = self._feed.after(self._connection, _position(last))
        if not batch:
            return None
        with self._connection.cursor() as cursor:
            self.view.apply(cursor, batch)
        return batch[-1]

    def _analyse(self) -> None:
        """Let the planner know the new tables before anybody asks them."""
        if self._analysed:
            return
        tables = SQL(", ").join(Identifier(self._schemas.building, t) for t in self.view.tables)
        with self._connection.transaction():
            work_as(self._connection, OWNER, self._schemas.building_path)
            self._connection.execute(SQL("ANALYZE {}").format(tables))
        self._analysed = True

    def _take_over(self) -> Recorded | None:
        work_as(self._connection, PROJECTOR, self._schemas.building_path)
        self._connection.execute(sql.queries()["impatient"])
        # The runner holds the same row while it writes this view: from here on it waits, and what
        # it finds afterwards is the new position with the new tables.
        self._connection.execute(sql.queries()["hold_standing"], {"name": self.view.name})
        last = self._last
        while applied := self._apply(last):
            last = applied
        work_as(self._connection, OWNER, self._schemas.ledger_path)
        self._move_tables()
        work_as(self._connection, PROJECTOR, self._schemas.ledger_path)
        stand(self._connection, self.view, last)
        return last

    def _move_tables(self) -> None:
        drop_tables(self._connection, self.view, self._schemas.ledger)
        move = SQL("ALTER TABLE {} SET SCHEMA {}")
        for name in self.view.tables:
            table = Identifier(self._schemas.building, name)
            self._connection.execute(move.format(table, Identifier(self._schemas.ledger)))


def _position(last: Recorded | None) -> int:
    return 0 if last is None else last.position
