"""What a context's levers are, as far as that does not change from turn to turn.

The same function as `ledger.resolve.resolve`, which stays the word on what an answer has to be:
where a rule between levers is broken, and in the few other corners that nothing can be built on
beforehand, an answer is resolved by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ledger.catalog import Catalog
from ledger.clock import Instant
from ledger.errors import RuleError
from ledger.live import Activation
from ledger.resolve import Reason, Resolution, resolve
from ledger.rollout import hash_bytes, unit_bytes
from ledger.scopes import Context, Place, Scope
from ledger.segments import (
    BEGINNING,
    END,
    SPLIT,
    STATIC,
    TARGETED,
    UNSET,
    Condition,
    Fields,
    Segment,
    Stretch,
    overlay,
)
from ledger.targeting import EvaluationError, Timestamp

if TYPE_CHECKING:
    from ledger.plan import Plan

Json = Any
Failed = Callable[[Activation], None]

OF_A_TURN = frozenset({"turn_id", "at"})
"""What a rule may read that no session keeps."""
NOTHING: frozenset[str] = frozenset()
NO_ATTRIBUTES: Mapping[str, Json] = MappingProxyType({})
NO_VARIATIONS: Mapping[str, str] = MappingProxyType({})
SCOPES = tuple(Scope)
GLOBAL, WORLD, ADVENTURE, EXPERIMENT, SESSION = range(5)

_new = tuple.__new__
"""What makes a named tuple, without looking at names: half the cost of an answer."""
Outcome = tuple[Mapping[str, Json], Reason]
BROKEN: Outcome = (NO_ATTRIBUTES, Reason.DEFAULT)
"""What some open conditions lead to: a rule between levers is broken."""
_MOST_OUTCOMES = 64
_NAMED = frozenset({"session_id", "world_id", "adventure_id", "experiment_id", "variation"})
_NAMED_UNITS = frozenset({"session_id", "world_id", "adventure_id"})
_REASONS = [
    Reason.SPLIT
    if bits & SPLIT
    else Reason.TARGETING_MATCH
    if bits & TARGETED
    else Reason.STATIC
    if bits & STATIC
    else Reason.DEFAULT
    for bits in range(8)
]


def ignore(_: Activation) -> None:
    """Take no notice of a rule that failed."""


Reached = tuple[int, str, Segment, bool]
"""What is set at one place that a context reaches: the scope, 0 for global, the ref, the segment;
and whether it was given to the context by an experiment that enrolled it."""


class Settled:
    """The answer to a context but for what reads a varying name, while `since` <= at < `until`.

    `varying` are names that a rule or a rollout may read and that are given with each question.
    `failed` is told of every activation whose rule fails for the context: it does not apply. Where
    it is `complete`, nothing varies: `values` and `reason` are the answer's. Safe to use from many
    threads.
    """

    __slots__ = (
        "_bindings",
        "_bits",
        "_exact",
        "_failed",
        "_open",
        "_outcomes",
        "_reached",
        "_reads_at",
        "_units",
        "complete",
        "context",
        "experiments",
        "plan",
        "reason",
        "since",
        "until",
        "values",
        "varying",
    )

    _open: tuple[Condition, ...]

    def __init__(
        self, plan: Plan, context: Context, at: Instant, varying: frozenset[str], failed: Failed
    ) -> None:
        common = plan.common
        self.plan = plan
        self.context = context
        self.varying = varying
        self.since, self.until = BEGINNING, END
        taking_part = plan.taking_part(context)
        self.experiments = (
            NO_VARIATIONS if taking_part is None else MappingProxyType(taking_part.variations())
        )
        self._failed = failed
        self._bindings = _bindings(common.catalog, context)
        self._units: dict[str, bytes | None] = {}
        self._bits = 0
        self._open = ()
        self._reads_at = False
        self._exact = common.needs_the_word or not varying.isdisjoint(common.units)
        self._reached = reached = plan.reached(context, taking_part)
        values = self._pass(plan, reached, at)
        self._exact = self._exact or (not self._open and common.broken(values))
        if common.killed:
            self._cover(common.killed, common.killed)
            values.update(common.killed)
        self._outcomes: dict[int, Outcome] = {}
        self.complete = not (self._open or self._exact)
        self.values = MappingProxyType(values)
        self.reason = _REASONS[self._bits]

    def _pass(self, plan: Plan, reached: list[Reached], at: Instant) -> dict[str, Json]:
        """Put what is set at the places of a context over each other, lowest scope first."""
        values: dict[str, Json] = plan.common.catalog.defaults
        if reached[0][2] is UNSET:
            values = values.copy()
        else:
            stretch = self._stretch(plan, reached[0], at)
            values = stretch.over(values)
            self._judge(values, stretch, at)
        mixed: list[Reached] = []
        for place in reached[1:]:
            scope, _, segment, _ = place
            if scope == EXPERIMENT:
                mixed.append(place)
                continue
            if mixed and scope > EXPERIMENT:
                self._mix(values, plan, mixed, at)
                mixed = []
            if segment is not UNSET:
                self._put(values, plan, place, at)
        return values

    def _mix(self, values: dict[str, Json], plan: Plan, places: list[Reached], at: Instant) -> None:
        """Put what is set at all experiments that the context is in, merged as one place."""
        there = [place for place in places if place[2] is not UNSET]
        if not there:
            return
        if len(there) == 1 and not there[0][3]:
            self._put(values, plan, there[0], at)
        elif plan.common.freezes:
            self._exact = True  # one of them may stand still while the others go on
        else:
            self._put(values, plan, (EXPERIMENT, "", plan.mix(there), True), at)

    def _put(self, values: dict[str, Json], plan: Plan, place: Reached, at: Instant) -> None:
        stretch = self._stretch(plan, place, at)
        if self._open:
            self._cover(stretch.writes, stretch.fields)
        values.update(stretch.writes)
        if stretch.fields:
            overlay(values, stretch.fields)
        self._judge(values, stretch, at)

    def _stretch(self, plan: Plan, place: Reached, at: Instant) -> Stretch:
        """Find what a place comes down to, and take note of how long, and for whom."""
        scope, ref, segment, _ = place
        clock = plan.clock(Place(SCOPES[scope], ref), at) if plan.common.freezes else at
        stretch = segment.stretch(clock)
        if clock == at:  # else it stands still, and no edge comes nearer
            if stretch.since > self.since:  # noqa: PLR1730 - this is done for every context
                self.since = stretch.since
            if stretch.until < self.until:  # noqa: PLR1730
                self.until = stretch.until
        for activation in stretch.broken:
            self._failed(activation)
        self._bits |= stretch.bits
        return stretch

    def _judge(self, values: dict[str, Json], stretch: Stretch, at: Instant) -> None:
        """Apply the conditions of a stretch, or leave open what reads a varying name."""
        if not stretch.conditions:
            return
        if self._open or not stretch.names.isdisjoint(self.varying):
            self._part(values, stretch.conditions)
            return
        bindings, bits = self._bindings, 0
        if "at" in stretch.names:
            bindings["at"] = Timestamp(at)
        if stretch.ask is not None:
            if stretch.ask(bindings, values.update, self._failed):
                bits = TARGETED
        elif stretch.tested:
            bits = self._test(values, stretch)
        for unit, shares in stretch.drawn:
            data = self._unit(unit)
            if data is None:
                continue
            for salt, limit, writes in shares:
                if hash_bytes(salt + data) < limit:
                    values.update(writes)
                    bits = SPLIT
        for condition in stretch.others:
            if self._meets(condition, bindings):
                condition.write(values)
                bits |= condition.bits
        self._bits |= bits

    def _test(self, values: dict[str, Json], stretch: Stretch) -> int:
        bindings, bits = self._bindings, 0
        stretch.count()
        for rule, writes in stretch.tested:
            try:
                if rule.matches(bindings):
                    values.update(writes)
                    bits = TARGETED
            except (EvaluationError, RuleError):
                self._failed(stretch.whose(writes))
        return bits

    def _part(self, values: dict[str, Json], conditions: tuple[Condition, ...]) -> None:
        """Apply the conditions that can be decided, and leave the others open."""
        for condition in conditions:
            if condition.reads(self.varying):
                self._open = (*self._open, condition)
                self._reads_at = self._reads_at or "at" in condition.names
                continue
            if self._meets(condition, self._bindings):
                self._bits |= condition.bits
                self._cover(condition.writes, condition.fields)
                condition.write(values)

    def _cover(self, writes: Mapping[str, Json], fields: Fields) -> None:
        self._open = tuple(condition.without(writes, fields) for condition in self._open)

    def _meets(
        self,
        condition: Condition,
        bindings: Mapping[str, object],
        attributes: Mapping[str, Json] = NO_ATTRIBUTES,
    ) -> bool:
        """Put a condition to the context; `attributes` go before those of the context."""
        include, exclude, unit, salt, limit, _, _, _, _, activation = condition
        try:
            if include is not None and not include.matches(bindings):
                return False
            if exclude is not None and exclude.matches(bindings):
                return False
        except (EvaluationError, RuleError):
            self._failed(activation)
            return False
        if limit is None:
            return True
        if unit in attributes and unit not in _NAMED_UNITS:
            data = unit_bytes(attributes[unit])
        else:
            data = self._unit(unit)
        return data is not None and hash_bytes(salt + data) < limit

    def _unit(self, name: str) -> bytes | None:
        if name not in self._units:
            self._units[name] = unit_bytes(self.context.unit(name))
        return self._units[name]

    # --- Answering ---

    def holds(self, plan: Plan, at: Instant) -> bool:
        """Tell whether it is still so in another version and at another instant."""
        if not self.since <= at < self.until:
            return False
        if plan is not self.plan:
            if not plan.agrees(self.plan, self._reached):
                return False
            self.plan = plan
        return True

    def answer(
        self,
        plan: Plan,
        at: Instant,
        turn_id: int | None = None,
        attributes: Mapping[str, Json] = NO_ATTRIBUTES,
    ) -> Resolution:
        """Answer from a version and for an instant for which this holds.

        `attributes` are among the varying names.
        """
        if self._exact:
            return self._resolved(plan, at, turn_id, attributes)
        if self._open:
            return self._opened(plan, at, turn_id, attributes)
        return _new(
            Resolution,
            (self.values, plan.position, at, self.reason, self.experiments, None, None),
        )

    def _opened(
        self, plan: Plan, at: Instant, turn_id: int | None, attributes: Mapping[str, Json]
    ) -> Resolution:
        """Answer by which of the open conditions are met: few combinations of them ever are."""
        bindings = self._bindings.copy()
        if attributes:
            bindings.update(plan.common.catalog.read_attributes(attributes))
            if not _NAMED.isdisjoint(attributes):
                _name(bindings, self.context)
        if turn_id is not None:
            bindings["turn_id"] = turn_id
        if self._reads_at:
            bindings["at"] = Timestamp(at)
        met = 0
        for index, condition in enumerate(self._open):
            if self._meets(condition, bindings, attributes):
                met |= 1 << index
        known = self._outcomes.get(met) or self._outcome(met)
        if known is BROKEN:
            return self._resolved(plan, at, turn_id, attributes)
        values, reason = known
        return _new(Resolution, (values, plan.position, at, reason, self.experiments, None, None))

    def _outcome(self, met: int) -> Outcome:
        values, bits = dict(self.values), self._bits
        for index, condition in enumerate(self._open):
            if met >> index & 1:
                condition.write(values)
                bits |= condition.bits
        broken = self.plan.common.broken(values)
        outcome = BROKEN if broken else (MappingProxyType(values), _REASONS[bits])
        if len(self._outcomes) < _MOST_OUTCOMES:
            self._outcomes[met] = outcome
        return outcome

    def _resolved(
        self, plan: Plan, at: Instant, turn_id: int | None, attributes: Mapping[str, Json]
    ) -> Resolution:
        return sealed(resolve(plan, turned(self.context, turn_id, attributes), at))


def sealed(answer: Resolution) -> Resolution:
    """Let nobody change an answer that others are given too."""
    return answer._replace(
        values=MappingProxyType(answer.values),
        experiments=MappingProxyType(answer.experiments),
    )


def turned(context: Context, turn_id: int | None, attributes: Mapping[str, Json]) -> Context:
    """Give the context of one of a session's turns."""
    if attributes:
        attributes = {**context.attributes, **attributes}
        return context._replace(turn_id=turn_id, attributes=attributes)
    return context if turn_id == context.turn_id else context._replace(turn_id=turn_id)


def _bindings(catalog: Catalog, context: Context) -> dict[str, object]:
    attributes = context.attributes
    bindings: dict[str, object] = {**catalog.read_attributes(attributes)} if attributes else {}
    _name(bindings, context)
    return bindings


def _name(bindings: dict[str, object], context: Context) -> None:
    """Put in what the context itself says: it goes before attributes of the same names."""
    bindings["session_id"] = context.session_id
    if context.turn_id is not None:
        bindings["turn_id"] = context.turn_id
    if context.world_id is not None:
        bindings["world_id"] = context.world_id
    if context.adventure_id is not None:
        bindings["adventure_id"] = context.adventure_id
    if context.experiment_id is not None:
        bindings["experiment_id"] = context.experiment_id
    if context.variation is not None:
        bindings["variation"] = context.variation
