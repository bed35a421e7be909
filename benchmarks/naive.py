"""The naive way: for every context, look at all configs there are, one after the other."""

from __future__ import annotations

from typing import Any

from ledger.clock import Instant
from ledger.live import Activation, Live
from ledger.rollout import unit_text
from ledger.scopes import Context, Scope
from ledger.targeting import EvaluationError, compile_rule

Json = Any

_RANK = {scope: rank for rank, scope in enumerate(Scope)}


class Scan:
    """All configs in merge order; what is known beforehand is only that order."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._sorted = sorted(live.activations.values(), key=_order)

    def resolve(self, context: Context, at: Instant) -> dict[str, Json]:
        """Give the values of all levers."""
        places = {place for scope in Scope for place in context.places(scope)}
        bindings = context.bindings()
        values = dict(self.live.catalog.defaults)
        for activation in self._sorted:
            pinned = activation.pinned
            if (
                pinned.place in places
                and pinned.window.holds(at)
                and _targeted(activation, bindings)
                and _rolled_out(activation, context, at)
            ):
                for lever, value in pinned.payload.items():
                    old = values[lever]
                    values[lever] = {**old, **value} if isinstance(old, dict) else value
        return values


def _order(activation: Activation) -> tuple[int, int, int]:
    return (_RANK[activation.pinned.place.scope], *activation.order)


def _targeted(activation: Activation, bindings: dict[str, Json]) -> bool:
    rules = activation.pinned.targeting
    if rules is None or rules.include is None:
        return True
    try:
        return compile_rule(rules.include).matches(bindings)
    except EvaluationError:
        return False


def _rolled_out(activation: Activation, context: Context, at: Instant) -> bool:
    rollout = activation.pinned.rollout
    if rollout is None:
        return True
    unit = unit_text(context.unit(rollout.unit))
    return rollout.includes(unit, str(activation.config_id), at)
