"""The ledger at one position, prepared for resolving in microseconds.

A plan is a version: it never changes, and the next one shares with it whatever the events between
them did not touch. `settle` works out for a context what does not depend on the turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any
from uuid import UUID

from ledger.catalog import Catalog
from ledger.clock import Instant
from ledger.levers import ApplyAt, Fallback, Lever
from ledger.live import Activation, Freeze, Live, Origin, Running, window_clock
from ledger.resolve import Resolution, TakingPart
from ledger.scopes import EVERYWHERE, Context, Place, Scope
from ledger.segments import UNSET, Segment
from ledger.settled import (
    ADVENTURE,
    EXPERIMENT,
    GLOBAL,
    NOTHING,
    SCOPES,
    SESSION,
    WORLD,
    Failed,
    Reached,
    Settled,
    ignore,
)

Json = Any

_INDEX = {scope: index for index, scope in enumerate(SCOPES)}
_PARTS = 64
_MOST_MIXES = 1024


class Common:
    """What is the same at every place; another one whenever any of it changes."""

    def __init__(self, live: Live) -> None:
        self.catalog = live.catalog
        self.catalog_origin = live.catalog_origin
        self.kills: Mapping[str, Origin] = dict(live.kills)
        self.freezes: Mapping[Place, tuple[Freeze, ...]] = dict(live.freezes)
        self.experiments: Mapping[str, Running] = dict(live.experiments)
        self.shadows: Mapping[UUID, Activation] = dict(live.shadows)
        self.units = {running.experiment.unit for running in self.experiments.values()}
        self._rules = [rule.levers for rule in self.catalog.rules]
        self._read_levers()
        self._read_kills()

    def _read_levers(self) -> None:
        levers = self.catalog.levers.values()
        self.immediate = frozenset(o.name for o in levers if o.apply_at is ApplyAt.IMMEDIATE)
        self.lasting = frozenset(o.name for o in levers if o.apply_at is ApplyAt.SESSION)
        self.fallbacks = tuple(
            (lever.when_stale.after, lever.name, _fallback(lever, lever.when_stale.do))
            for lever in levers
            if lever.when_stale is not None and lever.when_stale.do is not Fallback.KEEP
        )

    def _read_kills(self) -> None:
        levers = self.catalog.levers
        self.killed = {
            lever: self.catalog.kill_value(lever) for lever in self.kills if lever in levers
        }
        guarded = {lever for pair in self._rules for lever in pair}
        self.needs_the_word = not guarded.isdisjoint(self.killed)

    def with_kills(self, kills: Mapping[str, Origin]) -> Common:
        """Return the same with other kills."""
        other = copy(self)
        other.kills = kills
        other._read_kills()
        return other

    def broken(self, values: Mapping[str, Json]) -> bool:
        """Tell whether a rule between levers is broken."""
        for lower, upper in self._rules:  # noqa: SIM110 - `any` would cost more than the rest
            if values[lower] > values[upper]:
                return True
        return False


class Plan:
    """What resolution needs at `position`; safe to read from many threads."""

    __slots__ = (
        "_everywhere",
        "_mixes",
        "_scopes",
        "_shadowed",
        "common",
        "position",
        "recorded_at",
    )

    def __init__(
        self,
        position: int,
        recorded_at: Instant,
        common: Common,
        scopes: tuple[_Refs, ...],
        mixes: dict[tuple[tuple[Segment, bool], ...], Segment],
    ) -> None:
        self.position = position
        self.recorded_at = recorded_at
        self.common = common
        self._scopes = scopes
        self._mixes = mixes
        self._shadowed: Plan | None = None
        self._everywhere = self._at(GLOBAL, EVERYWHERE.ref)

    @classmethod
    def of(cls, live: Live) -> Plan:
        """Prepare a whole state."""
        empty = cls(0, 0, Common(live), tuple(_Refs() for _ in Scope), {})
        return empty.after(live, live.by_place, common=False)

    def after(self, live: Live, places: Iterable[Place], *, common: bool) -> Plan:
        """Prepare a later state, which differs in what is set at these places.

        `common` tells whether it also differs in what is common to all places. Nothing of `live`
        is kept that changes when it goes on.
        """
        now = Common(live) if common else self.common
        anew = now.catalog is not self.common.catalog
        before = tuple(_Refs() for _ in Scope) if anew else self._scopes
        there = {place: live.at_place(place) for place in (live.by_place if anew else places)}
        scopes = _put(before, now.catalog, there)
        return Plan(live.position, live.recorded_at, now, scopes, self._mixes)

    def state(self) -> Live:
        """Put the state together again that this was prepared from."""
        common = self.common
        live = Live(self.position, self.recorded_at)
        live.catalog, live.catalog_origin = common.catalog, common.catalog_origin
        live.freezes, live.kills = dict(common.freezes), dict(common.kills)
        live.experiments, live.shadows = dict(common.experiments), dict(common.shadows)
        for refs in self._scopes:
            for segment in refs:
                live.by_place[segment.activations[0].pinned.place] = segment.activations
                live.activations |= {each.config_id: each for each in segment.activations}
        return live

    def with_kills(self, kills: Mapping[str, Origin]) -> Plan:
        """Return the same with other kills."""
        common = self.common.with_kills(kills)
        return Plan(self.position, self.recorded_at, common, self._scopes, self._mixes)

    def shadowed(self) -> Plan:
        """Return what it would be with all that is in shadow in force."""
        if self._shadowed is None:
            shadows = self.common.shadows
            there: dict[Place, list[Activation]] = {}
            for shadow in shadows.values():
                there.setdefault(shadow.pinned.place, []).append(shadow)
            for place, shadowing in there.items():
                shadowing.extend(a for a in self.at_place(place) if a.config_id not in shadows)
                shadowing.sort(key=lambda activation: activation.order)
            scopes = _put(self._scopes, self.catalog, {p: tuple(a) for p, a in there.items()})
            self._shadowed = Plan(self.position, self.recorded_at, self.common, scopes, self._mixes)
        return self._shadowed

    def differing(self, other: Plan) -> Iterator[tuple[Segment, Segment]]:
        """Pair what is set there and here, wherever it is not the very same."""
        for here, there in zip(self._scopes, other._scopes, strict=True):
            yield from here.differing(there)

    # --- As `resolve` reads it ---

    @property
    def catalog(self) -> Catalog:
        """The catalog in force."""
        return self.common.catalog

    @property
    def kills(self) -> Mapping[str, Origin]:
        """The kills in force, by lever."""
        return self.common.kills

    @property
    def experiments(self) -> Mapping[str, Running]:
        """The experiments that run."""
        return self.common.experiments

    def at_place(self, place: Place) -> tuple[Activation, ...]:
        """List what is set at a place, in merge order."""
        return self._scopes[_INDEX[place.scope]].get(place.ref).activations

    def clock(self, place: Place, at: Instant) -> Instant:
        """Read the window clock at a place."""
        return window_clock(self.common.freezes, place, at)

    def in_experiment(self, experiment: str) -> Iterator[Activation]:
        """List what is set at an experiment and at its variations."""
        for segment in self._scopes[EXPERIMENT]:
            if segment.activations[0].pinned.place.ref.partition(":")[0] == experiment:
                yield from segment.activations

    # --- Resolving ---

    def resolve(self, context: Context, at: Instant, failed: Failed = ignore) -> Resolution:
        """Resolve all levers for a context at an instant not before the last event's."""
        return Settled(self, context, at, NOTHING, failed).answer(self, at, context.turn_id)

    def settle(
        self,
        context: Context,
        at: Instant,
        varying: frozenset[str],
        failed: Failed = ignore,
    ) -> Settled:
        """Work out all that reads none of the varying names, for an instant and while it holds.

        `failed` is called with each activation whose rule fails for the context.
        """
        return Settled(self, context, at, varying, failed)

    def taking_part(self, context: Context) -> TakingPart | None:
        """Work out the experiments that a context is in; None for none."""
        running = self.common.experiments
        if not running and not context.experiments and context.experiment_id is None:
            return None
        return TakingPart(running, context)

    def reached(self, context: Context, taking_part: TakingPart | None) -> list[Reached]:
        """Look up what is set where a context is, lowest scope first."""
        reached = [self._everywhere]
        if context.world_id is not None:
            reached.append(self._at(WORLD, context.world_id))
        if context.adventure_id is not None:
            reached.append(self._at(ADVENTURE, context.adventure_id))
        if taking_part is not None:
            given = taking_part.given
            reached += [
                self._at(EXPERIMENT, place.ref, given=place in given)
                for place in taking_part.places
            ]
        reached.append(self._at(SESSION, context.session_id))
        return reached

    def _at(self, scope: int, ref: str, *, given: bool = False) -> Reached:
        return scope, ref, self._scopes[scope].get(ref), given

    def agrees(self, other: Plan, reached: Sequence[Reached]) -> bool:
        """Tell whether at all of these places, and in what is common, both plans are the same."""
        scopes = self._scopes
        return self.common is other.common and all(
            scopes[scope].get(ref) is segment for scope, ref, segment, _ in reached
        )

    def mix(self, places: Sequence[Reached]) -> Segment:
        """Merge what is set at several places, as if it were one."""
        key = tuple((segment, given) for _, _, segment, given in places)
        found = self._mixes.get(key)
        if found is None:
            if len(self._mixes) >= _MOST_MIXES:
                self._mixes.clear()
            found = self._mixes[key] = self._mixed(places)
        return found

    def _mixed(self, places: Sequence[Reached]) -> Segment:
        given = frozenset(Place(SCOPES[scope], ref) for scope, ref, _, given in places if given)
        return Segment.mixed((segment for _, _, segment, _ in places), self.catalog, given)


class _Refs:
    """Segments by ref; a new version copies only the parts that it changes."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[dict[str, Segment]] | None = None) -> None:
        self._parts = tuple({} for _ in range(_PARTS)) if parts is None else tuple(parts)

    def __iter__(self) -> Iterator[Segment]:
        for part in self._parts:
            yield from part.values()

    def get(self, ref: str) -> Segment:
        return self._parts[hash(ref) % _PARTS].get(ref, UNSET)

    def differing(self, other: _Refs) -> Iterator[tuple[Segment, Segment]]:
        for here, there in zip(self._parts, other._parts, strict=True):
            if here is not there:
                for ref in here.keys() | there.keys():
                    now, then = here.get(ref, UNSET), there.get(ref, UNSET)
                    if now is not then:
                        yield now, then

    def put(self, segments: Mapping[str, Segment]) -> _Refs:
        parts = list(self._parts)
        copied = {index: dict(parts[index]) for index in {hash(ref) % _PARTS for ref in segments}}
        for ref, segment in segments.items():
            part = copied[hash(ref) % _PARTS]
            if segment.activations:
                part[ref] = segment
            else:
                part.pop(ref, None)
        for index, part in copied.items():
            parts[index] = part
        return _Refs(parts)


def _fallback(lever: Lever, do: Fallback) -> Json:
    return lever.closed if do is Fallback.CLOSE else lever.default


def _put(
    scopes: tuple[_Refs, ...],
    catalog: Catalog,
    activations: Mapping[Place, tuple[Activation, ...]],
) -> tuple[_Refs, ...]:
    """Put at each place what is set there now."""
    changed: list[dict[str, Segment]] = [{} for _ in scopes]
    for place, there in activations.items():
        scope = _INDEX[place.scope]
        changed[scope][place.ref] = Segment(there, catalog, scopes[scope].get(place.ref))
    return tuple(
        refs.put(segments) if segments else refs
        for refs, segments in zip(scopes, changed, strict=True)
    )
