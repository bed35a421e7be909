"""`liveops_timeline`: what resolution rests on, as it stood after every event.

A row is one version of one thing of the compacted topic, with the positions over which it held.
So any past state of the ledger is read as fast as the present one, whole or only the parts that
one context needs, and put together by `ledger.live.assemble`. A checkpoint of the folded state,
in other words, at every position, of which each thing is stored once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from ledger.catalog import Catalog
from ledger.clock import Instant
from ledger.events import (
    CatalogAdopted,
    ConfigCreated,
    ConfigEvent,
    ConfigRevised,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Frozen,
    LeverKilled,
    LeverRestored,
    Recorded,
    Unfrozen,
)
from ledger.live import FOLD, Live, Origin, assemble, evolve_live, thing
from ledger.parts import part_of
from projections import sql
from projections.views import Connection, Cursor, add_rows, ask_page, stamp

Json = Any


class Span(NamedTuple):
    """A version of a thing, which held from the event `begins` until just before the event `ends`.

    `body` is the thing as JSON; both ends are open (None) while it holds.
    """

    thing: str
    part: str
    begins: int
    ends: int | None
    begun_at: Instant
    ended_at: Instant | None
    body: bytes

    def value(self) -> dict[str, Json]:
        """Read the thing."""
        value: dict[str, Json] = orjson.loads(self.body)
        return value


class TimelineView:
    """The view `liveops_timeline`; its version is that of the code that folds events."""

    name = "liveops_timeline"
    version = FOLD
    tables: tuple[str, ...] = ("liveops_timeline",)
    schema = sql.read("timeline.sql")

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        """End the versions that the events of a batch replace, and add the new ones."""
        before = _before(cursor, batch)
        live = assemble(0, 0, map(orjson.loads, before.values()))
        changes = _Changes(before)
        for recorded in batch:
            for thing_id in dict.fromkeys(evolve_live(live, recorded)):
                changes.add(recorded, thing_id, thing(live, thing_id))
        cursor.execute(sql.queries()["timeline_end"], changes.ended())
        add_rows(cursor, self.name, changes.rows())


def _before(cursor: Cursor, batch: Sequence[Recorded]) -> dict[str, bytes]:
    """Read the things that a batch of events could change, as they stand before it, by id."""
    things: set[str] = set()
    parts: set[str] = set()
    for recorded in batch:
        match event := recorded.event:
            case ConfigCreated() | ConfigRevised():
                pass
            case ConfigEvent():
                things |= {str(event.config_id), f"shadow:{event.config_id}"}
            case LeverKilled() | LeverRestored():
                things.add(f"kill:{event.lever}")
            case ExperimentStarted() | ExperimentChanged():
                things.add(f"experiment:{event.experiment.experiment_id}")
            case ExperimentStopped():
                things.add(f"experiment:{event.experiment_id}")
            case CatalogAdopted():
                things.add("catalog")
            case Frozen() | Unfrozen():
                parts.add("freezes")
    parameters = {"things": list(map(_key, things)), "parts": list(parts)}
    cursor.execute(sql.queries()["timeline_open"], parameters, binary=True)
    return {_name(row[0]): row[-1] for row in cursor.fetchall()}


class _Version(NamedTuple):
    begun: Recorded
    ended: Recorded | None
    thing_id: str
    value: Mapping[str, Json]
    body: bytes

    def row(self) -> dict[str, Json]:
        ended = self.ended
        return {
            "thing": _key(self.thing_id),
            "part": _key(part_of(self.value)),
            "begins": self.begun.position,
            "ends": None if ended is None else ended.position,
            "begun_at": stamp(self.begun.recorded_at),
            "ended_at": stamp(None if ended is None else ended.recorded_at),
            "levers": _levers(self.value),
            "body": f"\\x{self.body.hex()}",
        }


@dataclass(slots=True)
class _Changes:
    """The versions that a batch ends and adds; `_standing` is what holds now, by thing."""

    _standing: dict[str, bytes]
    _ended: dict[str, Recorded] = field(default_factory=dict)
    _past: list[_Version] = field(default_factory=list)
    _open: dict[str, _Version] = field(default_factory=dict)

    def add(self, recorded: Recorded, thing_id: str, value: Mapping[str, Json] | None) -> None:
        """Take note that an event made a thing what it is, or did away with it."""
        body = None if value is None else orjson.dumps(value)
        if body == self._standing.get(thing_id):
            return
        begun = self._open.pop(thing_id, None)
        if begun is not None:
            self._past.append(begun._replace(ended=recorded))
        elif thing_id in self._standing:
            self._ended[thing_id] = recorded
        if value is None or body is None:
            del self._standing[thing_id]
        else:
            self._standing[thing_id] = body
            self._open[thing_id] = _Version(recorded, None, thing_id, value, body)

    def ended(self) -> dict[str, list[Json]]:
        """List the rows that end, as the statement takes them."""
        return {
            "things": list(map(_key, self._ended)),
            "ends": [recorded.position for recorded in self._ended.values()],
            "ended_at": [stamp(recorded.recorded_at) for recorded in self._ended.values()],
        }

    def rows(self) -> list[dict[str, Json]]:
        """List the rows to add."""
        return [version.row() for version in (*self._past, *self._open.values())]


def _levers(value: Mapping[str, Json]) -> list[str]:
    if value["kind"] == "kill":
        return [value["lever"]]
    return sorted(value.get("activation", {}).get("payload", ()))


# Postgres takes no U+0000 in a text, and no two things may get the same name for that.
def _key(text: str) -> str:
    return text.replace("%", "%25").replace("\x00", "%00")


def _name(key: str) -> str:
    return key.replace("%00", "\x00").replace("%25", "%")


# --- Asking ---


class Prefix(NamedTuple):
    """What held right after the event `position`, of some parts or of all."""

    position: int
    recorded_at: Instant
    spans: tuple[Span, ...]

    def live(self) -> Live:
        """Put it together."""
        others = (span.value() for span in self.spans if span.part != "catalog")
        live = assemble(self.position, self.recorded_at, others)
        for span in self.spans:
            if span.part == "catalog":
                live.catalog, live.catalog_origin = _catalog(span.body)
        return live


# A catalog takes longer to read than all the rest that an answer needs, and seldom changes.
@lru_cache(maxsize=8)
def _catalog(body: bytes) -> tuple[Catalog, Origin | None]:
    live = assemble(0, 0, [orjson.loads(body)])
    return live.catalog, live.catalog_origin


def prefix_at(
    connection: Connection, position: int, parts: Collection[str] | None = None
) -> Prefix | None:
    """Read what held right after an event, or after the view's last one if that is earlier.

    `parts` (see `ledger.parts`) limits it to some. None where the view is of another version.
    """
    parameters = {
        "position": position,
        "version": TimelineView.version,
        "parts": None if parts is None else list(map(_key, parts)),
    }
    query = "timeline_prefix_whole" if parts is None else "timeline_prefix"
    cursor = connection.cursor(binary=True)
    rows = cursor.execute(sql.queries()[query], parameters, prepare=True).fetchall()
    if not rows:
        return None
    reached, recorded_at = rows[0][:2]
    spans = (Span(*row[2:]) for row in rows if row[2] is not None)
    return Prefix(reached, recorded_at or 0, tuple(map(_named, spans)))


def spans_between(
    connection: Connection,
    first: int,
    last: int,
    parts: Collection[str] | None = None,
    levers: Collection[str] | None = None,
) -> list[Span]:
    """List what held at some time from right after one event to right after another, by `begins`.

    `levers` leaves out configs, shadows and kills that concern none of these. The view knows
    nothing of events beyond its own position.
    """
    query = "timeline_whole_between" if parts is None else "timeline_between"
    parameters = {
        "first": first,
        "last": last,
        "parts": None if parts is None else list(map(_key, parts)),
        "levers": None if levers is None else list(levers),
    }
    return list(map(_named, ask_page(connection, query, {}, parameters, Span)))


def _named(span: Span) -> Span:
    return span._replace(thing=_name(span.thing), part=_name(span.part))
