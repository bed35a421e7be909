"""`liveops_audit`: one row for every event: who did what, where, why, and what it changed.

`diff` says for each member what stood `before` and `after`. What stood before is looked up in the
ledger itself, so that the view needs no other table and starts anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict, Unpack, assert_never
from uuid import UUID

from psycopg.sql import SQL, Composed, Identifier

from ledger.catalog import Catalog
from ledger.clock import Instant, format_instant
from ledger.content import Content
from ledger.events import (
    CatalogAdopted,
    ConfigActivated,
    ConfigArchived,
    ConfigCreated,
    ConfigDeactivated,
    ConfigEvent,
    ConfigRevised,
    ConfigRolledBack,
    Event,
    Frozen,
    LeverKilled,
    LeverRestored,
    Recorded,
    RolloutChanged,
    Unfrozen,
    decode,
)
from ledger.live import Activation, Origin
from ledger.scopes import Place, Scope
from projections import sql
from projections.views import (
    Connection,
    Cursor,
    Page,
    Parts,
    add_rows,
    ask_page,
    composed,
    plain,
    stamp,
)

Json = Any

ACTIONS: Mapping[type[Event], str] = {
    ConfigCreated: "create",
    ConfigRevised: "revise",
    ConfigActivated: "activate",
    ConfigDeactivated: "deactivate",
    ConfigArchived: "archive",
    ConfigRolledBack: "rollback",
    RolloutChanged: "rollout",
    Frozen: "freeze",
    Unfrozen: "unfreeze",
    LeverKilled: "kill",
    LeverRestored: "restore",
    CatalogAdopted: "adopt_catalog",
}
"""The action by which an event is filed: the verb of the command that leads to it."""

_WRITING = (ConfigCreated, ConfigRevised, CatalogAdopted)
_ENDING = (ConfigDeactivated, ConfigArchived)
_LIVING = (ConfigActivated, ConfigRolledBack, RolloutChanged, *_ENDING)


class AuditView:
    """The view `liveops_audit`."""

    name = "liveops_audit"
    version = 1
    tables: tuple[str, ...] = ("liveops_audit", "liveops_audit_levers")
    schema = sql.read("audit.sql")

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        """Add a row for each event of a batch."""
        past = _past(cursor, batch)
        rows = []
        for recorded in batch:
            rows.append(_row(recorded, _entry(past, recorded)))
            past.add(recorded)
        add_rows(cursor, self.name, rows)
        span = {"first": batch[0].position, "last": batch[-1].position}
        cursor.execute(sql.queries()["audit_add_levers"], span)


# --- What stood before ---


@dataclass(slots=True)
class _Past:
    """What stood before an event, as far as later events of the batch ask."""

    contents: dict[UUID, Content] = field(default_factory=dict)
    activations: dict[UUID, Activation] = field(default_factory=dict)
    archived: set[UUID] = field(default_factory=set)
    catalog: Catalog | None = None

    def add(self, recorded: Recorded) -> None:
        """Go past an event."""
        match event := recorded.event:
            case ConfigCreated() | ConfigRevised():
                self.contents[event.config_id] = event.content
            case ConfigActivated() | ConfigRolledBack() | RolloutChanged():
                activation = Activation(event.config_id, event.pinned, Origin.of(recorded))
                self.activations[event.config_id] = activation
                self.archived.discard(event.config_id)
            case ConfigDeactivated():
                self.activations.pop(event.config_id, None)
            case ConfigArchived():
                self.activations.pop(event.config_id, None)
                self.archived.add(event.config_id)
            case CatalogAdopted():
                self.catalog = event.catalog

    def place(self, config_id: UUID) -> Place:
        """Tell where a config is set that the batch ends."""
        activation = self.activations.get(config_id)
        return self.contents[config_id].place if activation is None else activation.pinned.place


def _past(cursor: Cursor, batch: Sequence[Recorded]) -> _Past:
    """Read what the ledger says of the batch's configs and catalog before it."""
    past = _Past()
    for asking, answering in (
        ((ConfigRevised, *_ENDING, CatalogAdopted), _WRITING),
        (_LIVING, _LIVING),
    ):
        firsts: dict[UUID, int] = {}
        for recorded in batch:
            if isinstance(recorded.event, asking):
                firsts.setdefault(recorded.event.stream, recorded.position)
        topics = [kind.__name__ for kind in answering]
        parameters = {"positions": list(firsts.values()), "topics": topics}
        cursor.execute(sql.queries()["audit_before"], parameters)
        for row in cursor.fetchall():
            if row[0] < batch[0].position:
                past.add(decode(*row))
    return past


# --- What changed ---


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an event concerned, and what it changed."""

    diff: dict[str, Json]
    place: Place | None = None
    levers: tuple[str, ...] = ()
    revision: int | None = None
    break_glass: bool = False
    violations: tuple[Json, ...] = ()


def _entry(past: _Past, recorded: Recorded) -> _Entry:
    match event := recorded.event:
        case ConfigCreated() | ConfigRevised():
            return _written(past.contents.get(event.config_id), event)
        case ConfigActivated() | ConfigRolledBack() | RolloutChanged():
            return _activated(
                past, Activation(event.config_id, event.pinned, Origin.of(recorded)), event
            )
        case ConfigDeactivated() | ConfigArchived():
            return _ended(past, event)
        case Frozen() | Unfrozen():
            frozen = isinstance(event, Frozen)
            return _Entry({"frozen": _change(not frozen, frozen)}, event.place)
        case LeverKilled() | LeverRestored():
            killed = isinstance(event, LeverKilled)
            diff = {"killed": _change(not killed, killed)}
            return _Entry(diff, levers=(event.lever,), break_glass=event.break_glass)
        case CatalogAdopted():
            return _adopted(past.catalog, event.catalog)
    assert_never(event)


def _written(before: Content | None, event: ConfigCreated | ConfigRevised) -> _Entry:
    old, new = {} if before is None else before.to_json(), event.content.to_json()
    return _Entry(
        _differences(old, new),
        event.content.place,
        _levers(old, new),
        event.revision,
        violations=event.violations,
    )


def _activated(
    past: _Past,
    activation: Activation,
    event: ConfigActivated | ConfigRolledBack | RolloutChanged,
) -> _Entry:
    old, new = _activation(past.activations.get(event.config_id)), _activation(activation)
    diff = _differences(old, new)
    if event.config_id in past.archived:
        diff["archived"] = _change(True, False)
    if isinstance(event, ConfigRolledBack):
        diff["restores"] = _change(None, event.restores)
    return _Entry(
        diff,
        activation.pinned.place,
        _levers(old, new),
        activation.pinned.revision,
        isinstance(event, ConfigRolledBack) and event.break_glass,
        event.violations if isinstance(event, ConfigActivated) else (),
    )


def _ended(past: _Past, event: ConfigDeactivated | ConfigArchived) -> _Entry:
    old = _activation(past.activations.get(event.config_id))
    diff = _differences(old, {})
    if isinstance(event, ConfigArchived):
        diff["archived"] = _change(False, True)
    return _Entry(
        diff,
        past.place(event.config_id),
        _levers(old, {}),
        old.get("revision"),
        isinstance(event, ConfigDeactivated) and event.break_glass,
    )


def _adopted(before: Catalog | None, after: Catalog) -> _Entry:
    old, new = ({} if c is None else _by_lever(c) for c in (before, after))
    diff = _differences(old, new, nested="levers")
    return _Entry(diff, levers=tuple(diff.get("levers", ())))


def _by_lever(catalog: Catalog) -> dict[str, Json]:
    written = catalog.to_json()
    return {**written, "levers": {entry["name"]: entry for entry in written["levers"]}}


def _activation(activation: Activation | None) -> dict[str, Json]:
    """Write an activation with the rank that it has, be it its own or a restored one."""
    return {} if activation is None else {**activation.pinned.to_json(), "rank": activation.rank}


def _levers(old: Mapping[str, Json], new: Mapping[str, Json]) -> tuple[str, ...]:
    return tuple(sorted(old.get("payload", {}).keys() | new.get("payload", {}).keys()))


def _differences(
    old: Mapping[str, Json], new: Mapping[str, Json], nested: str | None = "payload"
) -> dict[str, Json]:
    """List the members that differ, and for the nested one its own members that do."""
    found: dict[str, Json] = {}
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if name == nested:
            inner = _differences(before or {}, after or {}, None)
            found |= {name: inner} if inner else {}
        elif before != after or type(before) is not type(after):
            found[name] = _change(before, after)
    return found


def _change(before: Json, after: Json) -> dict[str, Json]:
    return {"before": before, "after": after}


def _row(recorded: Recorded, entry: _Entry) -> dict[str, Json]:
    event, cause = recorded.event, recorded.cause
    return {
        "id": recorded.event_id,
        "config_id": event.config_id if isinstance(event, ConfigEvent) else None,
        "action": ACTIONS[type(event)],
        "actor": cause.actor,
        "diff": entry.diff,
        "ts": stamp(recorded.recorded_at),
        "position": recorded.position,
        "reason": cause.reason,
        "correlation_id": cause.correlation_id,
        "causation_id": cause.causation_id,
        "scope": entry.place and entry.place.scope.value,
        "scope_ref": entry.place and entry.place.ref,
        "revision": entry.revision,
        "levers": entry.levers,
        "break_glass": entry.break_glass,
        "violations": entry.violations,
    }


# --- Asking ---


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

    def to_json(self) -> dict[str, Json]:
        """Write the entry as the API lists it."""
        written = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("id", "config_id", "actor", "correlation_id", "causation_id"):
            written[name] = None if written[name] is None else str(written[name])
        return {**written, "ts": format_instant(self.ts)}


class AuditFilters(TypedDict, total=False):
    """What the trail can be narrowed by; None is no filter. From `since` until before `until`."""

    actor: UUID | None
    action: str | None
    lever: str | None
    scope: str | None
    scope_ref: str | None
    config_id: UUID | None
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
    if action is not None and action not in ACTIONS.values():
        raise ValueError(f"{action!r} is not an action")
    return {
        "actor": filters.get("actor"),
        "action": action,
        "lever": None if lever is None else plain(lever),
        "scope": None if scope is None else Scope(scope).value,
        "scope_ref": filters.get("scope_ref"),
        "config_id": filters.get("config_id"),
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
    led = _led_by(named)
    conditions = [_RANGES[name] if name == led else _FILTERS[name] for name in named]
    if filters.get("after") is not None:
        conditions.append(SQL("position > %(after)s" if oldest_first else "position < %(after)s"))
    columns = [Identifier("liveops_audit", name) for name in (led, "position") if name]
    way = SQL(" ASC" if oldest_first else " DESC")
    return {
        "conditions": SQL(" AND ").join([SQL("true"), *conditions]),
        "order": SQL(", ").join(column + way for column in columns),
    }


def _led_by(named: Sequence[str]) -> str | None:
    """Name the enum whose index is to be walked; how rare a ref is, is known better."""
    if "action" in named:
        return "action"
    return "scope" if "scope" in named and "scope_ref" not in named else None
