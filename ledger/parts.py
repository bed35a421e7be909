"""Which of the ledger's things are loaded together, and which of them a context needs.

The things that every answer rests on make up four parts; what is in force or in shadow at a place
is another part. An experiment and its variations are one: whoever explains an answer tells what
is set at the variations that the context is not in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.live import Running
from ledger.scopes import Context, Place, Scope
from ledger.standing import TakingPart

Json = Any

COMMON = ("catalog", "kills", "freezes", "experiments")
"""The parts that every answer rests on."""

_KINDS = {"catalog": "catalog", "kill": "kills", "freeze": "freezes", "experiment": "experiments"}


def part_of(thing: Mapping[str, Json]) -> str:
    """Name the part that a thing belongs to; see `ledger.live.thing`."""
    common = _KINDS.get(thing["kind"])
    if common is not None:
        return common
    pinned = thing["activation"]
    return place_part(Place(Scope(pinned["scope"]), pinned["scope_ref"]))


def place_part(place: Place) -> str:
    """Name the part of what is in force or in shadow at a place."""
    ref = place.ref.partition(":")[0] if place.scope is Scope.EXPERIMENT else place.ref
    return f"{place.scope.value}:{ref}"


def parts_of(
    running: Mapping[str, Running], context: Context, *, explained: bool = True
) -> tuple[str, ...]:
    """Name the parts of all places whose configs reach a context.

    `running` are the experiments that run: a context may be enrolled in one that it does not name.
    Who wants an answer `explained` needs those that it is not in as well.
    """
    places = [
        place for scope in Scope if scope is not Scope.EXPERIMENT for place in context.places(scope)
    ]
    experiments = {*(running if explained else ()), *TakingPart(running, context).ids}
    places += [Place(Scope.EXPERIMENT, experiment) for experiment in sorted(experiments)]
    return tuple(dict.fromkeys(map(place_part, places)))
