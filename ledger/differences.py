"""What differs between two points of a ledger: in force, killed, frozen, running, adopted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from ledger.clock import Instant
from ledger.live import Activation, Freeze, Live, Origin
from ledger.rollout import percent
from ledger.scopes import EVERYWHERE, Place

Json = Any


class Point(NamedTuple):
    """A prefix of the ledger, and an instant that is not before its last event."""

    live: Live
    at: Instant


class How(StrEnum):
    """How a thing at the later point differs from what it was at the earlier one."""

    BEGUN = "begun"
    CHANGED = "changed"
    ENDED = "ended"
    WINDOW_OPEN = "window_open"
    WINDOW_CLOSE = "window_close"
    RAMP_STEP = "ramp_step"


class Difference(NamedTuple):
    """A thing that differs: `what` it is of, its `name`, and the event behind it at each point.

    `before` and `after` say what is worth saying of it, None where it was not there.
    """

    what: str
    name: str
    how: How
    place: Place | None
    before: Mapping[str, Json] | None
    after: Mapping[str, Json] | None
    origin: Origin | None


def differences(before: Point, after: Point, place: Place | None = None) -> Iterator[Difference]:
    """Yield what differs, at a place or anywhere; what is of no place always counts."""
    yield from _catalogs(before.live, after.live)
    yield from _kills(before.live, after.live)
    yield from _freezes(before.live, after.live, place)
    yield from _experiments(before.live, after.live)
    yield from _configs(before, after, place)


def _catalogs(before: Live, after: Live) -> Iterator[Difference]:
    if before.catalog_origin == after.catalog_origin:
        return
    old, new = before.catalog, after.catalog
    told = {
        "added": sorted(new.levers.keys() - old.levers.keys()),
        "removed": sorted(old.levers.keys() - new.levers.keys()),
        "changed": sorted(
            name
            for name in old.levers.keys() & new.levers.keys()
            if old.levers[name] != new.levers[name]
        ),
    }
    how = How.BEGUN if before.catalog_origin is None else How.CHANGED
    yield Difference("catalog", "catalog", how, None, None, told, after.catalog_origin)


def _kills(before: Live, after: Live) -> Iterator[Difference]:
    for lever in sorted(before.kills.keys() | after.kills.keys()):
        old, new = before.kills.get(lever), after.kills.get(lever)
        if old != new:
            was, now = _there(old), _there(new)
            yield Difference("kill", lever, _how(old, new), None, was, now, new)


def _freezes(before: Live, after: Live, place: Place | None) -> Iterator[Difference]:
    for where in sorted(before.freezes.keys() | after.freezes.keys()):
        if place is None or where in {place, EVERYWHERE}:
            old, new = _freeze(before, where), _freeze(after, where)
            if old != new:
                was, now = _there(old and old.origin), _there(new and new.origin)
                origin = None if new is None else new.origin
                yield Difference("freeze", str(where), _how(old, new), where, was, now, origin)


def _freeze(live: Live, place: Place) -> Freeze | None:
    there = (freeze for freeze in live.freezes.get(place, ()) if freeze.end is None)
    return next(there, None)


def _experiments(before: Live, after: Live) -> Iterator[Difference]:
    for name in sorted(before.experiments.keys() | after.experiments.keys()):
        old, new = before.experiments.get(name), after.experiments.get(name)
        if old != new:
            was = None if old is None else old.experiment.to_json()
            now = None if new is None else new.experiment.to_json()
            origin = None if new is None else new.origin
            yield Difference("experiment", name, _how(old, new), None, was, now, origin)


def _configs(before: Point, after: Point, place: Place | None) -> Iterator[Difference]:
    for config_id in sorted(before.live.activations.keys() | after.live.activations.keys()):
        old = before.live.activations.get(config_id)
        new = after.live.activations.get(config_id)
        known = new or old
        if known is None or (place is not None and known.pinned.place != place):
            continue
        was, now = _told(before, old), _told(after, new)
        if was != now:
            how = _config_how(old, new, was or {}, now or {})
            origin = None if new is None else new.origin
            name = str(config_id)
            yield Difference("config", name, how, known.pinned.place, was, now, origin)


def _told(point: Point, activation: Activation | None) -> Mapping[str, Json] | None:
    if activation is None:
        return None
    pinned = activation.pinned
    clock = point.live.clock(pinned.place, point.at)
    return {
        "config": pinned.name,
        "revision": pinned.revision,
        "in_window": pinned.window.holds(clock),
        "percentage": None if pinned.rollout is None else percent(pinned.rollout.threshold(clock)),
        "payload": dict(pinned.payload),
        **activation.origin.to_json(),
    }


def _config_how(
    old: Activation | None, new: Activation | None, was: Mapping[str, Json], now: Mapping[str, Json]
) -> How:
    if old is None or new is None or old.origin != new.origin:
        return _how(old, new)
    if was["in_window"] != now["in_window"]:
        return How.WINDOW_OPEN if now["in_window"] else How.WINDOW_CLOSE
    return How.RAMP_STEP


def _there(origin: Origin | None) -> Mapping[str, Json] | None:
    return None if origin is None else origin.to_json()


def _how(old: object, new: object) -> How:
    if old is None:
        return How.BEGUN
    return How.ENDED if new is None else How.CHANGED
