"""How the ledger travels on Kafka: CloudEvents 1.0 in binary mode.

An event is its envelope, byte for byte. Its headers add the position before it, so that a gap
proves itself, and whether its batch ends here: the events of one command are one batch, and a
reader applies whole batches only. A *thing* is the latest state of something that matters to
resolution (see `ledger.live`), a tombstone once it is gone; the *head* says which position all
things together are of, and how many there are.

A game imports this before it has any record: what reads and writes one is imported with the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ledger.clock import Instant, format_instant, parse_instant

Json = Any
Headers = list[tuple[str, bytes]]

SOURCE = "/liveops/ledger"
LEDGER_KEY = b"ledger"
"""Key of the events that belong to no config."""

HEAD = "head"
THING_VERSION = 1
THING_KINDS = frozenset({"catalog", "kill", "freeze", "experiment", "shadow", "config"})


class Unreadable(ValueError):
    """A record that is not what it should be, or that a newer version of this program wrote."""


class Record(NamedTuple):
    """What one record on Kafka consists of; `value` None is a tombstone."""

    key: bytes
    value: bytes | None
    headers: Headers
    timestamp_ms: int


class Stamp(NamedTuple):
    """A position, and when it was recorded."""

    position: int
    recorded_at: Instant


class Link(NamedTuple):
    """How an event joins the one before it, as its headers tell: a gap or a repeat shows in it."""

    position: int
    previous: int
    ends_batch: bool


class Head(NamedTuple):
    """The prefix that the things in the compacted topic are the state of."""

    position: int
    recorded_at: Instant
    things: int


def event_record(stamp: Stamp, state: bytes, *, ends_batch: bool) -> Record:
    """Write an event from the bytes that are stored for it."""
    import orjson

    from ledger.events import envelope

    members = orjson.loads(state)
    config_id = members.get("config_id")
    headers = _headers(
        stamp,
        {
            "id": members["event_id"],
            "type": f"liveops.{members['type']}.v{members['schema_version']}",
            **({} if config_id is None else {"subject": config_id}),
            "correlationid": members["correlation_id"],
            "causationid": members["causation_id"],
            "previous": _sequence(stamp.position - 1),
            "batch": "end" if ends_batch else "open",
        },
    )
    key = LEDGER_KEY if config_id is None else config_id.encode()
    value = envelope(stamp.position, stamp.recorded_at, state)
    return Record(key, value, headers, stamp.recorded_at // 1000)


def thing_record(thing_id: str, thing: Mapping[str, Json] | None, stamp: Stamp) -> Record:
    """Write a thing as of the last event that touched it, or its tombstone."""
    value = None if thing is None else _value(thing, stamp)
    return Record(thing_id.encode(), value, _state_headers("Thing", thing_id, stamp), _ms(stamp))


def head_record(stamp: Stamp, things: int) -> Record:
    """Write which prefix the things are of, and how many things it has."""
    value = _value({"kind": HEAD, "things": things}, stamp)
    return Record(HEAD.encode(), value, _state_headers("Head", HEAD, stamp), _ms(stamp))


def _value(members: Mapping[str, Json], stamp: Stamp) -> bytes:
    import orjson

    at = format_instant(stamp.recorded_at)
    head = {"position": stamp.position, "recorded_at": at, "schema_version": THING_VERSION}
    return orjson.dumps({**head, **members})


def _state_headers(kind: str, subject: str, stamp: Stamp) -> Headers:
    attributes = {
        "id": f"{subject}@{stamp.position}",
        "type": f"liveops.{kind}.v{THING_VERSION}",
        "subject": subject,
    }
    return _headers(stamp, attributes)


def _headers(stamp: Stamp, attributes: Mapping[str, str]) -> Headers:
    everything = {
        "specversion": "1.0",
        "source": SOURCE,
        "time": format_instant(stamp.recorded_at),
        "sequence": _sequence(stamp.position),
        **attributes,
    }
    headers = [(f"ce_{name}", text.encode()) for name, text in everything.items()]
    return [*headers, ("content-type", b"application/json")]


def _sequence(position: int) -> str:
    return f"{position:020}"


def _ms(stamp: Stamp) -> int:
    return stamp.recorded_at // 1000


# --- Reading ---


def link_of(headers: Iterable[tuple[str, bytes | None]] | None) -> Link | None:
    """Read how an event joins; None for a record that is no event of a ledger."""
    named = dict(headers or ())
    try:
        return Link(
            int(named["ce_sequence"] or b""),
            int(named["ce_previous"] or b""),
            named["ce_batch"] == b"end",
        )
    except (KeyError, ValueError):
        return None


def read_thing(thing_id: str, value: bytes) -> dict[str, Json]:
    """Read a thing for `ledger.live.assemble`; raises Unreadable."""
    members = _members(thing_id, value)
    kind = members.get("kind")
    if not isinstance(kind, str) or kind not in THING_KINDS:
        raise Unreadable(f"{thing_id} is of a kind that this version does not know")
    return members


def read_head(value: bytes) -> Head:
    """Read the head; raises Unreadable."""
    members = _members(HEAD, value)
    try:
        at = parse_instant(members["recorded_at"])
        head = Head(members["position"], at, members["things"])
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"the head lacks what it should say: {error}") from error
    if type(head.position) is not int or type(head.things) is not int:
        raise Unreadable("the head does not say which position it is of, and of how many things")
    return head


def _members(thing_id: str, value: bytes) -> dict[str, Json]:
    import orjson

    try:
        members = orjson.loads(value)
    except ValueError as error:
        raise Unreadable(f"{thing_id} is not JSON: {error}") from error
    if not isinstance(members, dict) or not isinstance(members.get("schema_version"), int):
        raise Unreadable(f"{thing_id} is not the state of a thing")
    if members["schema_version"] > THING_VERSION:
        raise Unreadable(f"{thing_id} was written by a newer version of LiveOps Ledger")
    return members
