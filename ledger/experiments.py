"""Experiments: which variation of a running one a unit is in, if it is in it at all.

Being held out, enrolled and given a variation are hashed with a salt each (see `ledger.rollout`),
so that none says anything of another. Percentages are whole thousandths of a percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledger.errors import Invalid
from ledger.rollout import (
    DEFAULT_UNIT,
    EVERYONE,
    bucket,
    choose,
    is_unit,
    percent,
    thousandths,
    unit_hash,
    unit_text,
)
from ledger.scopes import LONGEST_REF, Place, Scope, experiment_places

Json = Any
Range = tuple[int, int]
"""Buckets from the first until just before the second."""

MOST_VARIATIONS = 100
HEAVIEST = 1_000_000
"""The most that all weights together may be: a hash times it is exact in a double everywhere."""


class Variation(NamedTuple):
    """One arm of an experiment; its weight is its share among all of them."""

    name: str
    weight: int

    def to_json(self) -> dict[str, Json]:
        """Write the variation."""
        return {"name": self.name, "weight": self.weight}


class Holdout(NamedTuple):
    """Units that are kept out of every experiment that names it."""

    name: str
    percentage: int

    def to_json(self) -> dict[str, Json]:
        """Write the holdout."""
        return {"name": self.name, "percentage": percent(self.percentage)}

    def holds(self, unit_value: str) -> bool:
        """Tell whether a unit is kept out."""
        return bucket(f"{self.name}:holdout", unit_value) < self.percentage


class Experiment(NamedTuple):
    """Who is in an experiment, and in which variation.

    Experiments of one `group` share no unit: each has its own `ranges` of the group's buckets,
    in the order in which it got them. Without a group the first `percentage` of its own buckets
    are in, and `ranges` is empty.
    """

    experiment_id: str
    variations: tuple[Variation, ...]
    unit: str = DEFAULT_UNIT
    percentage: int = EVERYONE
    group: str | None = None
    ranges: tuple[Range, ...] = ()
    holdout: Holdout | None = None
    description: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Experiment:
        """Read an experiment; raises Invalid with a pointer to the member that is wrong."""
        members = _members(data, "", cls._fields, required=("experiment_id", "variations"))
        experiment_id = _name(members["experiment_id"], "/experiment_id")
        return cls(
            experiment_id,
            _variations(members["variations"], experiment_id),
            unit=_unit(members.get("unit", DEFAULT_UNIT)),
            percentage=_percentage(members.get("percentage", 100), "/percentage"),
            group=_name(members["group"], "/group") if "group" in members else None,
            ranges=_ranges(members.get("ranges", ())),
            holdout=_holdout(members["holdout"]) if "holdout" in members else None,
            description=_text(members.get("description", "")),
        )

    def to_json(self) -> dict[str, Json]:
        """Write the experiment so that `from_json` reads an equal one."""
        written: dict[str, Json] = {
            "experiment_id": self.experiment_id,
            "variations": [variation.to_json() for variation in self.variations],
            "unit": self.unit,
            "percentage": percent(self.percentage),
        }
        if self.group is not None:
            written["group"] = self.group
            written["ranges"] = [list(part) for part in self.ranges]
        if self.holdout is not None:
            written["holdout"] = self.holdout.to_json()
        return {**written, "description": self.description}

    @property
    def places(self) -> tuple[Place, ...]:
        """Name where configs of the experiment and of its variations are set."""
        own = Place(Scope.EXPERIMENT, self.experiment_id)
        return (own, *(self.place(variation.name) for variation in self.variations))

    def place(self, variation: str) -> Place:
        """Name where configs of one variation are set."""
        return experiment_places({self.experiment_id: variation})[1]

    def assign(self, unit: Json) -> str | None:
        """Give the variation of a unit while the experiment runs; None when it is not in it."""
        text = unit_text(unit)
        if text is None or self.holds_out(text) or not self.enrols(text):
            return None
        return self.draw(text)

    def holds_out(self, unit_value: str) -> bool:
        """Tell whether the experiment's holdout keeps a unit out."""
        return self.holdout is not None and self.holdout.holds(unit_value)

    def enrols(self, unit_value: str) -> bool:
        """Tell whether a unit is among those that take part, held out or not."""
        place = self.bucket(unit_value)
        if self.group is None:
            return place < self.percentage
        return any(begin <= place < end for begin, end in self.ranges)

    def bucket(self, unit_value: str) -> int:
        """Give the bucket by which a unit is enrolled: its group's, or the experiment's own."""
        return bucket(
            self.experiment_id if self.group is None else f"{self.group}:group", unit_value
        )

    def draw(self, unit_value: str) -> str:
        """Give the variation that a unit falls to when it takes part."""
        weights = [variation.weight for variation in self.variations]
        drawn = choose(weights, unit_hash(f"{self.experiment_id}:variation", unit_value))
        return self.variations[drawn].name


# --- Ranges of a group ---


def resize(own: Sequence[Range], taken: Sequence[Range], width: int) -> tuple[Range, ...] | None:
    """Give an experiment as many of its group's buckets as it wants, or None for want of room.

    `own` are those that it has: more are added to them, and fewer drop from the last added.
    `taken` are those of the group's other experiments.
    """
    has = sum(end - begin for begin, end in own)
    if width <= has:
        return _first(own, width)
    gaps = _gaps([*own, *taken])
    if has + sum(end - begin for begin, end in gaps) < width:
        return None
    return _joined([*own, *_first(gaps, width - has)])


def room(taken: Sequence[Range]) -> int:
    """Count the buckets of a group that no experiment has."""
    return sum(end - begin for begin, end in _gaps(taken))


def overlap(some: Sequence[Range], others: Sequence[Range]) -> bool:
    """Tell whether two experiments' buckets have any in common."""
    return any(max(a[0], b[0]) < min(a[1], b[1]) for a in some for b in others)


def _first(ranges: Sequence[Range], width: int) -> tuple[Range, ...]:
    kept = []
    for begin, end in ranges:
        if width > 0:
            kept.append((begin, min(end, begin + width)))
            width -= end - begin
    return tuple(kept)


def _gaps(taken: Sequence[Range]) -> list[Range]:
    gaps, reached = [], 0
    for begin, end in [*sorted(taken), (EVERYONE, EVERYONE)]:
        if begin > reached:
            gaps.append((reached, begin))
        reached = max(reached, end)
    return gaps


def _joined(ranges: Sequence[Range]) -> tuple[Range, ...]:
    joined: list[Range] = []
    for begin, end in ranges:
        continued = joined and joined[-1][1] == begin
        joined.append((joined.pop()[0] if continued else begin, end))
    return tuple(joined)


# --- Reading ---


def _bad(pointer: str, detail: str) -> Invalid:
    subject = f"the experiment's {pointer[1:]}" if pointer else "the experiment"
    return Invalid.at(pointer, f"{subject} {detail}")


def _members(
    data: Json, pointer: str, allowed: Sequence[str], *, required: Sequence[str]
) -> dict[str, Json]:
    """Read an object's members, without those that are null."""
    if not isinstance(data, Mapping):
        raise _bad(pointer, "must be an object")
    members = {name: value for name, value in data.items() if value is not None}
    for name in members:
        if name not in allowed:
            raise _bad(pointer, f"has the unknown member {str(name)[:128]!r}")
    for name in required:
        if name not in members:
            raise _bad(pointer, f"lacks the member {name!r}")
    return members


def _name(value: Json, pointer: str) -> str:
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= LONGEST_REF
        or value != value.strip()
        or ":" in value
        or any("\ud800" <= character <= "\udfff" for character in value)
    ):
        detail = f"must be 1 to {LONGEST_REF} characters, no colon, no white space at its ends"
        raise _bad(pointer, detail)
    return value


def _variations(value: Json, experiment_id: str) -> tuple[Variation, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_VARIATIONS:
        raise _bad("/variations", f"must be a list of 1 to {MOST_VARIATIONS} variations")
    read = tuple(_variation(data, f"/variations/{index}") for index, data in enumerate(value))
    names = [variation.name for variation in read]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise _bad(f"/variations/{index}/name", f"is that of another one too: {name!r}")
        if len(experiment_id) + 1 + len(name) > LONGEST_REF:
            detail = f"is longer than {LONGEST_REF} characters as {experiment_id}:{name}"
            raise _bad(f"/variations/{index}/name", detail)
    if not 1 <= sum(variation.weight for variation in read) <= HEAVIEST:
        raise _bad("/variations", f"must weigh from 1 to {HEAVIEST} together")
    return read


def _variation(data: Json, pointer: str) -> Variation:
    members = _members(data, pointer, Variation._fields, required=Variation._fields)
    weight = members["weight"]
    if type(weight) is not int or weight < 0:
        raise _bad(f"{pointer}/weight", "must be a whole number from 0 on")
    return Variation(_name(members["name"], f"{pointer}/name"), weight)


def _holdout(data: Json) -> Holdout:
    members = _members(data, "/holdout", Holdout._fields, required=Holdout._fields)
    return Holdout(
        _name(members["name"], "/holdout/name"),
        _percentage(members["percentage"], "/holdout/percentage"),
    )


def _percentage(value: Json, pointer: str) -> int:
    try:
        return thousandths(value)
    except ValueError as error:
        raise _bad(pointer, str(error)) from None


def _unit(value: Json) -> str:
    if not is_unit(value):
        detail = "must be session_id, world_id, adventure_id or an attribute's name"
        raise _bad("/unit", detail)
    return str(value)


def _ranges(value: Json) -> tuple[Range, ...]:
    return tuple((begin, end) for begin, end in value)


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise _bad("/description", "must be a text")
    return value
