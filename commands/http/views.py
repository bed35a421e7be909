"""The views as the API reads them: as an auditor, through connections of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from ledger.errors import LedgerUnavailable
from ledger.live import Live
from projections import checkpoints, watch
from projections.checkpoints import SignedHead
from projections.timeline import Span, TimelineView, prefix_at, spans_between
from projections.views import Connection, Standing, standings
from projections.watch import Verification

Found = TypeVar("Found")

_TIMEOUT = 5.0


class Views:
    """A pool of connections that may only read, opened when first needed."""

    def __init__(self, url: str, *, size: int = 4) -> None:
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            kwargs={"autocommit": True, "application_name": "liveops views"},
            min_size=0,
            max_size=size,
            open=False,
            configure=_as_reader,
            check=ConnectionPool.check_connection,
            timeout=_TIMEOUT,
            reconnect_timeout=1.0,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection; raises LedgerUnavailable while the database or the views are away."""
        try:
            self._pool.open()
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise LedgerUnavailable from error
        except psycopg.errors.UndefinedTable as error:
            raise LedgerUnavailable("the views are not there: start `liveops project`") from error

    def standings(self) -> Mapping[str, Standing] | None:
        """Tell how far each view has come; None where there are no views."""
        with self.connection() as connection:
            try:
                return standings(connection)
            except psycopg.errors.UndefinedTable:
                return None

    def position(self, view: str) -> int:
        """Tell how far one view has come."""
        with self.connection() as connection:
            found = standings(connection).get(view)
        return 0 if found is None else found.position

    def checkpoint(self) -> SignedHead | None:
        """Read the newest signed head; None before the first, or where there are no views."""
        return self._asked(checkpoints.head)

    def verification(self) -> Verification | None:
        """Read what the last verification found; None before the first."""
        return self._asked(watch.last)

    def _asked(self, ask: Callable[[Connection], Found | None]) -> Found | None:
        with self.connection() as connection:
            try:
                return ask(connection)
            except psycopg.errors.UndefinedTable:
                return None

    def past(self, position: int, parts: Collection[str] | None) -> Live | None:
        """Read what held right after an event, or after the timeline's last one if that is earlier.

        Some parts of it (`ledger.parts`), or all. None where there is no timeline of this version.
        """
        with self.connection() as connection:
            try:
                found = prefix_at(connection, position, parts)
            except psycopg.errors.UndefinedTable:
                return None
        return None if found is None else found.live()

    def reached(self) -> int:
        """Tell the last event that the timeline takes account of; 0 where this version is not."""
        found = (self.standings() or {}).get(TimelineView.name)
        if found is None or found.version != TimelineView.version:
            return 0
        return found.position

    def between(
        self, first: int, last: int, parts: Collection[str], levers: Collection[str] | None
    ) -> list[Span]:
        """List what held at some time from right after one event to right after another."""
        with self.connection() as connection:
            return spans_between(connection, first, last, parts, levers)


def _as_reader(connection: psycopg.Connection[Any]) -> None:
    # Compiling a statement takes longer than any of ours; Postgres, who does not know how boxes are
    # spread, believes that it would pay for a glance into the timeline.
    connection.execute(
        "SELECT set_config('role', 'liveops_reader', false), set_config('jit', 'off', false)"
    )
