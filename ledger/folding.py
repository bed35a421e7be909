"""Folding stored events into what resolution needs, faster than one by one.

A ledger's past is mostly activations that later ones have ended, and drafts. Each event is parsed
and its type and version are looked at; but of a config's activations only the last one stands, so
only that one is read in full and put in force. What comes out is what `replay_live` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import orjson

from ledger.clock import Instant
from ledger.content import Pinned
from ledger.events import EVENT_TYPES, decode_members, known_version, read_actor, read_uuid
from ledger.live import Activation, Live, Origin, activate, deactivate, evolve_live

Json = Any

_DRAFTED = frozenset({"ConfigCreated", "ConfigRevised"})
_ACTIVATING = frozenset({"ConfigActivated", "ConfigRolledBack", "RolloutChanged"})
_ENDING = frozenset({"ConfigDeactivated", "ConfigArchived"})


def fold(rows: Iterable[tuple[int, Instant, bytes]], live: Live) -> Live:
    """Bring `live` to the last of the rows, which follow it in ledger order; returns it.

    Each is an event as `LedgerStore.states` gives it. Holds one event for each config that is in
    force besides. Raises ValueError for an event that a newer program has written.
    """
    position, recorded_at = live.position, live.recorded_at
    # As stored: parsed, they would lie between all that comes and goes, and keep it from going.
    last: dict[str, tuple[int, Instant, bytes]] = {}
    for position, recorded_at, state in rows:
        members = orjson.loads(state)
        kind = members["type"]
        known_version(kind, members["schema_version"])
        if kind in _ACTIVATING:
            last[members["config_id"]] = position, recorded_at, state
        elif kind in _ENDING:
            last.pop(members["config_id"], None)
            if live.activations or live.shadows:
                _end(live, read_uuid(members["config_id"]), kind)
        elif kind not in _DRAFTED:
            evolve_live(live, decode_members(position, recorded_at, members))
    # No other kind of event reads what is in force: only how these follow each other matters.
    for pending in sorted(last.values(), key=_position):
        _activate(live, *pending)
    live.position, live.recorded_at = position, recorded_at
    return live


# What follows does as `evolve_live`, without reading all of an event: that is half of a replay.


def _end(live: Live, config_id: UUID, kind: str) -> None:
    deactivate(live, config_id)
    if kind == "ConfigArchived":
        live.shadows.pop(config_id, None)


def _activate(live: Live, position: int, recorded_at: Instant, state: bytes) -> None:
    members: Mapping[str, Json] = orjson.loads(state)
    if members["schema_version"] < EVENT_TYPES[members["type"]].VERSION:
        evolve_live(live, decode_members(position, recorded_at, members))
        return
    origin = Origin(position, recorded_at, read_actor(members["actor"]), members["reason"])
    pinned = Pinned.from_json(members["data"]["activation"])
    activate(live, Activation(read_uuid(members["config_id"]), pinned, origin))


def _position(pending: tuple[int, Instant, bytes]) -> int:
    return pending[0]
