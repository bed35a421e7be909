"""When a lever's value for a context changed, and what changed it.

The value at an instant is what `resolve` says of the prefix of all events recorded until then.
It can change only where a version of a thing that the context needs begins or ends, or, while the
state stays the same, at an edge: of a window or ramp whose clock goes on, or of a rule that
compares `at`. So those instants are asked, and no others. An edge that a freeze has held is passed
when the freeze ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from ledger.catalog import Catalog
from ledger.clock import Instant
from ledger.errors import RuleError
from ledger.events import Recorded
from ledger.live import Activation, Live, activate, assemble, deactivate, evolve_live, thing
from ledger.resolve import Explained, resolve
from ledger.scopes import EVERYWHERE, Context, Place, Scope
from ledger.targeting import compile_rule
from ledger.targeting.instants import turns
from ledger.verdicts import Verdicts

Json = Any

_SCOPES = list(Scope)
_NEVER = 1 << 62
_SORTED = orjson.OPT_SORT_KEYS


class Version(NamedTuple):
    """A thing of the ledger as it was from one event until just before another.

    `state` is a state that holds this one thing. Both ends are open (None) while it holds.
    """

    thing: str
    begins: int
    ends: int | None
    begun_at: Instant
    ended_at: Instant | None
    state: Live


class Versions:
    """The versions of all things, as events make them; goes on from a state and what is open."""

    def __init__(self, live: Live | None = None, known: Iterable[Version] = ()) -> None:
        self._live = Live() if live is None else live.copy()
        self._past: list[Version] = []
        self._open: dict[str, Version] = {}
        for version in known:
            if version.ends is None:
                self._open[version.thing] = version
            else:
                self._past.append(version)

    def add(self, recorded: Recorded) -> None:
        """Take in the next event."""
        for thing_id in dict.fromkeys(evolve_live(self._live, recorded)):
            value = thing(self._live, thing_id)
            ended = self._open.get(thing_id)
            if ended is not None:
                if thing(ended.state, thing_id) == value:
                    continue
                del self._open[thing_id]
                self._past.append(
                    ended._replace(ends=recorded.position, ended_at=recorded.recorded_at)
                )
            if value is not None:
                state = assemble(0, 0, [value])
                position, at = recorded.position, recorded.recorded_at
                self._open[thing_id] = Version(thing_id, position, None, at, None, state)

    def all(self) -> list[Version]:
        """List all of them."""
        return [*self._past, *self._open.values()]


class Edge(StrEnum):
    """What the passing of time alone can do."""

    WINDOW_OPEN = "window_open"
    WINDOW_CLOSE = "window_close"
    RAMP_STEP = "ramp_step"
    RULE = "rule"


class Passed(NamedTuple):
    """An edge of an activation, which made it apply to the context or made it no longer apply.

    `at` is where it is written to be: a freeze may have held it.
    """

    edge: Edge
    at: Instant
    activation: Activation


class Change(NamedTuple):
    """A change of a lever's value; None is a lever that the catalog in force does not have.

    `position` is the event that did it, None where time alone did. `edges` were passed at that
    instant, the one that counts most first. `explained` tells where the value comes from.
    """

    at: Instant
    before: Json
    after: Json
    position: int | None
    edges: tuple[Passed, ...]
    explained: Explained | None


class Inexact(NamedTuple):
    """A rule that reads `at` in a way that its edges cannot be listed."""

    activation: Activation
    rule: str


def bound_together(lever: str, catalogs: Iterable[Catalog]) -> frozenset[str]:
    """Name the levers that a lever's value can depend on, by the rules between levers."""
    rules = {frozenset(rule.levers) for catalog in catalogs for rule in catalog.rules}
    bound = {lever}
    while grown := [rule for rule in rules if not bound.isdisjoint(rule) and not bound >= rule]:
        bound.update(*grown)
    return frozenset(bound)


@dataclass(slots=True)
class _Moment:
    """What an event ended and began among the versions."""

    position: int = 0
    ended: list[str] = field(default_factory=list)
    begun: list[Version] = field(default_factory=list)

    def evolve(self, live: Live, at: Instant) -> Live:
        after = live.copy()
        after.position, after.recorded_at = self.position, at
        for thing_id in self.ended:
            _drop(after, thing_id)
        for version in self.begun:
            _put(after, version.state)
        return after


class _Stage(NamedTuple):
    """An instant to ask: the state before it and at it, and the event at it."""

    at: Instant
    before: Live
    live: Live
    position: int | None


class Course:
    """The course of a ledger for one lever and context, from versions of all that they need."""

    def __init__(self, versions: Collection[Version], context: Context, lever: str) -> None:
        self.context = context
        self.lever = lever
        self._versions = versions
        self._edges: dict[tuple[int, int], tuple[tuple[Edge, Instant], ...]] = {}

    @cached_property
    def catalogs(self) -> tuple[Catalog, ...]:
        """The catalogs that were in force."""
        states = (version.state for version in self._versions)
        return (*(s.catalog for s in states if s.catalog_origin is not None),)

    @cached_property
    def inexact(self) -> tuple[Inexact, ...]:
        """The rules that may have changed the value at instants that nobody can list."""
        found = {
            (activation.config_id, rule): Inexact(activation, rule)
            for version in self._versions
            for activation in version.state.activations.values()
            if self._concerns(activation)
            for rule in _rules(activation)
            for catalog in (*self.catalogs, version.state.catalog)
            if not _turns(rule, catalog, self.context)[1]
        }
        return tuple(found.values())

    @cached_property
    def _bound(self) -> frozenset[str]:
        return bound_together(self.lever, (*self.catalogs, Live().catalog))

    def _concerns(self, activation: Activation) -> bool:
        return not self._bound.isdisjoint(activation.pinned.payload)

    def activation(self, config_id: UUID, position: int) -> Activation | None:
        """Find the activation that an event of a config began, else the one that it ended."""
        there = [version for version in self._versions if version.thing == str(config_id)]
        begun = [version for version in there if version.begins == position]
        for version in begun or [version for version in there if version.ends == position]:
            return version.state.activations[config_id]
        return None

    def value(self, live: Live, at: Instant) -> Json:
        """Resolve the lever."""
        return resolve(live, self.context, at).values.get(self.lever)

    def state(self, at: Instant) -> Live:
        """Put together what held at an instant, after all events until then."""
        held = [
            version
            for version in self._versions
            if version.begun_at <= at and (version.ended_at is None or at < version.ended_at)
        ]
        live = Live(
            max((version.begins for version in held), default=0),
            max((version.begun_at for version in held), default=0),
        )
        for version in held:
            _put(live, version.state)
        return live

    def explain(self, live: Live, at: Instant) -> Explained | None:
        """Explain the lever; None where the catalog does not have it."""
        explanation = resolve(live, self.context, at, explain=True).explanation
        return None if explanation is None else explanation.get(self.lever)

    def changes(self, first: Instant, last: Instant) -> Iterator[Change | Instant]:
        """Yield every change after `first` until `last`, and where there was none the instant."""
        value: Json = None
        for number, stage in enumerate(self._stages(first, last)):
            now = self.value(stage.live, stage.at)
            if number == 0 or _same(now, value):
                yield stage.at
            else:
                yield self._change(stage, value, now)
            value = now

    def _change(self, stage: _Stage, before: Json, after: Json) -> Change:
        at, explained = stage.at, self.explain(stage.live, stage.at)
        # An event may happen to be recorded in the very microsecond in which a window opens.
        if stage.position is not None and _same(self.value(stage.before, at), after):
            stage = _Stage(at, stage.before, stage.before, None)
        return Change(at, before, after, stage.position, self._passed(stage), explained)

    def _stages(self, first: Instant, last: Instant) -> Iterator[_Stage]:
        moments = self._moments(first, last)
        live = self.state(first)
        for at, until in pairwise([first, *sorted(moments), last + 1]):
            before, moment = live, moments.get(at)
            if moment is not None:
                live = moment.evolve(before, at)
            yield _Stage(at, before, live, None if moment is None else moment.position)
            for edge in sorted(self._between(live, at, until)):
                yield _Stage(edge, live, live, None)

    def _moments(self, first: Instant, last: Instant) -> dict[Instant, _Moment]:
        moments: dict[Instant, _Moment] = {}
        for version in self._versions:
            if version.ended_at is not None and first < version.ended_at <= last:
                moment = moments.setdefault(version.ended_at, _Moment(version.ends or 0))
                moment.ended.append(version.thing)
            if first < version.begun_at <= last:
                moment = moments.setdefault(version.begun_at, _Moment(version.begins))
                moment.begun.append(version)
        return moments

    def _between(self, live: Live, after: Instant, until: Instant) -> set[Instant]:
        """Find the edges after an instant and before another, while the state is the same."""
        found: set[Instant] = set()
        running: dict[Place, bool] = {}
        for activation in live.activations.values():
            place = activation.pinned.place
            if place not in running:
                running[place] = live.frozen(place) is None
            edges = self._edges_of(activation, live.catalog)
            found.update(
                at
                for edge, at in edges
                if after < at < until and (edge is Edge.RULE or running[place])
            )
        return found

    def _edges_of(
        self, activation: Activation, catalog: Catalog
    ) -> tuple[tuple[Edge, Instant], ...]:
        key = (id(activation), id(catalog))
        known = self._edges.get(key)
        if known is None:
            found = _edges(activation, catalog, self.context) if self._concerns(activation) else ()
            known = self._edges[key] = tuple(found)
        return known

    def _passed(self, stage: _Stage) -> tuple[Passed, ...]:
        """List the edges that made an activation apply, or no longer apply, the strongest first."""
        at = stage.at
        earlier = Verdicts(stage.before, self.context, at - 1)
        later = Verdicts(stage.live, self.context, at)
        passed: list[Passed] = []
        for config_id, activation in stage.live.activations.items():
            if stage.before.activations.get(config_id) is not activation:
                continue
            if (earlier.why(activation) is None) != (later.why(activation) is None):
                passed += self._edges_passed(stage, activation)
        return tuple(sorted(passed, key=_strength, reverse=True))

    def _edges_passed(self, stage: _Stage, activation: Activation) -> Iterator[Passed]:
        place = activation.pinned.place
        since, until = stage.before.clock(place, stage.at - 1), stage.live.clock(place, stage.at)
        for edge, at in self._edges_of(activation, stage.live.catalog):
            if at == stage.at if edge is Edge.RULE else since < at <= until:
                yield Passed(edge, at, activation)


def _strength(passed: Passed) -> tuple[int, tuple[int, int], Instant]:
    activation = passed.activation
    return _SCOPES.index(activation.pinned.place.scope), activation.order, passed.at


def _same(one: Json, other: Json) -> bool:
    # 1, 1.0 and True are equal, but not as JSON.
    return orjson.dumps(one, option=_SORTED) == orjson.dumps(other, option=_SORTED)


def _put(live: Live, part: Live) -> None:
    """Add the one thing that `part` holds."""
    for activation in part.activations.values():
        activate(live, activation)
    live.freezes |= part.freezes
    live.kills |= part.kills
    live.experiments |= part.experiments
    if part.catalog_origin is not None:
        live.catalog, live.catalog_origin = part.catalog, part.catalog_origin


def _drop(live: Live, thing_id: str) -> None:
    """Take one thing out; a catalog is only ever followed by another."""
    kind, _, name = thing_id.partition(":")
    match kind:
        case "kill":
            live.kills.pop(name, None)
        case "freeze":
            scope, _, ref = name.partition(":")
            live.freezes.pop(Place(Scope(scope), ref), None)
        case "experiment":
            live.experiments.pop(name, None)
        case "catalog" | "shadow":
            pass
        case _:
            deactivate(live, UUID(thing_id))


def _rules(activation: Activation) -> Iterator[str]:
    targeting = activation.pinned.targeting
    if targeting is not None:
        yield from (rule for rule in targeting if rule is not None)


def _edges(
    activation: Activation, catalog: Catalog, context: Context
) -> Iterator[tuple[Edge, Instant]]:
    window, rollout = activation.pinned.window, activation.pinned.rollout
    if window.valid_from is not None:
        yield Edge.WINDOW_OPEN, window.valid_from
    if window.valid_to is not None:
        yield Edge.WINDOW_CLOSE, window.valid_to
    if rollout is not None:
        yield from ((Edge.RAMP_STEP, step.at) for step in rollout.ramp)
    for rule in _rules(activation):
        for at in sorted(_turns(rule, catalog, context)[0]):
            yield Edge.RULE, at
            yield Edge.RULE, at + 1


def _turns(rule: str, catalog: Catalog, context: Context) -> tuple[frozenset[Instant], bool]:
    try:
        compiled = compile_rule(rule)
    except RuleError:  # it never applies
        return frozenset(), True
    if "at" not in compiled.names:
        return frozenset(), True
    bindings: Mapping[str, object] = catalog.read_attributes(context.bindings())
    return turns(compiled.tree, bindings)


def in_force_since(activation: Activation, versions: Iterable[Version]) -> Instant:
    """Tell since when an activation is in force: its event, or the opening of its window.

    `versions` are those of the freezes: a window that would have opened in one opened at its end.
    """
    at = activation.origin.recorded_at
    opens = activation.pinned.window.valid_from
    if opens is None or opens <= at:
        return at
    at = opens
    for begin, end in sorted(_freezes_of(activation.pinned.place, versions)):
        if begin < at < end:
            at = end
    return at


def _freezes_of(place: Place, versions: Iterable[Version]) -> set[tuple[Instant, Instant]]:
    """List the freezes of a place that have ended: each did when the last that tells of it did."""
    ends: dict[Instant, Instant] = {}
    for version in versions:
        for where, freezes in version.state.freezes.items():
            for freeze in freezes if where in {EVERYWHERE, place} else ():
                end = version.ended_at if freeze.end is None else freeze.end
                ends[freeze.begin] = max(ends.get(freeze.begin, 0), _NEVER if end is None else end)
    return {(begin, end) for begin, end in ends.items() if end < _NEVER}
