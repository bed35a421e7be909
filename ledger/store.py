"""The event store: the only door to the ledger's database.

Appends go through `ledger_append` in Postgres, which takes the ledger's lock, checks what the
change was decided on, and sets position and recorded_at. Everything else here reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    InterfaceError,
    OperationalError,
    PersistenceError,
    StoredEvent,
)
from psycopg.rows import args_row, tuple_row

from ledger import sql
from ledger.clock import Instant, to_datetime
from ledger.errors import (
    ClockBehind,
    FutureInstant,
    LedgerError,
    LedgerUnavailable,
    RequestReused,
    StreamMoved,
)
from ledger.events import envelope
from ledger.recorder import LedgerDatastore, LedgerRecorder, ask

_POLL_SECONDS = 1.0
_ROLE_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Draft:
    """An event ready to be stored."""

    stream: UUID
    version: int
    type: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it was recorded."""

    position: int
    recorded_at: Instant
    stream: UUID
    version: int
    type: str
    state: bytes

    def envelope(self) -> bytes:
        """Return the event as every surface shows it: the stored bytes, with where and when."""
        return envelope(self.position, self.recorded_at, self.state)


@dataclass(frozen=True, slots=True)
class Request:
    """What makes a retried command known again: who, the key they chose, a digest of the rest."""

    actor: UUID
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """The outcome of an append; `repeated` when the request had been appended before."""

    events: tuple[Stored, ...]
    repeated: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a prefix of the ledger; zeros when the prefix is empty."""

    position: int = 0
    recorded_at: Instant = 0


class LedgerStore:
    """The ledger in one Postgres database. Thread-safe; close it when done.

    Constructing one does not connect. Whatever keeps the database from answering is raised as
    LedgerUnavailable: for a read, ask again; for an append, the outcome is unknown, so repeat
    it with the same Request and nothing is recorded twice.
    """

    def __init__(
        self, url: str, *, role: str | None = "liveops_writer", pool_size: int = 8
    ) -> None:
        self._datastore = LedgerDatastore(url, role=role, pool_size=pool_size)
        self._recorder = LedgerRecorder(self._datastore)
        self._closed = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back; waiting threads return within a second."""
        self._closed.set()
        self._datastore.close()

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        expected: Mapping[UUID, int],
        position: int | None = None,
        request: Request | None = None,
    ) -> Appended:
        """Append events to their streams, all of them or none.

        `expected` holds the version of every stream the change was decided on (0: no event yet),
        written to or only read; `position`, where given, the position of the ledger's last event.
        A stream that is written to but not expected must be where its first draft continues it.

        Raises StreamMoved when any of that no longer holds, RequestReused when the key belongs to
        another request, ClockBehind, LedgerUnavailable, and ValueError for drafts out of order.
        """
        versions = _continued(drafts, expected)
        with _ledger_errors():
            first, recorded_at, repeated = self._recorder.append(
                [StoredEvent(d.stream, d.version, d.type, d.state) for d in drafts],
                expected=versions,
                position=position,
                **_request_parameters(request),
            )
            if repeated and request is not None:
                return Appended(self._events_of(request), repeated=True)
        if not drafts:
            return Appended((), repeated=False)
        return Appended(
            tuple(map(_stored, drafts, count(first), count(recorded_at))), repeated=False
        )

    def find(self, request: Request) -> Appended | None:
        """Return the outcome of an earlier append of this request, if there was one.

        Raises RequestReused when the key belongs to another request.
        """
        with _ledger_errors():
            rows = self._recorder.ask("digest_of_request", actor=request.actor, key=request.key)
            if not rows:
                return None
            if rows[0]["request_digest"] != request.digest:
                raise RequestReused
            return Appended(self._events_of(request), repeated=True)

    def read(self, *, after: int, limit: int) -> list[Stored]:
        """Return at most `limit` events after a position, in order."""
        return self._events("events_after", after=after, upto=None, limit=limit)

    def events_of(self, stream: UUID, upto: int) -> list[Stored]:
        """Return the events of one stream through a version, in order."""
        return self._events("events_of_stream", stream=stream, upto=upto)

    def stream(
        self, *, after: int = 0, upto: int | None = None, batch: int = 5000
    ) -> Iterator[Stored]:
        """Yield the events after a position, through `upto` or else the last one there is.

        Holds one batch in memory and no transaction between batches.
        """
        while True:
            events = self._events("events_after", after=after, upto=upto, limit=batch)
            yield from events
            if len(events) < batch:
                return
            after = events[-1].position

    def states(
        self, *, after: int = 0, upto: int | None = None, batch: int = 5000
    ) -> Iterator[tuple[int, Instant, bytes]]:
        """Yield position, recorded_at and stored bytes, as `stream` yields events."""
        while True:
            parameters = {"after": after, "upto": upto, "limit": batch}
            with _ledger_errors(), self._datastore.get_connection() as connection:
                cursor = connection.cursor(binary=True, row_factory=tuple_row)
                query = sql.queries()["states_after"]
                rows = cursor.execute(query, parameters, prepare=True).fetchall()
            yield from rows
            if len(rows) < batch:
                return
            after = rows[-1][0]

    def head(self) -> Head:
        """Return the ledger's last event."""
        return self._head("head")

    def position_at(self, at: Instant) -> int:
        """Return the position of the last event now recorded at or before an instant.

        Only `close_instant` makes that final.
        """
        return self._head("head_at", at=to_datetime(at)).position

    def close_instant(self, at: Instant) -> Head:
        """Close the past up to an instant and return the last event at or before it.

        From then on no event can be recorded there, so the answer never changes. Raises
        FutureInstant when the database's clock has not reached the instant.
        """
        return self._head("close", at=to_datetime(at))

    def wait(self, after: int, timeout: float) -> bool:
        """Wait until there is an event after a position; False when `timeout` seconds pass.

        Holds one of the pool's connections while it waits.
        """
        deadline = monotonic() + timeout
        with _ledger_errors(), self._datastore.get_connection() as connection:
            # Listen first, then look: an event in between is notified. The look is repeated
            # because a notification is a hint that may be lost, the table is not.
            ask(connection, "listen")
            try:
                return self._wait(connection, after, deadline)
            finally:
                ask(connection, "unlisten")

    def _wait(self, connection: psycopg.Connection[Any], after: int, deadline: float) -> bool:
        while not self._closed.is_set():
            row = ask(connection, "head").fetchone()
            if row is not None and row["position"] > after:
                return True
            remaining = deadline - monotonic()
            if remaining <= 0:
                break
            for _ in connection.notifies(timeout=min(remaining, _POLL_SECONDS), stop_after=1):
                pass
        return False

    def _head(self, query: str, **parameters: object) -> Head:
        with _ledger_errors():
            rows = self._recorder.ask(query, **parameters)
        return Head(*rows[0].values()) if rows else Head()

    def _events_of(self, request: Request) -> tuple[Stored, ...]:
        return tuple(self._events("events_of_request", actor=request.actor, key=request.key))

    def _events(self, query: str, **parameters: object) -> list[Stored]:
        with _ledger_errors(), self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=args_row(Stored))
            return cursor.execute(sql.queries()[query], parameters, prepare=True).fetchall()


def _continued(drafts: Sequence[Draft], expected: Mapping[UUID, int]) -> dict[UUID, int]:
    """Return `expected` with the streams that only the drafts name; the drafts must continue it."""
    versions: dict[UUID, int] = dict(expected)
    last: dict[UUID, int] = dict(expected)
    for draft in drafts:
        versions.setdefault(draft.stream, draft.version - 1)
        if draft.version != last.get(draft.stream, draft.version - 1) + 1:
            raise ValueError(f"version {draft.version} does not continue stream {draft.stream}")
        last[draft.stream] = draft.version
    return versions


def _stored(draft: Draft, position: int, recorded_at: Instant) -> Stored:
    return Stored(position, recorded_at, draft.stream, draft.version, draft.type, draft.state)


def _request_parameters(request: Request | None) -> dict[str, Any]:
    if request is None:
        return {}
    return {"actor": request.actor, "key": request.key, "digest": request.digest}


_ERRORS: Mapping[str | None, type[LedgerError]] = {
    "23L02": RequestReused,
    "55L01": ClockBehind,
    "22L01": FutureInstant,
    # Two writers drafted the same version without saying what they expected.
    "23505": StreamMoved,
    # A standby: the primary is elsewhere, or about to be.
    "25006": LedgerUnavailable,
}


@contextmanager
def _ledger_errors() -> Iterator[None]:
    try:
        yield
    except PersistenceError as error:
        raise _ledger_error(error) from error


def _ledger_error(error: PersistenceError) -> LedgerError:
    cause = error.__cause__
    code = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    if isinstance(cause, psycopg.Error) and code == "23L01":
        detail = cause.diag.message_detail or ""
        return StreamMoved(streams=frozenset(UUID(text) for text in detail.split(",") if text))
    if code in _ERRORS:
        return _ERRORS[code]()
    if isinstance(error, (OperationalError, InterfaceError)):
        return LedgerUnavailable()
    return LedgerError(str(error))


def migrate(url: str) -> list[str]:
    """Bring a database to the newest schema and return the names of the migrations applied.

    `url` names a login that may create roles, and tables in its current schema; the ledger lives
    in that schema. Safe to run by several processes at once; does nothing when nothing is left.
    """
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            return _migrate(connection)
    except psycopg.OperationalError as error:
        raise LedgerUnavailable from error
    except psycopg.Error as error:
        raise LedgerError(f"migrating failed: {error}") from error


def _migrate(connection: psycopg.Connection) -> list[str]:
    if not _missing(connection) and _has_roles(connection):
        return []
    _create_roles(connection)
    # Held until the connection closes, and taken outside of any transaction: one that waits
    # inside would go on believing its cached catalogue, in which the winner's tables are missing.
    connection.execute(sql.queries()["migration_lock"])
    missing = _missing(connection)
    for migration in missing:
        _apply(connection, migration)
    return [migration.name for migration in missing]


def _missing(connection: psycopg.Connection) -> list[sql.Migration]:
    applied = _applied(connection)
    return [migration for migration in sql.migrations() if migration.version not in applied]


def _apply(connection: psycopg.Connection, migration: sql.Migration) -> None:
    queries = sql.queries()
    with connection.transaction():
        connection.execute(queries["migration_context"])
        connection.execute(migration.text)
        connection.execute(queries["migration_applied"], (migration.version, migration.name))


def _applied(connection: psycopg.Connection) -> set[int]:
    queries = sql.queries()
    (exists,) = connection.execute(queries["migrations_exist"]).fetchone() or (False,)
    if not exists:
        return set()
    return {version for (version,) in connection.execute(queries["migrations_applied"])}


def _has_roles(connection: psycopg.Connection) -> bool:
    (has,) = connection.execute(sql.queries()["roles_exist"]).fetchone() or (False,)
    return bool(has)


def _create_roles(connection: psycopg.Connection) -> None:
    # Roles are shared by all databases of a server, and no lock of Postgres spans databases:
    # another migration may create the same ones right now. Then the second look finds them.
    for _ in range(_ROLE_ATTEMPTS):
        try:
            connection.execute(sql.read("roles.sql"))
        except (psycopg.IntegrityError, psycopg.InternalError, psycopg.errors.DuplicateObject):
            continue
        return
    connection.execute(sql.read("roles.sql"))
