"""What a context's levers are at an instant: a pure function of (ledger prefix, context, at).

The prefix comes folded, as something `Standing`: a `Live`, or what was made of one. It must not
hold events later than `at`: an earlier instant is answered from the prefix cut there (see
`docs/decisions/0002-time.md`), which is why nothing here needs to remember what has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from ledger.catalog import Catalog
from ledger.clock import Instant, format_instant
from ledger.explanation import Candidate, Explained, explained, unreached
from ledger.live import Activation
from ledger.merging import Merge
from ledger.scopes import Context, Scope
from ledger.standing import Standing, TakingPart
from ledger.verdicts import Verdicts, Why

__all__ = [
    "Candidate",
    "Explained",
    "Reason",
    "Resolution",
    "Shadowed",
    "Standing",
    "TakingPart",
    "Why",
    "disabled",
    "resolve",
]

Json = Any


class Reason(StrEnum):
    """How an answer as a whole came about, in OpenFeature's terms."""

    DEFAULT = "DEFAULT"
    STATIC = "STATIC"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DISABLED = "DISABLED"


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
    taking_part = TakingPart(standing.experiments, context)
    verdicts = Verdicts(standing, context, at)
    judged = [(each, verdicts.why(each)) for each in _candidates(standing, context, taking_part)]
    applied = [activation for activation, why in judged if why is None]
    merge = Merge(standing.catalog)
    for activation in applied:
        merge.step(activation)
    merge.settle()
    final = dict(merge.values)
    for lever in standing.kills.keys() & final.keys():
        final[lever] = standing.catalog.kill_value(lever)
    explanation = None
    if explain:
        refused = [(each, why, verdicts.detail(each)) for each, why in judged if why is not None]
        refused += unreached(standing, context, taking_part)
        explanation = explained(standing, merge, applied, refused, final)
    return Resolution(
        final,
        standing.position,
        at,
        _reason(applied, taking_part),
        taking_part.variations(),
        explanation,
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
