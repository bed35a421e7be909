"""What changed between two points of the ledger: as data, and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from commands.identity import ADMINISTRATOR, SYSTEM
from commands.ledger import Ledger
from ledger.clock import format_instant
from ledger.differences import Difference, How, Point
from ledger.events import (
    EXPERIMENTS_STREAM,
    FREEZES_STREAM,
    ExperimentStopped,
    Recorded,
    Unfrozen,
    decode,
    lever_stream,
)
from ledger.live import Origin

Json = Any

_PEOPLE = {str(ADMINISTRATOR): "the administrator", str(SYSTEM): "the system"}
_FEW = 6
"""So many levers are named in a sentence."""


def told(ledger: Ledger, difference: Difference, position: int) -> dict[str, Json]:
    """Write a difference, with the event behind it: what ended has it in its own stream."""
    origin = difference.origin
    if origin is None:
        origin = _ending(ledger, difference, position)
    place = difference.place
    return {
        "what": difference.what,
        "name": difference.name,
        "how": difference.how.value,
        "scope": None if place is None else place.scope.value,
        "scope_ref": None if place is None else place.ref,
        "before": difference.before,
        "after": difference.after,
        "by": None if origin is None else origin.to_json(),
    }


def _ending(ledger: Ledger, difference: Difference, position: int) -> Origin | None:
    stream = {
        "config": lambda: UUID(difference.name),
        "kill": lambda: lever_stream(difference.name),
        "freeze": lambda: FREEZES_STREAM,
        "experiment": lambda: EXPERIMENTS_STREAM,
    }[difference.what]()
    for stored in reversed(ledger.store.events_of(stream, position)):
        recorded = decode(stored.position, stored.recorded_at, stored.state)
        if stored.type in _ENDING and _is_of(recorded, difference):
            return Origin.of(recorded)
    return None


_ENDING = frozenset(
    {"ConfigDeactivated", "ConfigArchived", "LeverRestored", "Unfrozen", "ExperimentStopped"}
)


def _is_of(recorded: Recorded, difference: Difference) -> bool:
    match recorded.event:
        case Unfrozen(place):
            return place == difference.place
        case ExperimentStopped(experiment_id):
            return experiment_id == difference.name
    return True


# --- In words ---


def words(answer: Mapping[str, Json]) -> Iterator[str]:
    """Say what changed, a sentence each."""
    for lever, both in answer.get("levers", {}).items():
        was, now = both["before"], both["after"]
        yield f"{lever} went from {_value(was)} to {_value(now)}{_whence(now)}."
    for difference in answer["differences"]:
        yield _sentence(difference)
    events = answer["events"]
    if not events["count"]:
        yield "Nothing was recorded."
        return
    actions = ", ".join(f"{count} {action}" for action, count in events["by_action"].items())
    actors = ", ".join(f"{who(actor)} {count}" for actor, count in events["by_actor"].items())
    yield f"Recorded in all: {events['count']} ({actions}), by {actors}."


def who(actor: str) -> str:
    """Name an actor: the machine's own by what they are."""
    return _PEOPLE.get(actor, actor)


def _value(entry: Mapping[str, Json] | None) -> str:
    return "nothing (the catalog did not have it)" if entry is None else _plain(entry["value"])


def _plain(value: Json) -> str:
    match value:
        case dict():
            return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(map(_plain, value))
    return str(value)


def _whence(entry: Mapping[str, Json] | None) -> str:
    if entry is None:
        return ""
    if entry.get("killed"):
        return f", killed {_by(entry)}"
    if entry["config_id"] is None:
        return ", the catalog's default"
    return f", set by {entry['config']} ({_place(entry)}) {_by(entry)}"


def _sentence(told: Mapping[str, Json]) -> str:
    how, by = How(told["how"]), "" if told["by"] is None else f" {_by(told['by'])}"
    name = told["name"]
    match told["what"]:
        case "config":
            return _of_config(told, how, by)
        case "kill":
            verb = "restored" if how is How.ENDED else "killed"
            return f"{name} was {verb}{by}."
        case "freeze":
            where = "everything" if told["scope"] == "global" else _place(told)
            return f"{where} was {'unfrozen' if how is How.ENDED else 'frozen'}{by}."
        case "experiment":
            verb = {How.BEGUN: "started", How.ENDED: "stopped"}.get(how, "changed")
            return f"experiment {name} was {verb}{by}."
    after = told["after"]
    counts = ", ".join(f"{len(after[each])} {each}" for each in ("added", "removed", "changed"))
    return f"a catalog was adopted (levers: {counts}){by}."


def _of_config(told: Mapping[str, Json], how: How, by: str) -> str:
    now = told["after"] or told["before"]
    said = f"{now['config']} ({_place(told)})"
    sets = f": {_levers(now['payload'])}"
    match how:
        case How.BEGUN:
            verb = (
                "was put in force" if now["in_window"] else "was put in force, outside its window"
            )
            return f"{said} {verb}{sets}{by}."
        case How.CHANGED:
            return f"{said} was put in force anew, as revision {now['revision']}{sets}{by}."
        case How.ENDED:
            return f"{said} was ended{by}."
        case How.WINDOW_OPEN:
            return f"{said}: its window opened{sets}."
        case How.WINDOW_CLOSE:
            return f"{said}: its window closed."
    was = told["before"]["percentage"]
    return f"{said}: its ramp went from {was} to {now['percentage']} %."


def _levers(payload: Mapping[str, Json]) -> str:
    named = [f"{lever} {_plain(value)}" for lever, value in payload.items()]
    more = len(named) - _FEW
    return ", ".join(named[:_FEW]) + (f" and {more} more" if more > 0 else "")


def _place(thing: Mapping[str, Json]) -> str:
    scope = str(thing["scope"])
    return scope if scope == "global" else f"{scope} {thing['scope_ref']}"


def _by(origin: Mapping[str, Json]) -> str:
    reason = f": {origin['reason']}" if origin["reason"] else ""
    when = f"{origin['recorded_at']}, position {origin['position']}"
    return f"by {who(origin['actor'])} ({when}){reason}"


# --- Events between ---


def counted(events: Iterator[tuple[str, str, int]]) -> dict[str, Json]:
    """Add (action, actor, count) up by each, the most first."""
    actions, actors = Counter[str](), Counter[str]()
    for action, actor, count in events:
        actions[action] += count
        actors[actor] += count
    return {
        "count": actions.total(),
        "by_action": dict(actions.most_common()),
        "by_actor": dict(actors.most_common()),
    }


def point(of: Point) -> dict[str, Json]:
    """Name a point of the ledger."""
    return {"position": of.live.position, "at": format_instant(of.at)}
