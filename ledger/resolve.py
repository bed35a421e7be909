"""What a context's levers are at an instant: a pure function of (ledger prefix, context, at).

The prefix comes folded, as something `Standing`: a `Live`, or what was made of one. It must not
hold events later than `at`: an earlier instant is answered from the prefix cut there (see
`docs/decisions/0002-time.md`), which is why nothing here needs to remember what has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ledger.catalog import Catalog
from ledger.clock import Instant, format_instant
from ledger.levers import Rule
from ledger.live import Activation, Origin, Running
from ledger.rollout import Rollout, unit_text
from ledger.scopes import Context, Place, Scope, experiment_places
from ledger.targeting import EvaluationError, RuleError, Timestamp, compile_rule

Json = Any


class Standing(Protocol):
    """The state of the ledger at `position`, as far as an answer needs it."""

    @property
    def position(self) -> int:
        """The last event's."""

    @property
    def recorded_at(self) -> Instant:
        """The last event's."""

    @property
    def catalog(self) -> Catalog:
        """The catalog in force."""

    @property
    def kills(self) -> Mapping[str, Origin]:
        """The levers that are killed."""

    @property
    def experiments(self) -> Mapping[str, Running]:
        """The experiments that run, by id."""

    def at_place(self, place: Place, /) -> tuple[Activation, ...]:
        """List the activations at a place, in the order in which they are merged."""

    def clock(self, place: Place, at: Instant, /) -> Instant:
        """Read the window clock of the configs at a place."""


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


class Reason(StrEnum):
    """How an answer as a whole came about, in OpenFeature's terms."""

    DEFAULT = "DEFAULT"
    STATIC = "STATIC"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A config that says something of a lever and lost, or did not apply."""

    activation: Activation
    value: Json
    why: Why
    detail: str = ""

    def to_json(self) -> dict[str, Json]:
        """Write the candidate as it stands in an explanation."""
        supplied = {"value": self.value, "why": self.why.value, "detail": self.detail}
        return {**supplied, **_named(self.activation)}


@dataclass(frozen=True, slots=True)
class Explained:
    """Where one lever's value comes from; `source` is None for the catalog's default.

    `fields` names the source of each field of an object lever that a config supplied. `killed`
    is the kill that set the value, if one did.
    """

    value: Json
    source: Activation | None
    fields: Mapping[str, Activation]
    killed: Origin | None
    candidates: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Json]:
        """Write the explanation of the lever."""
        written: dict[str, Json] = {"value": self.value, **_named(self.source)}
        if self.killed is not None:
            written |= {"killed": True, **self.killed.to_json()}
        if self.fields:
            written["fields"] = {name: _named(source) for name, source in self.fields.items()}
        written["candidates"] = [candidate.to_json() for candidate in self.candidates]
        return written


class Shadowed(NamedTuple):
    """What an answer would be with the configs in shadow, and the levers that differ."""

    values: Mapping[str, Json]
    differs: Mapping[str, Mapping[str, Json]]

    @classmethod
    def beside(cls, live: Resolution, shadow: Resolution) -> Shadowed:
        """Compare an answer with the one in shadow."""
        differs = {
            lever: {"live": value, "shadow": shadow.values[lever]}
            for lever, value in live.values.items()
            if shadow.values[lever] != value
        }
        return cls(shadow.values, differs)

    def to_json(self) -> dict[str, Json]:
        """Write it as the API gives it."""
        return {"values": dict(self.values), "differs": dict(self.differs)}


class Resolution(NamedTuple):
    """The effective values of all levers, in catalog order, and how they came about.

    `experiments` holds the context's variations, by experiment: those that it names, and those
    that it was given. `explanation` and `shadow` are there where they were asked for.
    """

    values: Mapping[str, Json]
    position: int
    at: Instant
    reason: Reason
    experiments: Mapping[str, str] = MappingProxyType({})
    explanation: Mapping[str, Explained] | None = None
    shadow: Shadowed | None = None

    def to_json(self) -> dict[str, Json]:
        """Write the answer as the API gives it."""
        written: dict[str, Json] = {
            "values": dict(self.values),
            "position": self.position,
            "at": format_instant(self.at),
            "reason": self.reason.value,
            "experiments": dict(self.experiments),
        }
        if self.explanation is not None:
            written["explanation"] = {
                lever: explained.to_json() for lever, explained in self.explanation.items()
            }
        if self.shadow is not None:
            written["shadow"] = self.shadow.to_json()
        return written


def resolve(
    standing: Standing, context: Context, at: Instant, *, explain: bool = False
) -> Resolution:
    """Resolve every lever for a context at an instant not before the prefix's last event."""
    if at < standing.recorded_at:
        raise ValueError("the prefix holds events later than `at`: cut it there first")
    merge = _Merge(standing.catalog)
    taking_part = TakingPart(standing.experiments, context)
    verdicts = _Verdicts(standing, context, at)
    applied: list[Activation] = []
    refused: list[tuple[Activation, Why, str]] = []
    for activation in _candidates(standing, context, taking_part):
        why, detail = verdicts.of(activation)
        if why is None:
            applied.append(activation)
            merge.step(activation)
        else:
            refused.append((activation, why, detail))
    merge.settle()
    final = dict(merge.values)
    for lever in standing.kills:
        if lever in final:
            final[lever] = standing.catalog.kill_value(lever)
    return Resolution(
        final,
        standing.position,
        at,
        _reason(applied, taking_part),
        taking_part.variations(),
        _explain(standing, merge, applied, refused, final) if explain else None,
    )


def disabled(catalog: Catalog, position: int, at: Instant) -> Resolution:
    """Answer with the catalog's defaults, as LIVEOPS_ENABLED=false demands."""
    return Resolution(dict(catalog.defaults), position, at, Reason.DISABLED)


def _candidates(
    standing: Standing, context: Context, taking_part: TakingPart
) -> Iterator[Activation]:
    for scope in Scope:
        places = taking_part.places if scope is Scope.EXPERIMENT else context.places(scope)
        groups = [standing.at_place(place) for place in places]
        if len(groups) == 1:
            yield from groups[0]
        else:
            both = [activation for group in groups for activation in group]
            yield from sorted(both, key=lambda activation: activation.order)


def _reason(applied: list[Activation], taking_part: TakingPart) -> Reason:
    if not applied:
        return Reason.DEFAULT
    if any(a.pinned.rollout or a.pinned.place in taking_part.given for a in applied):
        return Reason.SPLIT
    if any(activation.pinned.targeting for activation in applied):
        return Reason.TARGETING_MATCH
    return Reason.STATIC


# --- In which experiments is a context? ---


class TakingPart:
    """The experiments that a context is in: those it names, and those it is enrolled in.

    `places` are where configs of its experiments are set, `given` those among them that it is at
    because a running experiment enrolled it and not because it said so.
    """

    def __init__(self, running: Mapping[str, Running], context: Context) -> None:
        named = context.named_experiments()
        assigned = _assigned(running, context, named) if running else {}
        self._all = {**named, **assigned}
        self.places = experiment_places(self._all)
        self.given = frozenset(experiment_places(assigned)) - set(experiment_places(named))

    def variations(self) -> dict[str, str]:
        """List the variations that are known, by experiment, sorted."""
        return {
            experiment_id: variation
            for experiment_id, variation in sorted(self._all.items())
            if variation is not None
        }


def _assigned(
    running: Mapping[str, Running], context: Context, named: Mapping[str, str | None]
) -> dict[str, str]:
    assigned = {}
    for experiment_id, (experiment, _) in running.items():
        if named.get(experiment_id) is None:
            variation = experiment.assign(context.unit(experiment.unit))
            if variation is not None:
                assigned[experiment_id] = variation
    return assigned


# --- Does an activation apply? ---


class _Verdicts:
    """Judges activations for one context and instant."""

    def __init__(self, standing: Standing, context: Context, at: Instant) -> None:
        self._standing = standing
        self._context = context
        self._at = at
        attributes = standing.catalog.read_attributes(context.bindings())
        self._bindings = {**attributes, "at": Timestamp(at)}
        self._clocks: dict[Place, Instant] = {}

    def of(self, activation: Activation) -> tuple[Why | None, str]:
        """Tell why an activation does not apply, with a detail; (None, "") when it does."""
        clock = self._clock(activation.pinned.place)
        if not activation.pinned.window.holds(clock):
            return self._outside(activation), ""
        try:
            if not self._targeted(activation):
                return Why.TARGETING, ""
        except (EvaluationError, RuleError) as error:
            return Why.ERROR, str(error)
        rollout = activation.pinned.rollout
        if rollout is None or self._included(rollout, activation, clock):
            return None, ""
        held = clock != self._at and self._included(rollout, activation, self._at)
        return (Why.FROZEN if held else Why.ROLLOUT), ""

    def _clock(self, place: Place) -> Instant:
        clock = self._clocks.get(place)
        if clock is None:
            clock = self._clocks[place] = self._standing.clock(place, self._at)
        return clock

    def _outside(self, activation: Activation) -> Why:
        opened = activation.pinned.window.holds(self._at)
        return Why.FROZEN if opened else Why.WINDOW

    def _targeted(self, activation: Activation) -> bool:
        rules = activation.pinned.targeting
        if rules is None:
            return True
        if rules.include is not None and not compile_rule(rules.include).matches(self._bindings):
            return False
        return rules.exclude is None or not compile_rule(rules.exclude).matches(self._bindings)

    def _included(self, rollout: Rollout, activation: Activation, clock: Instant) -> bool:
        unit = self._context.unit(rollout.unit)
        text = None if unit is None else unit_text(unit)
        return rollout.includes(text, str(activation.config_id), clock)


# --- Merging ---


@dataclass(slots=True)
class _Merge:
    """The values as they stand after each step, and which activation set them."""

    catalog: Catalog
    values: dict[str, Json] = field(init=False)
    sources: dict[str, Activation] = field(default_factory=dict)
    fields: dict[str, dict[str, Activation]] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)
    _held: dict[Rule, dict[str, tuple[Json, Activation | None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = dict(self.catalog.defaults)
        self._note_rules_that_hold(self.catalog.rules)

    def step(self, activation: Activation) -> None:
        """Let one activation replace what stands."""
        touched = activation.pinned.payload
        for lever, stored in touched.items():
            if (value := self.catalog.read(lever, stored)) is not None:
                self._put(lever, value, activation)
        rules = [rule for rule in self.catalog.rules if not touched.keys().isdisjoint(rule.levers)]
        self._note_rules_that_hold(rules)

    def _put(self, lever: str, value: Json, activation: Activation) -> None:
        if self.catalog.levers[lever].type == "object":
            value = {**self.values[lever], **value}
            by_field = self.fields.get(lever, {})
            supplied = dict.fromkeys(activation.pinned.payload[lever], activation)
            self.fields[lever] = {**by_field, **supplied}
        self.values[lever] = value
        self.sources[lever] = activation

    def _note_rules_that_hold(self, rules: tuple[Rule, ...] | list[Rule]) -> None:
        for rule in rules:
            if rule.holds(self.values):
                self._held[rule] = {
                    lever: (self.values[lever], self.sources.get(lever)) for lever in rule.levers
                }

    def settle(self) -> None:
        """Undo, for each rule that is broken now, all since the last step at which it held."""
        for rule in self.catalog.rules:
            if not rule.holds(self.values):
                self._undo(self._held.get(rule, {}))

    def _undo(self, held: Mapping[str, tuple[Json, Activation | None]]) -> None:
        for lever, (value, source) in held.items():
            if source is not self.sources.get(lever):
                self.undone.add(lever)
            self.values[lever] = value
            if source is None:
                self.sources.pop(lever, None)
            else:
                self.sources[lever] = source


# --- Explaining ---


def _explain(
    standing: Standing,
    merge: _Merge,
    applied: list[Activation],
    refused: list[tuple[Activation, Why, str]],
    final: Mapping[str, Json],
) -> dict[str, Explained]:
    lost: dict[str, list[Candidate]] = {lever: [] for lever in final}
    for activation, why, detail in refused:
        for lever, value in activation.pinned.payload.items():
            lost.setdefault(lever, []).append(Candidate(activation, value, why, detail))
    for activation in applied:
        for lever, value in activation.pinned.payload.items():
            if (reason := _why_lost(standing, merge, activation, lever)) is not None:
                lost.setdefault(lever, []).append(Candidate(activation, value, *reason))
    return {
        lever: Explained(
            value=value,
            source=None if lever in standing.kills else merge.sources.get(lever),
            fields={} if lever in standing.kills else merge.fields.get(lever, {}),
            killed=standing.kills.get(lever),
            candidates=tuple(lost[lever]),
        )
        for lever, value in final.items()
    }


def _why_lost(
    standing: Standing, merge: _Merge, activation: Activation, lever: str
) -> tuple[Why, str] | None:
    if merge.catalog.read(lever, activation.pinned.payload[lever]) is None:
        return Why.ERROR, "the catalog in force does not accept this value"
    winner = merge.sources.get(lever)
    if activation is winner or activation in merge.fields.get(lever, {}).values():
        return (Why.KILLED, "") if lever in standing.kills else None
    if lever in merge.undone and (winner is None or _after(activation, winner)):
        return Why.INVARIANT, "the merged values would break a rule between levers"
    return Why.OVERRIDDEN, ""


def _after(activation: Activation, winner: Activation) -> bool:
    scopes = list(Scope)
    mine, theirs = (scopes.index(a.pinned.place.scope) for a in (activation, winner))
    return (mine, activation.order) > (theirs, winner.order)


def _named(activation: Activation | None) -> dict[str, Json]:
    if activation is None:
        return {"scope": None, "scope_ref": None, "config_id": None, "position": None}
    pinned = activation.pinned
    return {
        "scope": pinned.place.scope.value,
        "scope_ref": pinned.place.ref,
        "config_id": str(activation.config_id),
        "config": pinned.name,
        "revision": pinned.revision,
        "priority": pinned.priority,
        "rank": activation.rank,
        **activation.origin.to_json(),
    }
