"""`liveops_configs`: every config as it stands, its newest revision, what is in force of it or in
shadow.

`status` is the stage at the row's last event, because a row must not change by the passing of
time. What it is at an instant, `list_configs` works out from the same row, the instant and the
freezes; SQL users ask `liveops_configs_at`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict, Unpack
from uuid import UUID

import orjson
from psycopg.sql import SQL, Composed

from ledger.clock import Instant, format_instant
from ledger.content import Content
from ledger.events import (
    ConfigActivated,
    ConfigArchived,
    ConfigCreated,
    ConfigDeactivated,
    ConfigEvent,
    ConfigRevised,
    ConfigRolledBack,
    Frozen,
    Recorded,
    RolloutChanged,
    ShadowStarted,
    ShadowStopped,
    Unfrozen,
)
from ledger.live import Activation, Freeze, Live, Origin, evolve_live
from ledger.schedule import Window
from ledger.scopes import Place, Scope
from ledger.state import Status, window_status
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

_IN_WINDOW = (Status.SCHEDULED, Status.ACTIVE, Status.EXPIRED)


_STAMPS = (
    "valid_from",
    "valid_to",
    "created_at",
    "updated_at",
    "active_from",
    "active_to",
    "activated_at",
    "shadowed_at",
)
_TEXTS = ("payload", "targeting", "rollout", "labels", "activation", "shadow")

Fields = dict[str, Any]
"""A row by column: stamps are Instants, and JSON is text, so that no number changes on its way."""


class ConfigsView:
    """The view `liveops_configs`, with `liveops_freezes` beside it."""

    name = "liveops_configs"
    version = 2
    tables: tuple[str, ...] = ("liveops_configs", "liveops_freezes")
    schema = sql.read("configs.sql")

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        """Fold a batch into the rows of the configs it touches, and into the freezes."""
        changes = [recorded for recorded in batch if isinstance(recorded.event, ConfigEvent)]
        rows = _load(cursor, {recorded.event.stream for recorded in changes})
        live = _load_freezes(cursor)
        before = dict(live.freezes)
        for recorded in batch:
            if isinstance(recorded.event, (Frozen, Unfrozen)):
                evolve_live(live, recorded)
            elif isinstance(recorded.event, ConfigEvent):
                _change(rows, recorded.event, recorded)
                _stage(rows[recorded.event.config_id], live, recorded.recorded_at)
        _store(cursor, rows)
        if live.freezes != before:
            _store_freezes(cursor, live)


# --- Folding ---


def _change(rows: dict[UUID, Fields], event: ConfigEvent, recorded: Recorded) -> None:
    """Bring a config's row to an event, all but the stage that its window clock tells."""
    if isinstance(event, ConfigCreated):
        rows[event.config_id] = _created(event, recorded)
        return
    row = rows[event.config_id]
    row |= {"updated_at": recorded.recorded_at, "position": recorded.position}
    match event:
        case ConfigRevised():
            row |= _written(event.revision, event.content)
        case ConfigActivated() | ConfigRolledBack() | RolloutChanged():
            row |= _activated(event, recorded)
        case ConfigDeactivated():
            row |= {"status": Status.INACTIVE, **_NOT_ACTIVE}
        case ConfigArchived():
            row |= {"status": Status.ARCHIVED, **_NOT_ACTIVE, **_NOT_IN_SHADOW}
        case ShadowStarted():
            row |= _shadowed(event, recorded)
        case ShadowStopped():
            row |= _NOT_IN_SHADOW
        case _:
            raise ValueError(f"{type(event).__name__} is news to the view liveops_configs")


def _created(event: ConfigCreated, recorded: Recorded) -> Fields:
    return {
        "config_id": event.config_id,
        "scope": event.content.place.scope,
        "scope_ref": event.content.place.ref,
        "status": Status.DRAFT,
        "created_by": recorded.cause.actor,
        "created_at": recorded.recorded_at,
        "updated_at": recorded.recorded_at,
        "created_position": recorded.position,
        "position": recorded.position,
        **_written(event.revision, event.content),
        **_NOT_ACTIVE,
        **_NOT_IN_SHADOW,
    }


def _written(revision: int, content: Content) -> Fields:
    written = content.to_json()
    return {
        "revision": revision,
        "name": content.name,
        "payload": _text(written["payload"]),
        "valid_from": content.window.valid_from,
        "valid_to": content.window.valid_to,
        "targeting": _text(written["targeting"]),
        "rollout": _text(written["rollout"]),
        "priority": content.priority,
        "labels": _text(written["labels"]),
    }


def _activated(
    event: ConfigActivated | ConfigRolledBack | RolloutChanged, recorded: Recorded
) -> Fields:
    return {
        "active_revision": event.pinned.revision,
        "active_from": event.pinned.window.valid_from,
        "active_to": event.pinned.window.valid_to,
        "activated_at": recorded.recorded_at,
        "activated_position": recorded.position,
        "activation": _ranked(event, recorded),
    }


def _shadowed(event: ShadowStarted, recorded: Recorded) -> Fields:
    return {
        "shadow_revision": event.pinned.revision,
        "shadowed_at": recorded.recorded_at,
        "shadowed_position": recorded.position,
        "shadow": _ranked(event, recorded),
    }


def _ranked(
    event: ConfigActivated | ConfigRolledBack | RolloutChanged | ShadowStarted, recorded: Recorded
) -> str | None:
    """Write what an event pinned, with the rank that it has, be it its own or a restored one."""
    rank = Activation(event.config_id, event.pinned, Origin.of(recorded)).rank
    return _text({**event.pinned.to_json(), "rank": rank})


_NOT_ACTIVE: Fields = dict.fromkeys(
    (
        "active_revision",
        "active_from",
        "active_to",
        "activated_at",
        "activated_position",
        "activation",
    )
)
_NOT_IN_SHADOW: Fields = dict.fromkeys(
    ("shadow_revision", "shadowed_at", "shadowed_position", "shadow")
)


def _stage(row: Fields, live: Live, at: Instant) -> None:
    """Set the stage of a config that has an activation, at an instant not before the last event."""
    if row["activation"] is None:
        return
    clock = live.clock(Place(Scope(row["scope"]), row["scope_ref"]), at)
    row["status"] = window_status(Window(row["active_from"], row["active_to"]), clock)


# --- Rows in and out ---


def _load(cursor: Cursor, config_ids: Iterable[UUID]) -> dict[UUID, Fields]:
    cursor.execute(sql.queries()["configs_load"], {"config_ids": list(config_ids)})
    columns = [column.name for column in cursor.description or ()]
    return {values[0]: dict(zip(columns, values, strict=True)) for values in cursor.fetchall()}


def _store(cursor: Cursor, rows: Mapping[UUID, Fields]) -> None:
    if not rows:
        return
    cursor.execute(sql.queries()["configs_remove"], {"config_ids": list(rows)})
    add_rows(cursor, ConfigsView.tables[0], [_columns(row) for row in rows.values()])


def _columns(row: Fields) -> dict[str, Json]:
    """Write a row, with the levers that the newest revision, activation or shadow sets."""
    stamps = {name: stamp(row[name]) for name in _STAMPS}
    texts = {name: _fragment(row[name]) for name in _TEXTS}
    levers = set(orjson.loads(row["payload"]))
    for pinned in (row["activation"], row["shadow"]):
        if pinned is not None:
            levers |= set(orjson.loads(pinned)["payload"])
    return {**row, **stamps, **texts, "levers": sorted(levers)}


def _text(value: Json) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _fragment(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)


def _load_freezes(cursor: Cursor) -> Live:
    live = Live()
    cursor.execute(sql.queries()["freezes_load"])
    for scope, ref, position, begun_at, actor, reason, ended_at in cursor.fetchall():
        place = Place(Scope(scope), ref)
        freeze = Freeze(Origin(position, begun_at, actor, reason), ended_at)
        live.freezes[place] = (*live.freezes.get(place, ()), freeze)
    return live


def _store_freezes(cursor: Cursor, live: Live) -> None:
    cursor.execute(sql.queries()["freezes_remove"])
    rows = [
        {
            "position": freeze.origin.position,
            "scope": place.scope.value,
            "scope_ref": place.ref,
            "begun_at": stamp(freeze.begin),
            "ended_at": stamp(freeze.end),
            "actor": freeze.origin.actor,
            "reason": freeze.origin.reason,
        }
        for place, freezes in live.freezes.items()
        for freeze in freezes
    ]
    add_rows(cursor, ConfigsView.tables[1], rows)


# --- Asking ---


@dataclass(frozen=True, slots=True)
class ListedConfig:
    """A config of the list, its status at the instant that was asked for.

    The content is that of the newest revision; `active_…` tell of the un-ended activation, and
    `shadow…` of the shadow.
    """

    config_id: UUID
    name: str
    scope: str
    scope_ref: str
    status: str
    payload: dict[str, Json]
    valid_from: Instant | None
    valid_to: Instant | None
    created_by: UUID
    created_at: Instant
    updated_at: Instant
    revision: int
    targeting: dict[str, Json] | None
    rollout: dict[str, Json] | None
    priority: int
    labels: dict[str, str]
    active_revision: int | None
    active_from: Instant | None
    active_to: Instant | None
    activated_at: Instant | None
    activated_position: int | None
    shadow_revision: int | None
    shadowed_at: Instant | None
    shadowed_position: int | None
    levers: list[str]
    created_position: int
    position: int

    def to_json(self) -> dict[str, Json]:
        """Write the config as the API lists it."""
        written = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in _STAMPS:
            written[name] = None if written[name] is None else format_instant(written[name])
        ids = {"config_id": str(self.config_id), "created_by": str(self.created_by)}
        return {**written, **ids}


class ConfigFilters(TypedDict, total=False):
    """What a list of configs can be narrowed by; None is no filter.

    `status` is the one at the instant asked for. `q` is looked for in name and ref, whatever the
    case.
    """

    scope: str | None
    scope_ref: str | None
    status: str | None
    lever: str | None
    q: str | None
    config_id: UUID | None


def list_configs(
    connection: Connection,
    *,
    at: Instant | None = None,
    limit: int = 50,
    after: int | None = None,
    **filters: Unpack[ConfigFilters],
) -> Page[ListedConfig]:
    """List the configs that meet every filter, newest first.

    `at` None is now, by the database's clock; nothing is earlier than the view's last event.
    `after` is a page's `next`. Raises ValueError for a scope or status that does not exist.
    """
    wanted = {**_values_of(filters), "after": after}
    parameters = {**wanted, "at": stamp(at), "limit": limit + 1}
    rows = ask_page(connection, "configs_page", _parts(wanted), parameters, ListedConfig)
    more = len(rows) > limit
    return Page(tuple(rows[:limit]), rows[limit - 1].created_position if more else None)


def _values_of(filters: ConfigFilters) -> dict[str, Any]:
    scope, status = filters.get("scope"), filters.get("status")
    lever, text = filters.get("lever"), filters.get("q")
    return {
        "scope": None if scope is None else Scope(scope).value,
        "scope_ref": filters.get("scope_ref"),
        "status": None if status is None else Status(status).value,
        "lever": None if lever is None else [plain(lever)],
        "q": None if text is None else _pattern(text),
        "config_id": filters.get("config_id"),
    }


def configs_statement(filters: Mapping[str, Any]) -> Composed:
    """Return the statement that `list_configs` runs for filters, to have it explained."""
    return composed("configs_page", _parts(filters))


_FILTERS: Mapping[str, SQL] = {
    "scope": SQL("scope = %(scope)s::liveops_config_scope"),
    "scope_ref": SQL("scope_ref = %(scope_ref)s"),
    "lever": SQL("levers @> %(lever)s::text[]"),
    "q": SQL("(name ILIKE %(q)s OR scope_ref ILIKE %(q)s)"),
    "config_id": SQL("config_id = %(config_id)s"),
    "after": SQL("created_position < %(after)s"),
}
# `coalesce` lets Postgres expect many: expecting a few it would sort them all for one page.
_BY_CLOCK = SQL(
    "status IN ('scheduled', 'active', 'expired')"
    " AND coalesce(stage = %(status)s::liveops_config_status, false)"
)
# A range of one value, and that value in the order, because Postgres may not know how rare it is:
# see the same in `audit`.
_AS_STORED = SQL(
    "status BETWEEN %(status)s::liveops_config_status AND %(status)s::liveops_config_status"
)


def _parts(filters: Mapping[str, Any]) -> Parts:
    wanted = [condition for name, condition in _FILTERS.items() if filters.get(name) is not None]
    order = SQL("created_position DESC")
    status = filters.get("status")
    if status is not None and Status(status) in _IN_WINDOW:
        wanted.append(_BY_CLOCK)
    elif status is not None:
        wanted.append(_AS_STORED)
        order = SQL("staged.status DESC, created_position DESC")
    return {"conditions": SQL(" AND ").join([SQL("true"), *wanted]), "order": order}


def _pattern(text: str) -> str:
    escaped = plain(text).replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"
