"""What a game was given in one turn, as it reports it: enough to resolve it again.

An answer may mix versions of the ledger: of levers that hold for a session, and of those that no
turn may hold back. Then the sample names its sources: each lever is checked against its own.

A game imports this before it has anything to report: what reads and writes comes with the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.clock import Instant, format_instant, parse_instant
from ledger.cloudevents import Record, Unreadable
from ledger.scopes import Context

Json = Any

SOURCE = "/liveops/game"
TYPE = "liveops.SnapshotTaken.v1"
LARGEST = 1 << 18
"""Bytes of a sample that are read; 60 levers take three thousand."""

SESSION, IMMEDIATE, STALE = "session", "immediate", "stale"
WHYS = frozenset({SESSION, IMMEDIATE, STALE})


class Source(NamedTuple):
    """Which version some levers come from, where it is not the answer's own.

    They are resolved right after the event `position` for `at`, with the kills in force after
    the event `kills`. `levers` None stands for all that no other source names. `why`: held for the
    `session`; `immediate`, past what the turn is pinned to; or `stale`, what a lever falls back to
    because nothing was heard of the ledger.
    """

    why: str
    levers: tuple[str, ...] | None
    position: int
    at: Instant
    kills: int

    def to_json(self) -> dict[str, Json]:
        """Write it as the table holds it."""
        levers = None if self.levers is None else list(self.levers)
        return {**self._asdict(), "levers": levers, "at": format_instant(self.at)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Source:
        """Read what `to_json` wrote; raises Unreadable."""
        try:
            why, levers, position, at, kills = (data[name] for name in cls._fields)
            _expect(why in WHYS and _counts(position) and _counts(kills))
            _expect(levers is None or (isinstance(levers, list) and all(map(_is_text, levers))))
            return cls(why, levers and tuple(levers), position, parse_instant(at), kills)
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"a source of a sample: {error}") from None


class Sample(NamedTuple):
    """A context and the answer that it was given at `taken_at`."""

    context: Context
    values: Mapping[str, Json]
    position: int
    at: Instant
    reason: str
    taken_at: Instant
    mixed: tuple[Source, ...] = ()

    def record(self) -> Record:
        """Write it as a CloudEvent of the topic of telemetry, keyed by its session."""
        from uuid import uuid4

        import orjson

        written = {
            "context": self.context.to_json(),
            "values": dict(self.values),
            "position": self.position,
            "at": format_instant(self.at),
            "reason": self.reason,
            "taken_at": format_instant(self.taken_at),
            "mixed": [source.to_json() for source in self.mixed],
        }
        attributes = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": SOURCE,
            "type": TYPE,
            "subject": self.context.session_id,
            "time": format_instant(self.taken_at),
        }
        headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
        key = self.context.session_id.encode()
        content_type = ("content-type", b"application/json")
        return Record(key, orjson.dumps(written), [content_type, *headers], self.taken_at // 1000)

    @classmethod
    def read(cls, value: bytes) -> Sample:
        """Read the value of a record; raises Unreadable for what no game of ours has written."""
        import orjson

        try:
            _expect(len(value) <= LARGEST)
            data = orjson.loads(value)
            _expect(isinstance(data["values"], dict) and _counts(data["position"]))
            _expect(isinstance(data["reason"], str) and isinstance(data["mixed"], list))
            return cls(
                read_context(data["context"]),
                data["values"],
                data["position"],
                parse_instant(data["at"]),
                data["reason"],
                parse_instant(data["taken_at"]),
                tuple(map(Source.from_json, data["mixed"])),
            )
        except Unreadable:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"a sample: {error}") from None


def read_context(data: Mapping[str, Json]) -> Context:
    """Read a context that a game wrote; raises Unreadable."""
    _expect(isinstance(data, Mapping) and data.keys() <= set(Context._fields))
    context = Context(**data)
    named = (context.world_id, context.adventure_id, context.experiment_id, context.variation)
    _expect(_is_text(context.session_id) and context.session_id != "")
    _expect(context.turn_id is None or type(context.turn_id) is int)
    _expect(all(name is None or _is_text(name) for name in named))
    _expect(isinstance(context.attributes, Mapping) and isinstance(context.experiments, Mapping))
    _expect(all(name is None or _is_text(name) for name in context.experiments.values()))
    return context


def _expect(holds: bool) -> None:
    if not holds:
        raise Unreadable("it has a member that is missing or of another kind")


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _counts(value: Json) -> bool:
    return type(value) is int and 0 <= value < 1 << 63
