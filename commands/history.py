"""The history of a lever over an interval, and blame: who made its values what they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import orjson

from commands.ledger import Ledger
from commands.prefixes import Prefixes
from ledger.clock import Instant, format_instant
from ledger.errors import NotFound
from ledger.events import (
    ConfigCreated,
    ConfigEvent,
    ConfigRevised,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    LeverKilled,
    LeverRestored,
    Recorded,
    decode,
)
from ledger.history import (
    Change,
    Course,
    Inexact,
    Passed,
    Version,
    Versions,
    bound_together,
    in_force_since,
)
from ledger.live import Activation, Live, Origin, Running, assemble
from ledger.parts import COMMON, parts_of
from ledger.scopes import Context
from ledger.store import Stored

Json = Any

MOST_ASKED = 20_000
"""Instants that one page asks the resolver for: then it ends, however few changes it found."""


class Span(Protocol):
    """A version of a thing as the timeline has it; see `projections.timeline.Span`."""

    @property
    def thing(self) -> str:
        """Its id."""

    @property
    def begins(self) -> int:
        """The event that it begins with."""

    @property
    def ends(self) -> int | None:
        """The event that it ends with."""

    @property
    def begun_at(self) -> Instant:
        """When it began."""

    @property
    def ended_at(self) -> Instant | None:
        """When it ended."""

    @property
    def body(self) -> bytes:
        """The thing as JSON."""


Parts = Collection[str]


class Timeline(Protocol):
    """What held in the past, as far as a view knows."""

    def reached(self) -> int:
        """Tell the last event that it takes account of; 0 where there is no such view."""

    def between(
        self, first: int, last: int, parts: Parts, levers: Collection[str] | None
    ) -> Iterable[Span]:
        """List what held at some time from right after one event to right after another."""


class Stretch(NamedTuple):
    """An interval of time, and the last event that counts in it."""

    first: Instant
    last: Instant
    position: int


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Changes of a lever's value, and from where on to ask for more of them (None: there are none).

    `value` is what it was at the beginning.
    """

    stretch: Stretch
    value: Json
    changes: tuple[Json, ...]
    inexact: tuple[Json, ...]
    next: Instant | None


class Histories:
    """Answers questions about the past of levers. The view only saves work, and decides nothing."""

    def __init__(self, ledger: Ledger, prefixes: Prefixes, timeline: Timeline) -> None:
        self._ledger = ledger
        self._prefixes = prefixes
        self._timeline = timeline

    def stretch(self, first: Instant | None, last: Instant | None) -> Stretch:
        """Find the events that count in an interval: all of them up to its end, or up to now.

        Without a beginning it begins with the ledger. One that reaches into the future goes on as
        is planned now.
        """
        store = self._ledger.store
        # The clock first: what is recorded before it is read must not be missing until then.
        clock = self._ledger.now(0)
        head = store.head()
        now = max(clock, head.recorded_at)
        if last is not None and last <= now:
            head = store.close_instant(last)
        until = now if last is None else last
        begun = store.read(after=0, limit=1)
        beginning = begun[0].recorded_at - 1 if begun else until
        return Stretch(min(beginning if first is None else first, until), until, head.position)

    def page(self, lever: str, context: Context, stretch: Stretch, limit: int) -> HistoryPage:
        """Find the first changes in a stretch; raises NotFound for a lever no catalog has had."""
        course = self._course(lever, context, stretch)
        if not any(lever in catalog.levers for catalog in (*course.catalogs, Live().catalog)):
            raise NotFound(f"no catalog that was in force then has the lever {lever}")
        changes: list[Change] = []
        following = None
        asked = course.changes(stretch.first, stretch.last)
        for number, found in enumerate(asked, 1):
            if isinstance(found, Change):
                changes.append(found)
            at = found.at if isinstance(found, Change) else found
            if len(changes) == limit or number == MOST_ASKED:
                following = at if at < stretch.last else None
                break
        value = course.value(course.state(stretch.first), stretch.first)
        told = tuple(self._told(course, change) for change in changes)
        return HistoryPage(stretch, value, told, tuple(map(_inexact, course.inexact)), following)

    def _course(self, lever: str, context: Context, stretch: Stretch) -> Course:
        start = min(self._ledger.store.position_at(stretch.first), stretch.position)
        reading = _Reading(self._timeline, start, stretch.position)
        tail = list(self._events(reading.upto, stretch.position))
        before = self._prefixes.whole(reading.upto) if tail and reading.upto else Live()
        common = reading.versions(("catalog", "experiments"), None)
        running, catalogs = _named(common, before, tail)
        parts = {*COMMON, *parts_of(running, context)}
        known = reading.versions(parts, bound_together(lever, catalogs))
        versions = Versions(before, known)
        for recorded in tail:
            versions.add(recorded)
        return Course(versions.all(), context, lever)

    def _events(self, after: int, upto: int) -> Iterator[Recorded]:
        if after < upto:
            yield from map(_decoded, self._ledger.store.stream(after=after, upto=upto))

    def _told(self, course: Course, change: Change) -> Json:
        edges = [_edge(passed) for passed in change.edges]
        causes = edges if change.position is None else [self._event(course, change), *edges]
        source = None if change.explained is None else change.explained.to_json()
        if source is not None:
            del source["candidates"], source["value"]
        return {
            "at": format_instant(change.at),
            "before": change.before,
            "after": change.after,
            "cause": causes[0],
            "also": causes[1:],
            "source": source,
        }

    def _event(self, course: Course, change: Change) -> Json:
        position = change.position or 0
        (stored,) = self._ledger.store.read(after=position - 1, limit=1)
        return {"kind": KINDS[stored.type], **_by(_decoded(stored)), **course_named(course, stored)}

    # --- Blame ---

    def blame(self, live: Live, explanation: Mapping[str, Json]) -> dict[str, Json]:
        """Tell of explained values who set each, who wrote what it says, and since when."""
        freezes: list[Version] | None = None
        writers: dict[tuple[str, int], Json] = {}
        since: dict[str, str] = {}
        for entry in explanation.values():
            for source in (entry, *entry.get("fields", {}).values()):
                if source["config_id"] is None:
                    continue
                named = (source["config_id"], source["revision"])
                if named not in writers:
                    writers[named] = self._writer(*named, live.position)
                if source["config_id"] not in since:
                    activation = live.activations[UUID(source["config_id"])]
                    if freezes is None:
                        freezes = self._freezes(live.position)
                    begun = in_force_since(activation, freezes)
                    since[source["config_id"]] = format_instant(begun)
        return {lever: _blamed(entry, writers, since) for lever, entry in explanation.items()}

    def _writer(self, config_id: str, revision: int, position: int) -> Json:
        for stored in reversed(self._ledger.store.events_of(UUID(config_id), position)):
            if stored.type in _WRITING:
                recorded = _decoded(stored)
                event = recorded.event
                if isinstance(event, ConfigCreated | ConfigRevised) and event.revision == revision:
                    return Origin.of(recorded).to_json()
        return None

    def _freezes(self, position: int) -> list[Version]:
        reading = _Reading(self._timeline, 0, position)
        known = reading.versions(("freezes",), None)
        tail = list(self._events(reading.upto, position))
        before = self._prefixes.whole(reading.upto) if tail and reading.upto else Live()
        versions = Versions(before, known)
        for recorded in tail:
            versions.add(recorded)
        return versions.all()


class _Reading:
    """One look into the timeline, which grows meanwhile: nothing beyond `upto` counts."""

    def __init__(self, timeline: Timeline, start: int, position: int) -> None:
        self._timeline = timeline
        self.upto = min(timeline.reached(), position)
        self._start = min(start, self.upto)

    def versions(self, parts: Parts, levers: Collection[str] | None) -> list[Version]:
        """List versions of things of some parts that concern levers."""
        if not self.upto:
            return []
        spans = self._timeline.between(self._start, self.upto, parts, levers)
        return [_version(span, self.upto) for span in spans]


def _version(span: Span, upto: int) -> Version:
    ended = span.ends is not None and span.ends <= upto
    return Version(
        span.thing,
        span.begins,
        span.ends if ended else None,
        span.begun_at,
        span.ended_at if ended else None,
        _catalog(span.body)
        if span.thing == "catalog"
        else assemble(0, 0, [orjson.loads(span.body)]),
    )


# A catalog takes longer to read than anything else, and seldom changes.
@lru_cache(maxsize=8)
def _catalog(body: bytes) -> Live:
    return assemble(0, 0, [orjson.loads(body)])


def _named(
    versions: Iterable[Version], before: Live, tail: Iterable[Recorded]
) -> tuple[dict[str, Running], list[Any]]:
    """Name the experiments that ran at some time, and the catalogs that were in force."""
    live = before.copy()
    states = [version.state for version in versions]
    after = Versions(live)
    for recorded in tail:
        after.add(recorded)
    states += [version.state for version in after.all()]
    running = dict(before.experiments)
    for state in states:
        running |= state.experiments
    catalogs = [state.catalog for state in states if state.catalog_origin is not None]
    return running, [*catalogs, before.catalog, Live().catalog]


def _decoded(stored: Stored) -> Recorded:
    return decode(stored.position, stored.recorded_at, stored.state)


# --- Telling ---

KINDS: Mapping[str, str] = {
    "ConfigActivated": "activate",
    "ConfigDeactivated": "deactivate",
    "ConfigArchived": "archive",
    "ConfigRolledBack": "rollback",
    "RolloutChanged": "rollout",
    "Frozen": "freeze",
    "Unfrozen": "unfreeze",
    "LeverKilled": "kill",
    "LeverRestored": "restore",
    "ExperimentStarted": "start_experiment",
    "ExperimentChanged": "change_experiment",
    "ExperimentStopped": "stop_experiment",
    "CatalogAdopted": "adopt_catalog",
}
"""What an event that changed a value is called as a cause: its action in the audit trail."""

_WRITING = (ConfigCreated.__name__, ConfigRevised.__name__)


def _by(recorded: Recorded) -> Json:
    return {
        **Origin.of(recorded).to_json(),
        "event_id": str(recorded.event_id),
        "correlation_id": str(recorded.cause.correlation_id),
    }


def course_named(course: Course, stored: Stored) -> dict[str, Json]:
    """Name the thing that an event of a course was about."""
    event = _decoded(stored).event
    match event:
        case ConfigEvent():
            found = course.activation(event.config_id, stored.position)
            return {"config_id": str(event.config_id)} if found is None else named(found)
        case ExperimentStarted() | ExperimentChanged():
            return {"experiment_id": event.experiment.experiment_id}
        case ExperimentStopped():
            return {"experiment_id": event.experiment_id}
        case LeverKilled() | LeverRestored():
            return {"lever": event.lever}
    return {name: value for name, value in event.data().items() if name.startswith("scope")}


def named(activation: Activation) -> dict[str, Json]:
    """Name the config of an activation, its revision, and where it is set."""
    pinned = activation.pinned
    return {
        "config_id": str(activation.config_id),
        "config": pinned.name,
        "revision": pinned.revision,
        "scope": pinned.place.scope.value,
        "scope_ref": pinned.place.ref,
    }


def _edge(passed: Passed) -> Json:
    told = {"kind": passed.edge.value, "edge": format_instant(passed.at)}
    return {**told, **passed.activation.origin.to_json(), **named(passed.activation)}


def _inexact(found: Inexact) -> Json:
    return {"rule": found.rule, **named(found.activation)}


_Writers = Mapping[tuple[str, int], Json]


def _blamed(entry: Mapping[str, Json], writers: _Writers, since: Mapping[str, str]) -> Json:
    told = {name: value for name, value in entry.items() if name != "candidates"}
    if entry["config_id"] is not None:
        told["written"] = writers[entry["config_id"], entry["revision"]]
        told["in_force_since"] = since[entry["config_id"]]
    elif entry.get("killed"):
        told["in_force_since"] = entry["recorded_at"]
    if "fields" in entry:
        told["fields"] = {
            name: _blamed(source, writers, since) for name, source in entry["fields"].items()
        }
    return told
