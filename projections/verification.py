"""Folds the ledger from its first event on and compares all that was made of it, byte for byte.

It reads one snapshot. Every view is built a second time, by its own code, in temporary tables, up
to the position where the live one stands; then each row of the two is compared as Postgres writes
it. On the way every event is checked by `projections.log_check`. Nothing is written but temporary
tables, which go with the connection. A view's own tables are held only while they are compared, so
that a rebuild can swap one at any time: then that view is not compared.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import IsolationLevel
from psycopg.sql import SQL, Composed, Identifier

from ledger.errors import LedgerError
from ledger.events import Recorded
from ledger.merkle import HASH_BYTES, Hash
from ledger.notes import Verifier
from ledger.tiles import TILE_WIDTH
from projections import checkpoints, sql, tree
from projections.checkpoints import SignedHead
from projections.log_check import Fault, LogCheck, LogRow
from projections.views import (
    BATCH,
    PROJECTOR,
    Connection,
    Schemas,
    Standing,
    View,
    close,
    composed,
    connect,
    head,
    ledger_errors,
    standings,
    work_as,
)


class VerificationUnderWay(LedgerError):
    """Another process verifies this ledger."""

    status = 409
    slug = "verification-under-way"


OnProgress = Callable[[str, int, int], None]
"""Told what is being done, how far it is and of how many. What it raises ends the verification."""

_SHOWN = 60
_REPLACED = ""


class ViewVerdict(NamedTuple):
    """What became of one view: `sound` is None where it could not be compared, `why` says so."""

    name: str
    position: int
    sound: bool | None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found; of very many faults in the log, `untold` are not listed."""

    position: int
    events: int
    checkpoints: int
    views: tuple[ViewVerdict, ...]
    faults: tuple[Fault, ...]
    untold: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Tell whether nothing was found."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is held beside the database: checkpoints from elsewhere, and keys that are trusted."""

    heads: Sequence[SignedHead] = ()
    keys: Sequence[Verifier] = ()
    origin: str | None = None


def verify(
    url: str,
    views: Sequence[View],
    *,
    upto: int | None = None,
    evidence: Evidence | None = None,
    on_progress: OnProgress | None = None,
    alone: bool = False,
) -> Verdict:
    """Verify the ledger, its views and its signed heads; up to an earlier position only the log.

    `url` names a login that may become liveops_projector, who may make temporary tables. Raises
    LedgerUnavailable, LedgerError for what keeps it from being verified, and where it is to be
    done `alone`, VerificationUnderWay.
    """
    with ledger_errors("the ledger cannot be verified"):
        connection, beside = connect(url), connect(url)
        try:
            copies = Copies(connection, () if upto is not None else views)
            leaves = _Leaves(beside)
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            with connection.transaction():
                if alone and _lock(connection) != (True,):
                    raise VerificationUnderWay
                walk = _Walk(connection, copies, leaves, upto, evidence or Evidence())
                return walk.go(on_progress or (lambda *_: None))
        finally:
            close(beside)
            close(connection)


def _lock(connection: Connection) -> tuple[bool] | None:
    return connection.execute(sql.queries()["verification_lock"]).fetchone()


class _Walk:
    """One verification, inside its transaction: first the log, then the views."""

    def __init__(
        self,
        connection: Connection,
        copies: Copies,
        leaves: _Leaves,
        upto: int | None,
        evidence: Evidence,
    ) -> None:
        self._connection = connection
        self._copies = copies
        self._leaves = leaves
        self._upto = upto
        self._began = time.monotonic()
        connection.execute(sql.queries()["verification_session"])
        self._head = head(connection)
        keys = [*map(Verifier.parse, checkpoints.log_keys(connection)), *evidence.keys]
        heads = heapq.merge(self._heads(), evidence.heads, key=lambda signed: signed.size)
        self._check = LogCheck(leaves, heads, keys, evidence.origin)
        copies.begin(self._head)

    def go(self, report: OnProgress) -> Verdict:
        for batch in self._batches():
            self._copies.work_on_ledger()
            read = [self._check.add(row) for row in batch]
            self._copies.apply([recorded for recorded in read if recorded is not None])
            report("events", self._check.position, min(self._upto or self._head, self._head))
        self._copies.work_on_ledger()
        whole = self._upto is None or self._upto >= self._head
        log = self._check.end(self._leaves.size, whole=whole)
        views = list(self._copies.compare(report))
        return Verdict(
            self._check.position,
            self._check.rows,
            self._check.checkpoints,
            tuple(view for view, _ in views),
            (*log, *(fault for _, faults in views for fault in faults)),
            self._check.untold,
            time.monotonic() - self._began,
        )

    def _batches(self) -> Iterator[list[LogRow]]:
        with self._connection.cursor("liveops_verification", binary=True) as cursor:
            cursor.execute(sql.queries()["verification_log"], {"upto": self._upto})
            while rows := cursor.fetchmany(BATCH):
                yield [LogRow(*row) for row in rows]

    def _heads(self) -> Iterator[SignedHead]:
        after = 0
        while found := checkpoints.after(self._connection, after, 500):
            yield from found
            after = found[-1].size


class _Leaves:
    """The leaves that the tree holds, read a tile at a time, on a connection beside.

    In the snapshot's transaction they would keep the tree from being swapped. A tree only grows: as
    wide as it was before the snapshot was taken it is in every later one.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tile, self._hashes = -1, b""
        there = self._ask("tables_exist", {"tables": ["liveops_tree"]})
        self.size = tree.size(connection) if there == (True,) else 0

    def __call__(self, position: int) -> Hash | None:
        if not 0 < position <= self.size:
            return None
        tile, place = divmod(position - 1, TILE_WIDTH)
        if tile != self._tile:
            row = self._ask("tree_read", {"levels": [0], "tiles": [tile]})
            self._tile, self._hashes = tile, b"" if row is None else bytes(row[2])
        return self._hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]

    def _ask(self, query: str, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
        asked = self._connection.execute(sql.queries()[query], parameters, binary=True)
        return asked.fetchone()


# --- The views a second time ---


class _Table(NamedTuple):
    oid: int
    columns: list[str]
    key: list[str]


@dataclass(slots=True)
class _Copy:
    """A view on its way in temporary tables; `stuck` says what it cannot get past."""

    view: View
    tables: Mapping[str, _Table]
    standing: Standing
    stuck: str | None = None
    recorded_at: int | None = None


class Copies:
    """The views built from the first event on in temporary tables, as one snapshot shows it.

    The tables are made before the snapshot is taken: to make one holds the live one until the
    transaction ends.
    """

    def __init__(self, connection: Connection, views: Sequence[View]) -> None:
        self._connection = connection
        self._schemas = Schemas.of(connection)
        self._path = f"pg_temp, {self._schemas.ledger_path.removesuffix(', pg_temp')}"
        self._batches = 0
        self._refused: list[tuple[ViewVerdict, list[Fault]]] = []
        self._copies: list[_Copy] = []
        self._tables = {view: self._made(view) for view in views}

    def begin(self, last: int) -> None:
        """See in the snapshot where the live views stand; `last` is the ledger's last event."""
        self.work_on_ledger()
        known = standings(self._connection)
        for view, tables in self._tables.items():
            self._begin(view, tables, known.get(view.name), last)

    def work_on_ledger(self) -> None:
        """Let names mean the live tables, until the next `apply`."""
        work_as(self._connection, PROJECTOR, self._schemas.ledger_path)

    def apply(self, events: Sequence[Recorded]) -> None:
        """Bring every view forward by events, none further than the live one is."""
        work_as(self._connection, PROJECTOR, self._path)
        for copy in self._copies:
            upto = [event for event in events if event.position <= copy.standing.position]
            if upto and copy.stuck is None:
                self._apply(copy, upto)
        self._batches += 1
        if self._batches & (self._batches - 1) == 0:
            self._analyse()

    def compare(self, report: OnProgress) -> Iterator[tuple[ViewVerdict, list[Fault]]]:
        """Judge each view, with the first rows that differ."""
        yield from self._refused
        for done, copy in enumerate(self._copies):
            report("views", done, len(self._copies))
            faults = [fault for name in copy.view.tables for fault in self._compare(copy, name)]
            if copy.stuck == _REPLACED:
                yield _skipped(copy.view, copy.standing.position, "it was built anew meanwhile")
            elif copy.stuck is not None:
                yield _judged(copy.view, copy.standing, [Fault(copy.view.name, copy.stuck)])
            else:
                yield _judged(copy.view, copy.standing, [*_stamp(copy), *faults])

    def _begin(
        self,
        view: View,
        found: Mapping[str, _Table | None],
        standing: Standing | None,
        last: int,
    ) -> None:
        tables = {name: table for name, table in found.items() if table is not None and table.key}
        lost = [Fault(name, "the table, or its key, is gone") for name in found.keys() - tables]
        if standing is None:
            self._refused.append(_skipped(view, 0, "it is not in the database"))
        elif standing.version != view.version:
            made = f"it is of version {standing.version}, this program makes {view.version}"
            self._refused.append(_skipped(view, standing.position, made))
        elif lost:
            self._refused.append(_judged(view, standing, lost))
        elif standing.position > last:
            what = f"it stands at position {standing.position}, but the ledger ends at {last}"
            self._refused.append(_judged(view, standing, [Fault(view.name, what)]))
        else:
            self._copies.append(_Copy(view, tables, standing))

    def _made(self, view: View) -> dict[str, _Table | None]:
        found = {name: self._table(name) for name in view.tables}
        for name in (name for name, table in found.items() if table is not None):
            parts = {"table": Identifier("pg_temp", name), "live": self._live(name)}
            self._connection.execute(composed("verification_like", parts))
        return found

    def _table(self, name: str) -> _Table | None:
        parameters = {"table": self._live(name).as_string(self._connection)}
        row = self._connection.execute(sql.queries()["verification_table"], parameters).fetchone()
        return None if row is None else _Table(row[0], row[1], row[2] or [])

    def _live(self, table: str) -> Identifier:
        return Identifier(self._schemas.ledger, table)

    def _apply(self, copy: _Copy, events: Sequence[Recorded]) -> None:
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                copy.view.apply(cursor, events)
        # Whatever it is: events that cannot be folded are what is looked for here.
        except Exception as error:
            if self._connection.closed:
                raise
            said = " ".join(f"{type(error).__name__}: {error}".split())
            between = f"positions {events[0].position} to {events[-1].position}"
            copy.stuck = f"the events at {between} cannot be folded: {said}"
        else:
            copy.recorded_at = events[-1].recorded_at

    def _analyse(self) -> None:
        """Let the planner know how large the tables have become; autovacuum does not see them."""
        names = [name for copy in self._copies for name in copy.view.tables]
        if names:
            tables = SQL(", ").join(Identifier("pg_temp", name) for name in names)
            self._connection.execute(composed("verification_analyze", {"tables": tables}))

    def _compare(self, copy: _Copy, name: str) -> Iterable[Fault]:
        if copy.stuck is not None:
            return []
        live = self._live(name)
        # From here on nobody swaps it. If somebody has, this snapshot would find it empty.
        self._connection.execute(composed("verification_hold", {"live": live}))
        now = self._table(name)
        if now is None or now.oid != copy.tables[name].oid:
            copy.stuck = _REPLACED
            return []
        rows = self._connection.execute(_comparison(live, name, now)).fetchall()
        return [_difference(name, now, _Differing(*row)) for row in rows]


def _skipped(view: View, position: int, why: str) -> tuple[ViewVerdict, list[Fault]]:
    return ViewVerdict(view.name, position, None, why), []


def _judged(view: View, standing: Standing, faults: list[Fault]) -> tuple[ViewVerdict, list[Fault]]:
    why = str(faults[0]) if faults else None
    return ViewVerdict(view.name, standing.position, not faults, why), faults


def _stamp(copy: _Copy) -> Iterator[Fault]:
    standing = copy.standing
    if standing.recorded_at != copy.recorded_at:
        what = f"recorded_at is not that of position {standing.position}"
        yield Fault(f"liveops_projections name={standing.name}", what)


# --- Rows ---


def _comparison(live: Identifier, name: str, table: _Table) -> Composed:
    def columns(side: str) -> Composed:
        texts = (SQL("{}::text").format(Identifier(side, column)) for column in table.columns)
        return SQL(", ").join(texts)

    parts: dict[str, Any] = {
        "live": live,
        "built": Identifier("pg_temp", name),
        "keys": SQL(", ").join(map(Identifier, table.key)),
        "live_columns": columns("l"),
        "built_columns": columns("b"),
    }
    return composed("verification_compare", parts)


class _Differing(NamedTuple):
    """A row that is in one of the tables only, or not the same in both: its columns as texts."""

    no_live: bool
    no_built: bool
    live: Sequence[str | None]
    built: Sequence[str | None]


def _difference(name: str, table: _Table, row: _Differing) -> Fault:
    """Say what is wrong with a row."""
    known = dict(zip(table.columns, row.built if row.no_live else row.live, strict=True))
    place = f"{name} " + " ".join(f"{column}={known[column]}" for column in table.key)
    if row.no_live:
        return Fault(place, "the row is missing")
    if row.no_built:
        return Fault(place, "no event makes this row")
    pairs = zip(table.columns, row.live, row.built, strict=True)
    said = [
        f"{column} is {_short(there)}, the events make {_short(made)}"
        for column, there, made in pairs
        if there != made
    ]
    return Fault(place, "; ".join(said) or "the row differs")


def _short(text: str | None) -> str:
    if text is None:
        return "null"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
