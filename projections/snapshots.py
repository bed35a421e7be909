"""`liveops_snapshots`: samples of what games were given, each of which can be resolved again.

Which turns were sampled is told by the games, so the ledger alone cannot bring the table back.
What stands in a row it can: `verify` resolves it again and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson
from psycopg.sql import SQL

from ledger.clock import Instant, format_instant
from ledger.sample_checks import Checked, Past, check
from ledger.samples import Sample, Source
from ledger.scopes import Context
from projections import sql
from projections.views import (
    PROJECTOR,
    Connection,
    Schemas,
    as_json,
    ask_page,
    composed,
    plain,
    stamp,
    work_as,
)

Json = Any

PAGE = 1000

_SNAPSHOTS = uuid5(NAMESPACE_URL, "liveops-ledger/snapshots")
_LAST_TURN = 2**31 - 1
_OF_ALL, _OF_ONE = SQL("true"), SQL("session_id = %(session_id)s")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A sample as the table holds it; `ts` is when it was taken, `at` what it was resolved for."""

    id: UUID
    session_id: str
    turn_id: int
    resolved: dict[str, Json]
    ts: Instant
    position: int
    at: Instant
    reason: str
    context: dict[str, Json]
    mixed: list[Json]

    def sample(self) -> Sample:
        """Give the sample as the game took it."""
        mixed = tuple(map(Source.from_json, self.mixed))
        context, given = Context(**self.context), self.resolved
        return Sample(context, given, self.position, self.at, self.reason, self.ts, mixed)

    def to_json(self) -> dict[str, Json]:
        """Write the snapshot as the API lists it."""
        written = {field.name: getattr(self, field.name) for field in fields(self)}
        instants = {"ts": format_instant(self.ts), "at": format_instant(self.at)}
        return {**written, "id": str(self.id), **instants}


class After(NamedTuple):
    """A place in the list of all snapshots: behind one of them."""

    position: int = 0
    id: UUID = UUID(int=0)


class Verdict(NamedTuple):
    """A snapshot, and what came of resolving it again."""

    snapshot: Snapshot
    checked: Checked

    @property
    def agrees(self) -> bool:
        """Tell whether the game was given what the ledger says."""
        return self.checked.agrees


# --- Writing ---


def record_snapshot(connection: Connection, sample: Sample) -> UUID:
    """Write a sample down as liveops_projector and return its id; the same one twice is one row.

    Not inside a transaction, which would go on as liveops_projector. Raises ValueError for a
    context without a turn, or whose turn the column cannot hold.
    """
    with connection.transaction():
        work_as(connection, PROJECTOR, Schemas.of(connection).ledger_path)
        return add_snapshot(connection, sample)


def add_snapshot(connection: Connection, sample: Sample) -> UUID:
    """Write a sample down in a transaction of liveops_projector, unless it is to be forgotten.

    Raises ValueError as `record_snapshot` does.
    """
    turn = sample.context.turn_id
    if turn is None or not -_LAST_TURN <= turn <= _LAST_TURN:
        raise ValueError(f"a snapshot is of one turn, numbered up to {_LAST_TURN}, not of {turn}")
    snapshot_id = _id(sample)
    parameters = {
        "id": snapshot_id,
        "session_id": plain(sample.context.session_id),
        "session": _hashed(sample.context.session_id),
        "turn_id": turn,
        "resolved": as_json(dict(sample.values)),
        "ts": stamp(sample.taken_at),
        "position": sample.position,
        "at": stamp(sample.at),
        "reason": plain(sample.reason),
        "context": orjson.dumps(sample.context.to_json()).decode(),
        "mixed": as_json([source.to_json() for source in sample.mixed]),
    }
    connection.execute(sql.queries()["snapshot_record"], parameters)
    return snapshot_id


def _id(sample: Sample) -> UUID:
    # The values are in it too: who reports two answers to one question is to be found out.
    asked = (sample.position, sample.at, sample.reason, sample.context.to_json())
    mixed = [source.to_json() for source in sample.mixed]
    written = orjson.dumps([*asked, dict(sample.values), mixed], option=orjson.OPT_SORT_KEYS)
    return uuid5(_SNAPSHOTS, written.decode())


def forget(connection: Connection, session_id: str) -> int:
    """Delete a session's snapshots, and keep out those of it that are still on their way.

    Returns how many were deleted. Those on Kafka go with the topic's retention.
    """
    session = {"session_id": plain(session_id), "session": _hashed(session_id)}
    with connection.transaction():
        work_as(connection, PROJECTOR, Schemas.of(connection).ledger_path)
        connection.execute(sql.queries()["snapshots_remember_forgotten"], session)
        return connection.execute(sql.queries()["snapshots_forget"], session).rowcount


def _hashed(session_id: str) -> bytes:
    return sha256(session_id.encode()).digest()


# --- Reading ---


def list_snapshots(
    connection: Connection,
    *,
    after: After | None = None,
    session_id: str | None = None,
    limit: int = PAGE,
) -> tuple[list[Snapshot], After | None]:
    """List snapshots by position, of one session or of all; and where the next page begins."""
    condition = _OF_ALL if session_id is None else _OF_ONE
    position, last = after or After()
    wanted = {"session_id": None if session_id is None else plain(session_id)}
    parameters = {**wanted, "position": position, "id": last, "limit": limit + 1}
    parts = {"condition": condition}
    found = ask_page(connection, "snapshots_page", parts, parameters, Snapshot)
    more = len(found) > limit
    rows = found[:limit]
    return rows, After(rows[-1].position, rows[-1].id) if more else None


def count_snapshots(connection: Connection, session_id: str | None = None) -> int:
    """Count the snapshots of one session, or all."""
    condition = _OF_ALL if session_id is None else _OF_ONE
    statement = composed("snapshots_count", {"condition": condition})
    wanted = {"session_id": None if session_id is None else plain(session_id)}
    row = connection.execute(statement, wanted).fetchone()
    return 0 if row is None else int(row[0])


def snapshots(connection: Connection) -> Iterator[Snapshot]:
    """Yield all snapshots by position, a page at a time."""
    after: After | None = After()
    while after is not None:
        page, after = list_snapshots(connection, after=after, limit=PAGE)
        yield from page


def verify(samples: Iterable[Snapshot], past: Past) -> Iterator[Verdict]:
    """Resolve snapshots again, each as of its own position."""
    for snapshot in samples:
        yield Verdict(snapshot, check(snapshot.sample(), past))


def told(verdict: Verdict) -> Mapping[str, Json]:
    """Write a verdict as the API gives it."""
    snapshot, checked = verdict
    differs = {
        lever: {"sampled": sampled, "resolved": resolved}
        for lever, (sampled, resolved) in checked.differs.items()
    }
    return {
        "id": str(snapshot.id),
        "session_id": snapshot.session_id,
        "turn_id": snapshot.turn_id,
        "position": snapshot.position,
        "at": format_instant(snapshot.at),
        "agrees": checked.agrees,
        "differs": differs,
        "unverified": dict(checked.unverified),
        "problem": checked.problem or None,
    }
