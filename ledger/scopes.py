"""Where a config applies, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from ledger.errors import Invalid

Json = Any


class Scope(StrEnum):
    """The five scopes, lowest precedence first."""

    GLOBAL = "global"
    WORLD = "world"
    ADVENTURE = "adventure"
    EXPERIMENT = "experiment"
    SESSION = "session"


class Place(NamedTuple):
    """One scope and ref: what a config is set at and what a freeze covers."""

    scope: Scope
    ref: str

    def __str__(self) -> str:
        return self.scope.value if self.scope is Scope.GLOBAL else f"{self.scope.value} {self.ref}"


EVERYWHERE = Place(Scope.GLOBAL, "global")
LONGEST_REF = 256


def place(scope: str, ref: str) -> Place:
    """Check a scope and its ref; raises Invalid naming the member that is wrong."""
    try:
        known = Scope(scope)
    except ValueError:
        names = ", ".join(s.value for s in Scope)
        raise Invalid.at("/scope", f"{scope!r} is not a scope; it must be one of {names}") from None
    if known is Scope.GLOBAL and ref != "global":
        raise Invalid.at("/scope_ref", "the global scope has the one ref 'global'")
    if not ref.strip() or ref != ref.strip() or len(ref) > LONGEST_REF:
        raise Invalid.at(
            "/scope_ref",
            f"a ref is 1 to {LONGEST_REF} characters without white space at its ends",
        )
    return Place(known, ref)


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Context(NamedTuple):
    """Who asks: the session, and what else of the game is known about the turn.

    `experiments` maps experiment ids to the variation the session is in, or None for an
    experiment whose variation is not known. `attributes` holds JSON values.
    """

    session_id: str
    turn_id: int | None = None
    world_id: str | None = None
    adventure_id: str | None = None
    experiment_id: str | None = None
    variation: str | None = None
    experiments: Mapping[str, str | None] = _NOTHING
    attributes: Mapping[str, Json] = _NOTHING

    def __reduce__(self) -> tuple[type[Context], tuple[Any, ...]]:
        # The mapping that stands for nothing cannot be pickled or copied deeply.
        return Context, (*self[:-2], dict(self.experiments), dict(self.attributes))

    def places(self, scope: Scope) -> tuple[Place, ...]:
        """Name the places of one scope whose configs reach this context."""
        match scope:
            case Scope.GLOBAL:
                return (EVERYWHERE,)
            case Scope.WORLD:
                return _one(scope, self.world_id)
            case Scope.ADVENTURE:
                return _one(scope, self.adventure_id)
            case Scope.EXPERIMENT:
                return experiment_places(self.named_experiments())
            case Scope.SESSION:
                return _one(scope, self.session_id)

    def named_experiments(self) -> dict[str, str | None]:
        """List the experiments that the context names, with its variation where it knows that."""
        named = dict(self.experiments)
        if self.experiment_id is not None:
            named[self.experiment_id] = self.variation
        return named

    def unit(self, name: str) -> Json:
        """Read the value that a rollout counts by, or None when the context lacks it."""
        match name:
            case "session_id":
                return self.session_id
            case "world_id":
                return self.world_id
            case "adventure_id":
                return self.adventure_id
        return self.attributes.get(name)

    def bindings(self) -> dict[str, Json]:
        """List the names that a targeting rule may read; absent ones are left out."""
        return {**self.attributes, **self._named()}

    def to_json(self) -> dict[str, Json]:
        """Write the context as the API takes it, without what is absent."""
        written = self._named()
        if self.experiments:
            written["experiments"] = dict(self.experiments)
        if self.attributes:
            written["attributes"] = dict(self.attributes)
        return written

    def _named(self) -> dict[str, Json]:
        named = {name: getattr(self, name) for name in _NAMED}
        return {name: value for name, value in named.items() if value is not None}


_NAMED = ("session_id", "turn_id", "world_id", "adventure_id", "experiment_id", "variation")


def experiment_places(experiments: Mapping[str, str | None]) -> tuple[Place, ...]:
    """Name the places of experiments, and of their variations that are known."""
    places = []
    for experiment, variation in experiments.items():
        places.append(Place(Scope.EXPERIMENT, experiment))
        if variation is not None:
            places.append(Place(Scope.EXPERIMENT, f"{experiment}:{variation}"))
    return tuple(places)


def _one(scope: Scope, ref: str | None) -> tuple[Place, ...]:
    return () if ref is None else (Place(scope, ref),)
