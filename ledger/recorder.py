"""The eventsourcing library's recorder over the ledger's table.

Reads are ours because the table is (`position` where the library has `notification_id`); writes
are ours because every one goes through `ledger_append` and no other way in exists. The library
keeps what it does well: the pool, the translation of driver errors, subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import Notification, ProgrammingError, StoredEvent
from eventsourcing.postgres import ConnectionPool, PostgresApplicationRecorder, PostgresDatastore
from psycopg import Connection, Cursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format
from psycopg.rows import DictRow, dict_row

from ledger import sql
from ledger.clock import Instant

_POSTGRES_EPOCH: Instant = 946_684_800_000_000  # 2000-01-01
_CONNECT_TIMEOUT = 5.0


class InstantLoader(Loader):
    """Load a binary timestamptz as an Instant: exact, and whatever time zone the session is in."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Instant:
        """Shift microseconds since 2000 to microseconds since 1970."""
        return int.from_bytes(data, "big", signed=True) + _POSTGRES_EPOCH


class LedgerDatastore(PostgresDatastore):
    """A pool of connections to one ledger, each working as `role`.

    Connections are opened when first needed, so constructing one does not need the database.
    """

    def __init__(self, url: str, *, role: str | None = None, pool_size: int = 8) -> None:
        self._role = role
        super().__init__(dbname="", host="", port="", user="", password="")
        # The library's own pool knows five parts of a URL; TLS and the rest would be lost.
        self.pool = _pool(url, pool_size, self.after_connect_func())

    def after_connect_func(self) -> Callable[[Connection[Any]], None]:
        """Return what readies a new connection."""
        role = self._role

        def after_connect(connection: Connection[Any]) -> None:
            connection.autocommit = True
            connection.adapters.register_loader("timestamptz", InstantLoader)
            connection.execute(sql.queries()["session"], {"role": role})

        return after_connect

    def register_type_adapters(self) -> None:
        """Do nothing: the library's composite types are not in our schema."""


def _pool(
    url: str, size: int, configure: Callable[[Connection[Any]], None]
) -> ConnectionPool[Connection[DictRow]]:
    def check(connection: Connection[DictRow]) -> None:
        try:
            ConnectionPool.check_connection(connection)
        except psycopg.OperationalError:
            # A server that restarts takes all connections with it. The pool would find them out
            # one by one, backing off longer before each, and give up first.
            pool.drain()
            raise

    pool = ConnectionPool(
        url,
        connection_class=Connection[DictRow],
        kwargs=_connection_options(url),
        min_size=1,
        max_size=size,
        open=False,
        configure=configure,
        # A dead connection found out here costs a round trip. Found out by an append, nobody
        # knows whether the append happened.
        check=check,
        timeout=_CONNECT_TIMEOUT,
        # As long as a caller waits, and no longer: attempts back off, and a long one would sleep
        # through the recovery.
        reconnect_timeout=_CONNECT_TIMEOUT,
    )
    return pool


def _connection_options(url: str) -> dict[str, Any]:
    given = conninfo_to_dict(url)
    defaults = {"connect_timeout": int(_CONNECT_TIMEOUT), "application_name": "liveops"}
    missing = {name: value for name, value in defaults.items() if name not in given}
    return {"row_factory": dict_row, **missing}


class LedgerRecorder(PostgresApplicationRecorder):
    """Records events in `liveops_events`.

    Nothing is retried here. The library retries an insert whose connection broke, but one that
    broke at COMMIT may have been committed: only the caller, who has the idempotency key, can tell.
    """

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, events_table_name="liveops_events")

    def create_table(self) -> None:
        """Refuse: migrations make the schema."""
        raise ProgrammingError("the ledger's tables are made by ledger.store.migrate()")

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        expected: Mapping[UUID, int] | None = None,
        position: int | None = None,
        actor: UUID | None = None,
        key: str | None = None,
        digest: bytes | None = None,
        **unknown: object,
    ) -> Sequence[int] | None:
        """Append events and return their positions; see `append`."""
        if refused := [name for name, value in unknown.items() if value is not None]:
            raise ProgrammingError(f"cannot record {', '.join(refused)} with events")
        if not stored_events:
            return None
        first, _, _ = self.append(
            stored_events,
            expected=expected or {},
            position=position,
            actor=actor,
            key=key,
            digest=digest,
        )
        return list(range(first, first + len(stored_events)))

    def append(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        expected: Mapping[UUID, int],
        position: int | None = None,
        actor: UUID | None = None,
        key: str | None = None,
        digest: bytes | None = None,
    ) -> tuple[int, Instant, bool]:
        """Call `ledger_append` once, in its own transaction.

        Returns the first event's position and instant (positions and microseconds count up from
        there) and whether the request had been appended before. Conflicts are IntegrityErrors
        whose cause carries the SQLSTATE.
        """
        row = self.ask(
            "append",
            streams=[event.originator_id for event in stored_events],
            versions=[event.originator_version for event in stored_events],
            topics=[event.topic for event in stored_events],
            states=[event.state for event in stored_events],
            expected_streams=list(expected),
            expected_versions=list(expected.values()),
            position=position,
            actor=actor,
            key=key,
            digest=digest,
        )[0]
        return row["first_position"], row["first_recorded_at"], row["repeated"]

    def ask(self, name: str, **parameters: object) -> list[DictRow]:
        """Run a statement of queries.sql and return its rows."""
        with self.datastore.get_connection() as connection:
            return ask(connection, name, **parameters).fetchall()

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return the events of one stream by version."""
        name = "stream_descending" if desc else "stream_ascending"
        rows = self.ask(name, stream=originator_id, gt=gt, lte=lte, limit=limit)
        return [StoredEvent(**row) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return the events of all streams by position."""
        first = (start or 0) + (not inclusive_of_start)
        wanted = list(topics) or None
        rows = self.ask("notifications", start=first, stop=stop, topics=wanted, limit=limit)
        return [Notification(**row) for row in rows]

    def max_notification_id(self) -> int | None:
        """Return the position of the last event, if there is one."""
        rows = self.ask("head")
        return rows[0]["position"] if rows else None


def ask(connection: Connection[Any], name: str, **parameters: object) -> Cursor[DictRow]:
    """Run a statement of queries.sql on a connection of a LedgerDatastore."""
    cursor: Cursor[DictRow] = connection.cursor(binary=True, row_factory=dict_row)
    return cursor.execute(sql.queries()[name], parameters, prepare=True)
