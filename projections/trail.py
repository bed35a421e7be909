"""Asking `liveops_audit`: pages of the audit trail, by any filter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict, Unpack
from uuid import UUID

from psycopg.sql import SQL, Composed, Identifier

from ledger.clock import Instant, format_instant
from ledger.scopes import Scope
from projections import sql
from projections.audit import ACTIONS
from projections.views import Connection, Page, Parts, ask_page, composed, plain, stamp

Json = Any


@dataclass(frozen=True, slots=True)
class Audited:
    """An entry of the audit trail."""

    id: UUID
    config_id: UUID | None
    action: str
    actor: UUID
    diff: dict[str, Json] | None
    ts: Instant
    position: int
    reason: str
    correlation_id: UUID
    causation_id: UUID
    scope: str | None
    scope_ref: str | None
    revision: int | None
    levers: list[str]
    break_glass: bool
    violations: list[Json]
    through: list[UUID] | None = None
    """Of an experiment's entry that concerns a lever: by which configs it does, the first ones."""

    def to_json(self) -> dict[str, Json]:
        """Write the entry as the API lists it."""
        written = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("id", "config_id", "actor", "correlation_id", "causation_id"):
            written[name] = None if written[name] is None else str(written[name])
        through = None if self.through is None else list(map(str, self.through))
        return {**written, "ts": format_instant(self.ts), "through": through}


class AuditFilters(TypedDict, total=False):
    """What the trail can be narrowed by; None is no filter. From `since` until before `until`.

    `lever` finds what concerns it through an experiment or a catalog as well; `correlation_id`
    finds all that one cause led to; `upto` is the last position that is listed.
    """

    actor: UUID | None
    action: str | None
    actions: Collection[str] | None
    lever: str | None
    scope: str | None
    scope_ref: str | None
    config_id: UUID | None
    correlation_id: UUID | None
    upto: int | None
    since: Instant | None
    until: Instant | None


def list_audit(
    connection: Connection,
    *,
    limit: int = 50,
    after: int | None = None,
    oldest_first: bool = False,
    **filters: Unpack[AuditFilters],
) -> Page[Audited]:
    """List the entries that meet every filter, newest first.

    `after` is a page's `next`; a list that is read `oldest_first` also finds what is recorded
    meanwhile. Raises ValueError for a scope or action that does not exist.
    """
    wanted = {**_values_of(filters), "after": after}
    parts = _parts(wanted, oldest_first=oldest_first)
    rows = ask_page(connection, "audit_page", parts, {**wanted, "limit": limit + 1}, Audited)
    more = len(rows) > limit
    return Page(tuple(rows[:limit]), rows[limit - 1].position if more else None)


def _values_of(filters: AuditFilters) -> dict[str, Any]:
    action, scope, lever = filters.get("action"), filters.get("scope"), filters.get("lever")
    actions = set(filters.get("actions") or ())
    for named in {*actions, *([] if action is None else [action])} - set(ACTIONS.values()):
        raise ValueError(f"{named!r} is not an action")
    if action is None and len(actions) == 1:
        (action,) = actions
    return {
        "actor": filters.get("actor"),
        "action": action,
        "actions": sorted(actions) if len(actions) > 1 else None,
        "lever": None if lever is None else plain(lever),
        "scope": None if scope is None else Scope(scope).value,
        "scope_ref": filters.get("scope_ref"),
        "config_id": filters.get("config_id"),
        "correlation_id": filters.get("correlation_id"),
        "upto": filters.get("upto"),
        "since": stamp(filters.get("since")),
        "until": stamp(filters.get("until")),
    }


def audit_statement(filters: Mapping[str, Any], *, oldest_first: bool = False) -> Composed:
    """Return the statement that `list_audit` runs for filters, to have it explained."""
    return composed("audit_page", _parts(filters, oldest_first=oldest_first))


# Instants grow with positions, so the edges of a time span are looked up as positions: then the
# index of any other filter, which ends in the position, serves the time span as well.
_FILTERS: Mapping[str, SQL] = {
    "actor": SQL("actor = %(actor)s"),
    "action": SQL("action = %(action)s::liveops_audit_action"),
    "lever": SQL(
        "EXISTS (SELECT FROM liveops_audit_levers l"
        " WHERE l.lever = %(lever)s AND l.position = liveops_audit.position)"
    ),
    "scope": SQL("scope = %(scope)s::liveops_config_scope"),
    "scope_ref": SQL("scope_ref = %(scope_ref)s"),
    "config_id": SQL("config_id = %(config_id)s"),
    "correlation_id": SQL("correlation_id = %(correlation_id)s"),
    "upto": SQL("position <= %(upto)s"),
    "since": SQL(
        "position >= (SELECT a.position FROM liveops_audit a"
        " WHERE a.ts >= %(since)s::timestamptz ORDER BY a.ts LIMIT 1)"
    ),
    "until": SQL(
        "position <= (SELECT a.position FROM liveops_audit a"
        " WHERE a.ts < %(until)s::timestamptz ORDER BY a.ts DESC LIMIT 1)"
    ),
}
# Under row-level security Postgres guesses how many rows an enum filters (enum_eq is not leakproof,
# so its statistics are out of bounds), and would walk the whole trail by position for a rare one.
# A range of one value, and that value in the order, leave it the enum's own index, or that of
# another filter, of which it knows how rare it is.
_RANGES: Mapping[str, SQL] = {
    "action": SQL(
        "action BETWEEN %(action)s::liveops_audit_action AND %(action)s::liveops_audit_action"
    ),
    "scope": SQL(
        "scope BETWEEN %(scope)s::liveops_config_scope AND %(scope)s::liveops_config_scope"
    ),
}


def _parts(filters: Mapping[str, Any], *, oldest_first: bool) -> Parts:
    named = [name for name in _FILTERS if filters.get(name) is not None]
    several = filters.get("actions") is not None
    led = None if several else _led_by(named)
    conditions = [_RANGES[name] if name == led else _FILTERS[name] for name in named]
    if filters.get("after") is not None:
        conditions.append(SQL("position > %(after)s" if oldest_first else "position < %(after)s"))
    where = SQL(" AND ").join([SQL("true"), *conditions])
    asked_for = filters.get("lever") is not None
    return {
        "entries": Identifier("liveops_audit"),
        "conditions": where,
        "order": _order(led, oldest_first=oldest_first),
        "through": _part("audit_through.sql") if asked_for else SQL("NULL::uuid[]"),
        **(_by_action(where, oldest_first=oldest_first) if several else {}),
    }


def _by_action(where: Composed, *, oldest_first: bool) -> Parts:
    order = _order("action", oldest_first=oldest_first)
    entries = _part("audit_of_actions.sql", conditions=where, order=order)
    return {"entries": entries, "conditions": SQL("true")}


def _part(file: str, **parts: SQL | Composed | Identifier) -> Composed:
    return SQL(sql.read(file).decode()).format(**parts)


def _order(led: str | None, *, oldest_first: bool) -> Composed:
    columns = [Identifier("liveops_audit", name) for name in (led, "position") if name]
    way = SQL(" ASC" if oldest_first else " DESC")
    return SQL(", ").join(column + way for column in columns)


def _led_by(named: Sequence[str]) -> str | None:
    """Name the enum whose index is to be walked; how rare a ref is, is known better."""
    if "action" in named:
        return "action"
    return "scope" if "scope" in named and "scope_ref" not in named else None
