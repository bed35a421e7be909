"""What a view is, and what all of them share: connections, rows, standings.

A view is a fold of the ledger into tables. Its rows depend on nothing but the events up to its
position: no clock, no chance, no other view; so it can be dropped and built again, row for row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import orjson
import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.json import set_json_loads

from ledger.clock import Instant, format_instant
from ledger.errors import LedgerError, LedgerUnavailable
from ledger.events import Recorded, decode
from projections import sql

Json = Any
Cursor = psycopg.Cursor[Any]
Connection = psycopg.Connection[Any]
Row = TypeVar("Row")
Parts = Mapping[str, SQL | Composed | Identifier]

BATCH = 5000
OWNER = "liveops_owner"
PROJECTOR = "liveops_projector"

_ESCAPE = re.compile(r"\\(u0000|.)")


class View(Protocol):
    """A derived view: its tables, and how a batch of events changes them.

    Raise `version` with every change of the schema or of what rows hold: the view is then built
    anew beside the old one and takes its place when it has caught up.
    """

    @property
    def name(self) -> str:
        """Name the view, as its main table."""

    @property
    def version(self) -> int:
        """Count the changes of schema and rows, from 1."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Name all tables of the view, the one that is read first in front."""

    @property
    def schema(self) -> bytes:
        """Give the SQL that makes the tables, in the first schema of the search path."""

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        """Bring the rows from the position before a batch to its end, in the open transaction."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a view has come: the last event that its rows contain."""

    name: str
    version: int
    position: int
    recorded_at: Instant | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a view has come towards the head of the ledger, or what it is stuck on."""

    view: str
    position: int
    head: int
    rebuilding: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list, and the cursor that continues it (None: there are no more)."""

    rows: tuple[Row, ...]
    next: int | None


def connect(url: str) -> Connection:
    """Open a connection that works as liveops_projector, in autocommit mode.

    Not for a pooler in transaction mode: the lead is a lock of the session.
    """
    connection: Connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=5,
        application_name="liveops projector",
        keepalives_idle=5,
        keepalives_interval=5,
        keepalives_count=3,
    )
    try:
        connection.execute(sql.queries()["session"])
    except BaseException:
        connection.close()
        raise
    return connection


def close(connection: Connection) -> None:
    """Close a connection that may be lost already."""
    with suppress(psycopg.Error):
        connection.close()


@contextmanager
def ledger_errors(doing: str) -> Iterator[None]:
    """Raise the driver's errors as the ledger's, which say what was being done."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise LedgerUnavailable(f"{doing}: {error}") from error
    except psycopg.Error as error:
        raise LedgerError(f"{doing}: {error}") from error


def standings(connection: Connection) -> dict[str, Standing]:
    """Tell how far each view has come, by name."""
    rows = connection.execute(sql.queries()["standings"]).fetchall()
    return {row[0]: Standing(*row) for row in rows}


def head(connection: Connection) -> int:
    """Return the position of the ledger's last event."""
    row = connection.execute(sql.queries()["head"]).fetchone()
    return 0 if row is None else int(row[0])


@dataclass(frozen=True, slots=True)
class Schemas:
    """The ledger's schema and the one where views are built anew, with their search paths."""

    ledger: str
    building: str
    ledger_path: str
    building_path: str

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Ask a connection that works with its own search path."""
        row = connection.execute(sql.queries()["schemas"], {}).fetchone()
        if row is None or row[0] is None:
            raise LedgerError("the database's search path names no schema that exists")
        return cls(*row)


def stand(connection: Connection, view: View, last: Recorded | None) -> None:
    """Write down the last event that a view's rows contain, in the transaction that writes them."""
    parameters = {
        "name": view.name,
        "version": view.version,
        "position": 0 if last is None else last.position,
        "recorded_at": None if last is None else format_instant(last.recorded_at),
    }
    connection.execute(sql.queries()["stand"], parameters)


def work_as(connection: Connection, role: str, path: str) -> None:
    """Take a role and a search path until the open transaction ends."""
    connection.execute(sql.queries()["work_as"], {"role": role, "path": path})


def drop_tables(connection: Connection, view: View, schema: str) -> None:
    """Drop a view's tables in a schema, if they are there and nothing else depends on them."""
    tables = SQL(", ").join(Identifier(schema, table) for table in view.tables)
    connection.execute(SQL("DROP TABLE IF EXISTS {}").format(tables))


class Feed:
    """Reads the ledger in batches; views that stand at the same position share one."""

    def __init__(self, limit: int = BATCH) -> None:
        self._limit = limit
        self._after = -1
        self._batch: tuple[Recorded, ...] = ()

    def after(self, connection: Connection, position: int) -> tuple[Recorded, ...]:
        """Return the events after a position, at most a batch, in order."""
        if position != self._after or not self._batch:
            parameters = {"after": position, "limit": self._limit}
            rows = connection.execute(sql.queries()["events_after"], parameters, binary=True)
            self._batch = tuple(decode(*row) for row in rows)
            self._after = position
        return self._batch


# --- Rows ---


def add_rows(cursor: Cursor, table: str, rows: Sequence[Mapping[str, Json]]) -> None:
    """Add rows to a table: each maps every column to what JSON writes for it."""
    if rows:
        statement = composed("add_rows", {"table": Identifier(table)})
        cursor.execute(statement, {"rows": as_json(rows)})


def stamp(at: Instant | None) -> str | None:
    """Write an instant for a timestamptz column."""
    return None if at is None else format_instant(at)


def plain(text: str) -> str:
    """Write a text as `as_json` does."""
    return text.replace("\x00", "\ufffd")


def as_json(value: Json) -> str:
    """Write JSON that Postgres takes: it knows no U+0000, which is no reason to stop for ever."""
    text = orjson.dumps(value).decode()
    return _ESCAPE.sub(_without_nul, text) if "\\u0000" in text else text


def _without_nul(escape: re.Match[str]) -> str:
    return "\ufffd" if escape[1] == "u0000" else escape[0]


# --- Pages ---


def ask_page(
    connection: Connection,
    query: str,
    parts: Parts,
    parameters: Mapping[str, Any],
    kind: type[Row],
) -> list[Row]:
    """Run a composed statement of queries.sql; its columns are the members of `kind`.

    Numbers in JSON that take more than 64 bits come as floats.
    """
    cursor = connection.cursor(binary=True, row_factory=class_row(kind))
    set_json_loads(orjson.loads, cursor)
    return cursor.execute(composed(query, parts), parameters).fetchall()


def composed(query: str, parts: Parts) -> Composed:
    """Put the parts into a statement of queries.sql."""
    return SQL(sql.queries()[query].decode()).format(**parts)
