"""What matters to resolution at one position: what is in force, in shadow, frozen and killed.

`Live` is folded from events by `evolve_live`, and can be taken apart into *things* and put
together again from them: that is how a replica starts from the compacted topic. Values inside
are frozen and replaced, never changed in place, so that `copy` is shallow and cheap.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never
from uuid import UUID

from ledger.catalog import Catalog, shipped_catalog
from ledger.clock import Instant, format_instant, parse_instant
from ledger.content import Pinned
from ledger.experiments import Experiment
from ledger.schedule import frozen_clock
from ledger.scopes import EVERYWHERE, Place, Scope

if TYPE_CHECKING:
    from ledger.events import Recorded

Json = Any

CATALOG = "catalog"

FOLD = 1
"""The version of what events fold into: raise it with every change of that, or of a thing's form.

What was folded and kept by an earlier version is then folded anew.
"""


class Origin(NamedTuple):
    """The event behind a fact: where it is in the ledger, when, by whom and why."""

    position: int
    recorded_at: Instant
    actor: UUID
    reason: str

    @classmethod
    def of(cls, recorded: Recorded) -> Origin:
        """Name the event as the origin of what it says."""
        cause = recorded.cause
        return cls(recorded.position, recorded.recorded_at, cause.actor, cause.reason)

    def to_json(self) -> dict[str, Json]:
        """Write the origin."""
        return {
            "position": self.position,
            "recorded_at": format_instant(self.recorded_at),
            "actor": str(self.actor),
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Origin:
        """Read what `to_json` wrote."""
        at = parse_instant(data["recorded_at"])
        return cls(data["position"], at, UUID(data["actor"]), data["reason"])


class Activation(NamedTuple):
    """A revision put in force by an event, until another event ends it.

    Orders by (priority, rank), the order in which activations of one scope are merged.
    """

    config_id: UUID
    pinned: Pinned
    origin: Origin

    @property
    def rank(self) -> int:
        """Its place among activations of equal priority: later wins."""
        return self.origin.position if self.pinned.rank is None else self.pinned.rank

    @property
    def order(self) -> tuple[int, int]:
        """The key by which activations of one scope are merged, ascending."""
        return (self.pinned.priority, self.rank)

    def same_effect(self, other: Activation | None) -> bool:
        """Tell whether both put the same in force: rank, revision, window and rollout."""
        return other is not None and (
            (self.rank, self.pinned.revision, self.pinned.window, self.pinned.rollout)
            == (other.rank, other.pinned.revision, other.pinned.window, other.pinned.rollout)
        )


class Freeze(NamedTuple):
    """A freeze of one place over [begin, end); `end` is None while it is in force."""

    origin: Origin
    end: Instant | None = None

    @property
    def begin(self) -> Instant:
        """The instant at which the clock of windows stands still."""
        return self.origin.recorded_at

    def holds(self, at: Instant) -> bool:
        """Tell whether an instant lies inside."""
        return self.begin <= at and (self.end is None or at < self.end)


class Running(NamedTuple):
    """An experiment that runs, and the event that started or last changed it."""

    experiment: Experiment
    origin: Origin


def window_clock(freezes: Mapping[Place, tuple[Freeze, ...]], place: Place, at: Instant) -> Instant:
    """Read the window clock of the configs at a place: `at`, unless a freeze holds it."""
    if not freezes:
        return at
    covering = freezes.get(EVERYWHERE, ())
    if place != EVERYWHERE:
        covering += freezes.get(place, ())
    return frozen_clock(at, [(freeze.begin, freeze.end) for freeze in covering])


class Live:
    """The state of the ledger at `position`, as far as resolution needs it."""

    def __init__(self, position: int = 0, recorded_at: Instant = 0) -> None:
        self.position = position
        self.recorded_at = recorded_at
        self.catalog = shipped_catalog()
        self.catalog_origin: Origin | None = None
        self.activations: dict[UUID, Activation] = {}
        self.by_place: dict[Place, tuple[Activation, ...]] = {}
        self.freezes: dict[Place, tuple[Freeze, ...]] = {}
        self.kills: dict[str, Origin] = {}
        self.experiments: dict[str, Running] = {}
        self.shadows: dict[UUID, Activation] = {}

    def copy(self) -> Live:
        """Return an independent Live; what is inside is shared, for it never changes."""
        twin = Live(self.position, self.recorded_at)
        twin.catalog, twin.catalog_origin = self.catalog, self.catalog_origin
        twin.activations = dict(self.activations)
        twin.by_place = dict(self.by_place)
        twin.freezes = dict(self.freezes)
        twin.kills = dict(self.kills)
        twin.experiments = dict(self.experiments)
        twin.shadows = dict(self.shadows)
        return twin

    def at_place(self, place: Place) -> tuple[Activation, ...]:
        """List the activations at a place, in the order in which they are merged."""
        return self.by_place.get(place, ())

    def in_experiment(self, experiment_id: str) -> Iterator[Activation]:
        """List the activations at an experiment and at its variations."""
        for place, activations in self.by_place.items():
            if place.scope is Scope.EXPERIMENT and place.ref.partition(":")[0] == experiment_id:
                yield from activations

    def clock(self, place: Place, at: Instant) -> Instant:
        """Read the window clock of the configs at a place: `at`, unless a freeze holds it."""
        return window_clock(self.freezes, place, at)

    def frozen(self, place: Place) -> tuple[Place, Freeze] | None:
        """Find the freeze now in force that covers a place, the global one first."""
        for covering in (EVERYWHERE, place):
            for freeze in self.freezes.get(covering, ()):
                if freeze.end is None:
                    return covering, freeze
        return None

    def any_freeze(self) -> tuple[Place, Freeze] | None:
        """Find any freeze now in force."""
        for place in sorted(self.freezes):
            found = self.frozen(place)
            if found is not None:
                return found
        return None


def evolve_live(live: Live, recorded: Recorded) -> list[str]:
    """Bring `live` from the position before an event to the event's own.

    Returns the ids of the things that changed or went (see `thing`).
    """
    from ledger import events  # not before there is one: a game that starts from things has none

    live.position = recorded.position
    live.recorded_at = recorded.recorded_at
    match event := recorded.event:
        case events.ConfigActivated() | events.ConfigRolledBack() | events.RolloutChanged():
            activate(live, Activation(event.config_id, event.pinned, Origin.of(recorded)))
            return [str(event.config_id)]
        case events.ConfigDeactivated():
            deactivate(live, event.config_id)
            return [str(event.config_id)]
        case events.ConfigArchived():
            deactivate(live, event.config_id)
            return [str(event.config_id), *_end_shadow(live, event.config_id)]
        case events.ShadowStarted():
            shadow = Activation(event.config_id, event.pinned, Origin.of(recorded))
            live.shadows[event.config_id] = shadow
            return [_shadow_id(event.config_id)]
        case events.ShadowStopped():
            return _end_shadow(live, event.config_id)
        case events.Frozen():
            return _freeze(live, event.place, Origin.of(recorded))
        case events.Unfrozen():
            return _unfreeze(live, event.place, recorded.recorded_at)
        case events.LeverKilled():
            live.kills[event.lever] = Origin.of(recorded)
            return [f"kill:{event.lever}"]
        case events.LeverRestored():
            live.kills.pop(event.lever, None)
            return [f"kill:{event.lever}"]
        case events.ExperimentStarted() | events.ExperimentChanged():
            experiment = event.experiment
            live.experiments[experiment.experiment_id] = Running(experiment, Origin.of(recorded))
            return [_experiment_id(experiment.experiment_id)]
        case events.ExperimentStopped():
            live.experiments.pop(event.experiment_id, None)
            return [_experiment_id(event.experiment_id)]
        case events.CatalogAdopted():
            live.catalog = event.catalog
            live.catalog_origin = Origin.of(recorded)
            return [CATALOG]
        case events.ConfigCreated() | events.ConfigRevised():
            return []
    assert_never(event)


def activate(live: Live, activation: Activation) -> None:
    """Put an activation in force in place of the config's earlier one."""
    deactivate(live, activation.config_id)
    live.activations[activation.config_id] = activation
    place = activation.pinned.place
    there = live.by_place.get(place, ())
    index = bisect_left(there, activation.order, key=lambda other: other.order)
    live.by_place[place] = (*there[:index], activation, *there[index:])


def deactivate(live: Live, config_id: UUID) -> None:
    """End a config's activation, if it has one."""
    ended = live.activations.pop(config_id, None)
    if ended is None:
        return
    place = ended.pinned.place
    left = tuple(other for other in live.by_place[place] if other is not ended)
    if left:
        live.by_place[place] = left
    else:
        del live.by_place[place]


def _end_shadow(live: Live, config_id: UUID) -> list[str]:
    return [] if live.shadows.pop(config_id, None) is None else [_shadow_id(config_id)]


def shadowed(live: Live) -> Live:
    """Copy a Live in which each shadow stands in place of its config's own activation."""
    copy = live.copy()
    for shadow in live.shadows.values():
        activate(copy, shadow)
    return copy


def _freeze(live: Live, place: Place, origin: Origin) -> list[str]:
    live.freezes[place] = (*live.freezes.get(place, ()), Freeze(origin))
    return [_freeze_id(place)]


def _unfreeze(live: Live, place: Place, at: Instant) -> list[str]:
    before = sorted(live.freezes)
    live.freezes[place] = tuple(
        Freeze(freeze.origin, at) if freeze.end is None else freeze
        for freeze in live.freezes.get(place, ())
    )
    _forget_spent_freezes(live)
    return [_freeze_id(there) for there in before]


def _forget_spent_freezes(live: Live) -> None:
    # An ended freeze still holds the clock only through a freeze that began inside it and is
    # in force: everything from now on lies after its end. The others would grow for ever.
    kept = {f for freezes in live.freezes.values() for f in freezes if f.end is None}
    while True:
        begins = [freeze.begin for freeze in kept]
        more = {
            freeze
            for freezes in live.freezes.values()
            for freeze in freezes
            if freeze not in kept and any(freeze.holds(begin) for begin in begins)
        }
        if not more:
            break
        kept |= more
    remaining = {
        place: tuple(freeze for freeze in freezes if freeze in kept)
        for place, freezes in live.freezes.items()
    }
    live.freezes = {place: freezes for place, freezes in remaining.items() if freezes}


# --- Things: a Live taken apart, as the compacted topic carries it ---


def _freeze_id(place: Place) -> str:
    return f"freeze:{place.scope.value}:{place.ref}"


def _experiment_id(experiment_id: str) -> str:
    return f"experiment:{experiment_id}"


def _shadow_id(config_id: UUID) -> str:
    return f"shadow:{config_id}"


def things(live: Live) -> dict[str, dict[str, Json]]:
    """Take a Live apart into its things by id; deterministic."""
    ids = [
        *([CATALOG] if live.catalog_origin else []),
        *(f"kill:{lever}" for lever in sorted(live.kills)),
        *(_freeze_id(place) for place in sorted(live.freezes)),
        *(_experiment_id(experiment_id) for experiment_id in sorted(live.experiments)),
        *sorted(_shadow_id(config_id) for config_id in live.shadows),
        *sorted(str(config_id) for config_id in live.activations),
    ]
    found = ((thing_id, thing(live, thing_id)) for thing_id in ids)
    return {thing_id: value for thing_id, value in found if value is not None}


def thing(live: Live, thing_id: str) -> dict[str, Json] | None:
    """Write one thing, or None when it is no longer there."""
    kind, _, name = thing_id.partition(":")
    match kind:
        case "catalog":
            return _catalog_thing(live)
        case "kill":
            return _kill_thing(live, name)
        case "freeze":
            scope, _, ref = name.partition(":")
            return _freeze_thing(live, Place(Scope(scope), ref))
        case "experiment":
            return _experiment_thing(live, name)
        case "shadow":
            return _pinned_thing("shadow", live.shadows.get(UUID(name)))
    return _pinned_thing("config", live.activations.get(UUID(thing_id)))


def _catalog_thing(live: Live) -> dict[str, Json] | None:
    origin = live.catalog_origin
    if origin is None:
        return None
    return {"kind": CATALOG, "catalog": live.catalog.to_json(), "origin": origin.to_json()}


def _kill_thing(live: Live, lever: str) -> dict[str, Json] | None:
    killed = live.kills.get(lever)
    if killed is None:
        return None
    return {"kind": "kill", "lever": lever, "origin": killed.to_json()}


def _freeze_thing(live: Live, place: Place) -> dict[str, Json] | None:
    freezes = [
        {
            "origin": freeze.origin.to_json(),
            "end": None if freeze.end is None else format_instant(freeze.end),
        }
        for freeze in live.freezes.get(place, ())
    ]
    if not freezes:
        return None
    where = {"scope": place.scope.value, "scope_ref": place.ref}
    return {"kind": "freeze", **where, "freezes": freezes}


def _experiment_thing(live: Live, experiment_id: str) -> dict[str, Json] | None:
    running = live.experiments.get(experiment_id)
    if running is None:
        return None
    written = {"experiment": running.experiment.to_json(), "origin": running.origin.to_json()}
    return {"kind": "experiment", **written}


def _pinned_thing(kind: str, activation: Activation | None) -> dict[str, Json] | None:
    if activation is None:
        return None
    return {
        "kind": kind,
        "config_id": str(activation.config_id),
        "activation": activation.pinned.to_json(),
        "origin": activation.origin.to_json(),
    }


def assemble(position: int, recorded_at: Instant, parts: Iterable[Mapping[str, Json]]) -> Live:
    """Put a Live together from its things, in any order."""
    live = Live(position, recorded_at)
    for part in parts:
        _restore(live, part)
    return live


def _restore(live: Live, part: Mapping[str, Json]) -> None:
    match part["kind"]:
        case "catalog":
            live.catalog = Catalog.from_json(part["catalog"])
            live.catalog_origin = Origin.from_json(part["origin"])
        case "kill":
            live.kills[part["lever"]] = Origin.from_json(part["origin"])
        case "freeze":
            place = Place(Scope(part["scope"]), part["scope_ref"])
            live.freezes[place] = tuple(_restored_freeze(data) for data in part["freezes"])
        case "experiment":
            experiment = Experiment.from_json(part["experiment"])
            running = Running(experiment, Origin.from_json(part["origin"]))
            live.experiments[experiment.experiment_id] = running
        case "shadow":
            shadow = _restored_activation(part)
            live.shadows[shadow.config_id] = shadow
        case "config":
            activate(live, _restored_activation(part))


def _restored_activation(part: Mapping[str, Json]) -> Activation:
    pinned = Pinned.from_json(part["activation"])
    return Activation(UUID(part["config_id"]), pinned, Origin.from_json(part["origin"]))


def _restored_freeze(data: Mapping[str, Json]) -> Freeze:
    end = None if data["end"] is None else parse_instant(data["end"])
    return Freeze(Origin.from_json(data["origin"]), end)
