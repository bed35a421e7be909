"""Counting `liveops_audit`: how many events of each kind there were, and whose."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from ledger.scopes import Place
from projections import sql
from projections.views import Connection


class Counted(NamedTuple):
    """So many events of an action that an actor caused."""

    action: str
    actor: UUID
    events: int


def count_audit(
    connection: Connection, after: int, upto: int, place: Place | None = None
) -> list[Counted]:
    """Count the entries after a position until another, those of a place or all, the most first.

    The view knows nothing of events beyond its own position.
    """
    parameters = {
        "after": after,
        "upto": upto,
        "scope": None if place is None else place.scope.value,
        "scope_ref": None if place is None else place.ref,
    }
    cursor = connection.cursor(binary=True)
    rows = cursor.execute(sql.read("audit_counts.sql"), parameters).fetchall()
    return [Counted(*row) for row in rows]
