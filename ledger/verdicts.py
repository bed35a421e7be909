"""Whether an activation applies to a context at an instant, and if not, why."""

from __future__ import annotations

from enum import StrEnum

from ledger.clock import Instant, format_instant
from ledger.content import Targeting
from ledger.live import Activation
from ledger.rollout import Rollout, bucket, percent, unit_text
from ledger.schedule import Window
from ledger.scopes import Context, Place
from ledger.standing import Standing
from ledger.targeting import EvaluationError, RuleError, Timestamp, compile_rule


class Why(StrEnum):
    """Why a config that could have supplied a value did not."""

    OVERRIDDEN = "overridden"
    WINDOW = "window"
    TARGETING = "targeting"
    ROLLOUT = "rollout"
    FROZEN = "frozen"
    KILLED = "killed"
    INVARIANT = "invariant"
    ERROR = "error"


class Verdicts:
    """Judges activations for one context and instant."""

    def __init__(self, standing: Standing, context: Context, at: Instant) -> None:
        self._standing = standing
        self._context = context
        self._at = at
        attributes = standing.catalog.read_attributes(context.bindings())
        self._bindings = {**attributes, "at": Timestamp(at)}
        self._clocks: dict[Place, Instant] = {}

    def why(self, activation: Activation) -> Why | None:
        """Tell why an activation does not apply; None when it does."""
        pinned = activation.pinned
        clock = self._clock(pinned.place)
        if not pinned.window.holds(clock):
            return Why.FROZEN if pinned.window.holds(self._at) else Why.WINDOW
        try:
            if self._refusing(pinned.targeting) is not None:
                return Why.TARGETING
        except (EvaluationError, RuleError):
            return Why.ERROR
        if pinned.rollout is None or self._included(pinned.rollout, activation, clock):
            return None
        held = clock != self._at and self._included(pinned.rollout, activation, self._at)
        return Why.FROZEN if held else Why.ROLLOUT

    def detail(self, activation: Activation) -> str:
        """Say in words why an activation does not apply."""
        pinned = activation.pinned
        clock = self._clock(pinned.place)
        held = f"a freeze holds the clock at {format_instant(clock)}" if clock != self._at else ""
        if not pinned.window.holds(clock):
            return ", ".join(filter(None, [_outside(pinned.window, clock), held]))
        try:
            if (refusing := self._refusing(pinned.targeting)) is not None:
                return refusing
        except (EvaluationError, RuleError) as error:
            return str(error)
        assert pinned.rollout is not None  # noqa: S101 - what else would keep it from applying
        return ", ".join(filter(None, [self._left_out(pinned.rollout, activation, clock), held]))

    def _clock(self, place: Place) -> Instant:
        clock = self._clocks.get(place)
        if clock is None:
            clock = self._clocks[place] = self._standing.clock(place, self._at)
        return clock

    def _refusing(self, rules: Targeting | None) -> str | None:
        """Name the rule that keeps the context out; None when there is none."""
        if rules is None:
            return None
        if rules.include is not None and not compile_rule(rules.include).matches(self._bindings):
            return f"include is not true: {rules.include}"
        if rules.exclude is not None and compile_rule(rules.exclude).matches(self._bindings):
            return f"exclude is true: {rules.exclude}"
        return None

    def _included(self, rollout: Rollout, activation: Activation, clock: Instant) -> bool:
        unit = unit_text(self._context.unit(rollout.unit))
        return rollout.includes(unit, str(activation.config_id), clock)

    def _left_out(self, rollout: Rollout, activation: Activation, clock: Instant) -> str:
        unit = unit_text(self._context.unit(rollout.unit))
        if unit is None:
            return f"the context has no {rollout.unit} to count by"
        salt = str(activation.config_id) if rollout.salt is None else rollout.salt
        place, reached = percent(bucket(salt, unit)), percent(rollout.threshold(clock))
        return f"{rollout.unit} is at {place} %, the rollout at {reached} %"


def _outside(window: Window, clock: Instant) -> str:
    if window.valid_from is not None and clock < window.valid_from:
        return f"opens at {format_instant(window.valid_from)}"
    return f"closed at {format_instant(window.valid_to or clock)}"
