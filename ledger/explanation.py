"""Where each lever's value comes from, and why everything else that says something of it lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ledger.experiments import Experiment
from ledger.live import Activation, Origin
from ledger.merging import Merge
from ledger.rollout import percent, unit_text
from ledger.scopes import Context, Scope
from ledger.standing import Standing, TakingPart
from ledger.verdicts import Why

Json = Any


class Candidate(NamedTuple):
    """A config that says something of a lever and lost, or did not apply.

    `detail` is for people.
    """

    activation: Activation
    value: Json
    why: Why
    detail: str

    def to_json(self) -> dict[str, Json]:
        """Write the candidate as it stands in an explanation."""
        supplied = {"value": self.value, "why": self.why.value, "detail": self.detail}
        return {**supplied, **_named(self.activation)}


class Explained(NamedTuple):
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


Refusal = tuple[Activation, Why, str]
"""What did not apply, why, and the same in words."""


def explained(
    standing: Standing,
    merge: Merge,
    applied: Iterable[Activation],
    refused: Iterable[Refusal],
    final: Mapping[str, Json],
) -> dict[str, Explained]:
    """Explain every lever: `final` holds the values, `merge` those before kills."""
    lost: dict[str, list[Candidate]] = {lever: [] for lever in final}
    for activation, why, detail in refused:
        for lever, value in activation.pinned.payload.items():
            if lever in lost:
                lost[lever].append(Candidate(activation, value, why, detail))
    for activation in applied:
        for lever, value in activation.pinned.payload.items():
            reason = _why_lost(standing, merge, activation, lever) if lever in lost else None
            if reason is not None:
                lost[lever].append(Candidate(activation, value, *reason))
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
    standing: Standing, merge: Merge, activation: Activation, lever: str
) -> tuple[Why, str] | None:
    if merge.catalog.read(lever, activation.pinned.payload[lever]) is None:
        return Why.ERROR, "the catalog in force does not accept this value"
    winner = merge.sources.get(lever)
    if activation is winner or activation in merge.fields.get(lever, {}).values():
        killed = standing.kills.get(lever)
        return (Why.KILLED, f"killed at position {killed.position}") if killed else None
    if winner is None or (lever in merge.undone and _after(activation, winner)):
        return Why.INVARIANT, merge.undone[lever]
    return Why.OVERRIDDEN, _overriding(activation, winner)


def _overriding(activation: Activation, winner: Activation) -> str:
    if activation.pinned.place.scope is not winner.pinned.place.scope:
        how = f"{winner.pinned.place} comes after {activation.pinned.place}"
    elif activation.pinned.priority != winner.pinned.priority:
        how = f"its priority is {winner.pinned.priority}"
    else:
        how = f"it was put in force later, at position {winner.rank}"
    return f"by {winner.pinned.name}: {how}"


def _after(activation: Activation, winner: Activation) -> bool:
    scopes = list(Scope)
    mine, theirs = (scopes.index(a.pinned.place.scope) for a in (activation, winner))
    return (mine, activation.order) > (theirs, winner.order)


# --- Experiments that a context is not in ---


def unreached(standing: Standing, context: Context, taking_part: TakingPart) -> Iterator[Refusal]:
    """Find what is set at experiments, where the context is not: each with the reason."""
    reached = frozenset(taking_part.places)
    for experiment_id in sorted({*standing.experiments, *taking_part.ids}):
        there = sorted(standing.in_experiment(experiment_id), key=lambda each: each.order)
        elsewhere = [each for each in there if each.pinned.place not in reached]
        if elsewhere:
            detail = _absence(standing, context, taking_part, experiment_id)
            yield from ((activation, Why.ROLLOUT, detail) for activation in elsewhere)


def _absence(
    standing: Standing, context: Context, taking_part: TakingPart, experiment_id: str
) -> str:
    variation = taking_part.variations().get(experiment_id)
    if variation is not None:
        return f"in variation {variation} of experiment {experiment_id}"
    running = standing.experiments.get(experiment_id)
    if running is None:
        return f"experiment {experiment_id} does not run, and the context names no variation"
    return _left_out(running.experiment, context)


def _left_out(experiment: Experiment, context: Context) -> str:
    unit = unit_text(context.unit(experiment.unit))
    if unit is None:
        missing = f"the context has no {experiment.unit} to count by"
        return f"not enrolled in experiment {experiment.experiment_id}: {missing}"
    if experiment.holdout is not None and experiment.holdout.holds(unit):
        share = percent(experiment.holdout.percentage)
        return f"held out by {experiment.holdout.name}, with {share} % of all by {experiment.unit}"
    place = f"{experiment.unit} is at {percent(experiment.bucket(unit))} %"
    return f"not enrolled in experiment {experiment.experiment_id}: {place}{_taken(experiment)}"


def _taken(experiment: Experiment) -> str:
    if experiment.group is None:
        return f", the first {percent(experiment.percentage)} % take part"
    parts = ", ".join(f"{percent(begin)} to {percent(end)} %" for begin, end in experiment.ranges)
    return f" of group {experiment.group}, where it has {parts or 'nothing'}"
