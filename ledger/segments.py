"""The activations of one place, prepared so that resolving costs a context next to nothing.

A *segment* is what is set at one (scope, ref). For a stretch of time between two edges (a window
that opens or closes, a step of a ramp) it comes down to the values that hold for everybody there,
merged once, and the conditions that have to be put to a context, in merge order. What a later
value overwrites in any case is left out: the last writer wins, so nobody can see it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.catalog import Catalog
from ledger.clock import Instant
from ledger.errors import RuleError
from ledger.live import Activation
from ledger.rollout import gate_limit, salt_bytes
from ledger.scopes import Place
from ledger.targeting import Rule, compile_rule

if TYPE_CHECKING:
    from ledger.targeting.together import Ask

Json = Any
Fields = dict[str, dict[str, Json]]

BEGINNING: Instant = -(2**63)
END: Instant = 2**63

OFTEN = 256
MOST = 64
STATIC, TARGETED, SPLIT = 1, 2, 4
"""What was applied, as bits: for everybody, by a rule, by a share of units."""


def overlay(values: dict[str, Json], fields: Fields) -> None:
    """Put fields of object levers over those that are there."""
    for lever, parts in fields.items():
        values[lever] = {**values[lever], **parts}


class Condition(NamedTuple):
    """An activation that is only for some contexts, and what it writes for them.

    `limit` bounds the hash of `salt` and the unit from above; without a rollout it is None.
    `names` are those that its rules read. `fields` are of object levers, merged field by field.
    """

    include: Rule | None
    exclude: Rule | None
    unit: str
    salt: bytes
    limit: int | None
    writes: dict[str, Json]
    fields: Fields
    bits: int
    names: frozenset[str]
    activation: Activation

    def write(self, values: dict[str, Json]) -> None:
        """Write what it writes."""
        values.update(self.writes)
        if self.fields:
            overlay(values, self.fields)

    def reads(self, names: frozenset[str]) -> bool:
        """Tell whether it depends on any of these names."""
        return self.unit in names or not names.isdisjoint(self.names)

    def without(self, writes: Mapping[str, Json], fields: Fields) -> Condition:
        """Leave out what is overwritten after it in any case."""
        kept = {lever: value for lever, value in self.writes.items() if lever not in writes}
        return self._replace(writes=kept, fields=_uncovered(self.fields, fields))


class Stretch:
    """What a segment comes down to while `since` <= clock < `until`.

    `conditions` are in merge order, and `names` are all that they read. Most of them write what no
    other one writes, so that their order does not matter: those that are a rule are also in
    `tested`, those that are a share of units in `drawn`, by unit, and what is left in `others`.
    `broken` have a rule that cannot be read, and apply to nobody. `ask` puts all of `tested` at
    once, when there are several and they have been asked often.
    """

    __slots__ = (
        "_asked",
        "_over",
        "ask",
        "bits",
        "broken",
        "conditions",
        "drawn",
        "fields",
        "names",
        "others",
        "since",
        "tested",
        "until",
        "writes",
    )

    def __init__(self, since: Instant, until: Instant) -> None:
        self.since = since
        self.until = until
        self.writes: dict[str, Json] = {}
        self.fields: Fields = {}
        self.bits = 0
        self.broken: list[Activation] = []
        self.conditions: tuple[Condition, ...] = ()
        self.names: frozenset[str] = frozenset()
        self.tested: tuple[tuple[Rule, dict[str, Json]], ...] = ()
        self.drawn: tuple[tuple[str, tuple[tuple[bytes, int, dict[str, Json]], ...]], ...] = ()
        self.others: tuple[Condition, ...] = ()
        self.ask: Ask | None = None
        self._asked = 0
        self._over: dict[str, Json] | None = None

    def over(self, defaults: dict[str, Json]) -> dict[str, Json]:
        """Put what holds for everybody over the defaults, always the same ones; a copy is given."""
        if self._over is None:
            values = {**defaults, **self.writes}
            overlay(values, self.fields)
            self._over = values
        return self._over.copy()

    def whose(self, writes: Mapping[str, Json]) -> Activation:
        """Find the activation that a condition of these writes is of."""
        return next(each.activation for each in self.conditions if each.writes is writes)

    def count(self) -> None:
        """Count that the rules were asked one by one; compile them together when it pays."""
        self._asked += 1
        # Compiling takes as long as asking them a thousand times: a place that is asked seldom, or
        # changes all the time, is better off without.
        if self._asked == OFTEN and 1 < len(self.tested) <= MOST:
            from ledger.targeting.together import together

            rules, says = zip(*self.tested, strict=True)
            self.ask = together(rules, says, [self.whose(each) for each in says])

    def judge_by(self, conditions: Iterable[Condition]) -> None:
        """Take the conditions, in merge order."""
        self.conditions = tuple(conditions)
        self.names = frozenset().union(*(each.names | {each.unit} for each in self.conditions))
        times = Counter(lever for each in self.conditions for lever in (*each.writes, *each.fields))
        tested, others = [], []
        drawn: dict[str, list[tuple[bytes, int, dict[str, Json]]]] = {}
        for each in self.conditions:
            alone = not each.fields and all(times[lever] == 1 for lever in each.writes)
            ruled = each.include is not None or each.exclude is not None
            if alone and each.bits == TARGETED and each.include and each.exclude is None:
                tested.append((each.include, each.writes))
            elif alone and each.limit is not None and not ruled:
                drawn.setdefault(each.unit, []).append((each.salt, each.limit, each.writes))
            else:
                others.append(each)
        self.tested, self.others = tuple(tested), tuple(others)
        self.drawn = tuple((unit, tuple(shares)) for unit, shares in drawn.items())


class Segment:
    """What is set at one place under one catalog; prepared when it is first asked.

    Never changed: what is kept inside is only what has been worked out. `given` are places that
    a context has reached by its share: what is set there is never for everybody.
    """

    __slots__ = ("_before", "_catalog", "_given", "_prepared", "_stretch", "activations")

    def __init__(
        self,
        activations: tuple[Activation, ...],
        catalog: Catalog,
        before: Segment | None = None,
        *,
        given: frozenset[Place] = frozenset(),
    ) -> None:
        self.activations = activations
        self._catalog = catalog
        self._given = given
        self._prepared: tuple[_Prepared, ...] | None = None
        self._stretch: Stretch | None = None
        # What was prepared earlier is taken over; a segment that never was leads to the one before
        # it, so that a place that nobody asks for does not keep all its past.
        self._before: Segment | None = before
        if before is not None and before._prepared is None:
            self._before = before._before

    @classmethod
    def mixed(
        cls, segments: Iterable[Segment], catalog: Catalog, given: frozenset[Place]
    ) -> Segment:
        """Put together what is set at several places; nothing of it is prepared anew."""
        there = [each for segment in segments for each in segment.prepare()]
        there.sort(key=lambda each: each.activation.order)
        mix = cls(tuple(each.activation for each in there), catalog, given=given)
        mix._prepared = tuple(there)
        return mix

    def stretch(self, clock: Instant) -> Stretch:
        """Give what holds at an instant of the window clock."""
        known = self._stretch
        if known is None or not known.since <= clock < known.until:
            known = self._stretch = _stretched(self.prepare(), clock, self._given)
        return known

    def prepare(self) -> tuple[_Prepared, ...]:
        """Read the activations as the catalog does, once."""
        if self._prepared is None:
            before, self._before = self._before, None
            known = {id(each.activation): each for each in before._prepared or ()} if before else {}
            self._prepared = tuple(
                known.get(id(activation)) or _Prepared(activation, self._catalog)
                for activation in self.activations
            )
        return self._prepared


class _Prepared:
    """An activation as a catalog reads it."""

    __slots__ = ("activation", "broken", "condition", "edges", "fields", "writes")

    def __init__(self, activation: Activation, catalog: Catalog) -> None:
        self.activation = activation
        self.edges = sorted(_edges(activation))
        self.writes: dict[str, Json] = {}
        self.fields: Fields = {}
        for lever, stored in activation.pinned.payload.items():
            value = catalog.read(lever, stored)
            if isinstance(value, dict):
                self.fields[lever] = value
            elif value is not None:
                self.writes[lever] = value
        self.broken = False
        self.condition: Condition | None = None
        if activation.pinned.targeting is not None or activation.pinned.rollout is not None:
            self._read_condition()

    def _read_condition(self) -> None:
        pinned = self.activation.pinned
        rules = pinned.targeting
        try:
            include = _rule(None if rules is None else rules.include)
            exclude = _rule(None if rules is None else rules.exclude)
        except RuleError:
            self.broken = True
            return
        rollout = pinned.rollout
        self.condition = Condition(
            include=include,
            exclude=exclude,
            unit="" if rollout is None else rollout.unit,
            salt=b""
            if rollout is None
            else salt_bytes(rollout.salt or str(self.activation.config_id)),
            limit=None,
            writes=self.writes,
            fields=self.fields,
            bits=TARGETED if rollout is None else SPLIT,
            names=frozenset().union(*(rule.names for rule in (include, exclude) if rule)),
            activation=self.activation,
        )

    def rolled_out(self, condition: Condition, clock: Instant) -> Condition:
        """Give the condition with the share of units that is in at an instant."""
        rollout = self.activation.pinned.rollout
        if rollout is None:
            return condition
        return condition._replace(limit=gate_limit(rollout.threshold(clock)))


def _rule(text: str | None) -> Rule | None:
    return None if text is None else compile_rule(text)


def _edges(activation: Activation) -> Iterable[Instant]:
    window, rollout = activation.pinned.window, activation.pinned.rollout
    if window.valid_from is not None:
        yield window.valid_from
    if window.valid_to is not None:
        yield window.valid_to
    if rollout is not None:
        yield from (step.at for step in rollout.ramp)


def _stretched(prepared: tuple[_Prepared, ...], clock: Instant, given: frozenset[Place]) -> Stretch:
    since, until = BEGINNING, END
    for each in prepared:
        if each.edges:
            past = bisect_right(each.edges, clock)
            since = max(since, each.edges[past - 1]) if past else since
            until = min(until, each.edges[past]) if past < len(each.edges) else until
    stretch = Stretch(since, until)
    conditions: list[Condition] = []
    # From the last to the first: what is there already overwrites what comes.
    for each in reversed(prepared):
        pinned = each.activation.pinned
        if not pinned.window.holds(clock):
            continue
        drawn = bool(given) and pinned.place in given
        if each.broken:
            stretch.broken.append(each.activation)
        elif each.condition is not None:
            condition = each.rolled_out(each.condition, clock)
            condition = condition.without(stretch.writes, stretch.fields)
            conditions.append(condition._replace(bits=SPLIT) if drawn else condition)
        else:
            stretch.bits |= SPLIT if drawn else STATIC
            for lever, value in each.writes.items():
                stretch.writes.setdefault(lever, value)
            _put_under(stretch.fields, each.fields)
    stretch.judge_by(reversed(conditions))
    return stretch


def _put_under(fields: Fields, more: Fields) -> None:
    """Add fields of object levers where there are none yet."""
    for lever, values in more.items():
        fields[lever] = {**values, **fields.get(lever, {})}


def _uncovered(fields: Fields, covering: Fields) -> Fields:
    left = {
        lever: {name: value for name, value in own.items() if name not in covering.get(lever, ())}
        for lever, own in fields.items()
    }
    return {lever: values for lever, values in left.items() if values}


UNSET = Segment((), Catalog({}))
"""What is at a place at which nothing is set."""
