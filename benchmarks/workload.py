"""The work that all contestants are given: 60 levers in one flat list, and who asks for them.

30 levers are set for everybody, 20 for those who meet three conditions, 10 for 35 % of the units.
Everything is drawn from a seed: every run, and every contestant, gets the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ledger.catalog import Lever, LeverType, shipped_catalog

Json = Any

PLAIN, WITH_RULE, ROLLED_OUT = 30, 20, 10
PERCENTAGE = 35

PLATFORMS = ("ios", "android", "web", "steam", "console")
COUNTRIES = ("DE", "FR", "GB", "US", "BR", "JP", "KR", "IN", "PL", "SE", "ES", "MX")
LANGUAGES = ("de", "en", "es", "fr", "ja", "ko", "pl", "pt")
DEVICES = ("phone", "tablet", "desktop")
GUILDS = ("none", "lanterns", "thornwatch", "saltborn")
MOST_LEVELS, MOST_DAYS, MOST_SPENT = 80, 365, 500.0

_CHOICES = {
    "platform": PLATFORMS,
    "country": COUNTRIES,
    "language": LANGUAGES,
    "device": DEVICES,
}
_NUMBERS = {"level": MOST_LEVELS, "days": MOST_DAYS, "spent": int(MOST_SPENT)}
READ = (*_CHOICES, *_NUMBERS)
"""What the rules read; the rest of what is known of a player is sent along with it."""


class Test(NamedTuple):
    """One condition on an attribute."""

    attribute: str
    operator: Literal["is", "in", "at_least"]
    value: Json

    def holds(self, attributes: Mapping[str, Json]) -> bool:
        """Tell whether it is met: this, and no contestant, says what is right."""
        given = attributes[self.attribute]
        match self.operator:
            case "is":
                return bool(given == self.value)
            case "in":
                return given in self.value
        return bool(given >= self.value)

    def cel(self) -> str:
        """Write it as a part of a targeting rule."""
        operator = {"is": "==", "in": "in", "at_least": ">="}[self.operator]
        value = list(self.value) if self.operator == "in" else self.value
        return f"{self.attribute} {operator} {value!r}".replace("'", '"')


class Knob(NamedTuple):
    """One lever of the flat list: `value` for whom it is set, `default` for all others."""

    lever: str
    type: LeverType
    default: Json
    value: Json
    tests: tuple[Test, ...] = ()
    percentage: int | None = None


class Visitor(NamedTuple):
    """Who asks; `session` is the unit of rollouts, and no two have the same."""

    session: str
    attributes: Mapping[str, Json]


def knobs(seed: int = 60) -> tuple[Knob, ...]:
    """Draw the flat list, in the catalog's order."""
    chance = random.Random(seed)
    levers = list(shipped_catalog().levers.values())
    kinds = ["plain"] * PLAIN + ["rule"] * WITH_RULE + ["rollout"] * ROLLED_OUT
    chance.shuffle(kinds)
    return tuple(_knob(chance, lever, kind) for lever, kind in zip(levers, kinds, strict=True))


def visitors(seed: int = 1) -> Iterator[Visitor]:
    """Draw distinct visitors without end."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        yield Visitor(f"session-{seed}-{number:07}", attributes(chance))


def attributes(chance: random.Random) -> dict[str, Json]:
    """Draw what is known of a player: 16 things, of which the rules read 7."""
    return {
        **{name: chance.choice(among) for name, among in _CHOICES.items()},
        "level": chance.randint(1, MOST_LEVELS),
        "days": chance.randint(0, MOST_DAYS),
        "spent": round(chance.uniform(0, MOST_SPENT), 2),
        "app_version": f"3.{chance.randint(0, 9)}.{chance.randint(0, 20)}",
        "store": chance.choice(("apple", "google", "own")),
        "guild": chance.choice(GUILDS),
        "class": chance.choice(("ranger", "smith", "scholar")),
        "party_size": chance.randint(1, 8),
        "quests_done": chance.randint(0, 300),
        "deaths": chance.randint(0, 100),
        "hours": round(chance.uniform(0, 900), 1),
        "cohort": f"2026-{chance.randint(1, 11):02}",
    }


def only_read(visitor: Visitor) -> Visitor:
    """Give the same visitor with nothing but what the rules read."""
    return visitor._replace(attributes={name: visitor.attributes[name] for name in READ})


def three_tests(chance: random.Random) -> tuple[Test, ...]:
    """Draw a rule of three conditions; about a quarter of the players meet it."""
    one, other = chance.sample(sorted(_CHOICES), 2)
    if chance.random() < 0.3:
        first = Test(one, "is", chance.choice(_CHOICES[one]))
    else:
        first = _among(chance, one)
    number = chance.choice(sorted(_NUMBERS))
    least = chance.randint(_NUMBERS[number] // 10, _NUMBERS[number] // 2)
    return (first, _among(chance, other), Test(number, "at_least", least))


def as_rule(tests: tuple[Test, ...]) -> str:
    """Write conditions as one targeting rule."""
    return " && ".join(test.cel() for test in tests)


def another_value(chance: random.Random, lever: Lever) -> Json:
    """Draw a value within a lever's bounds that is not its default."""
    drawn = lever.default
    while drawn == lever.default:
        drawn = _value(chance, lever)
    return drawn


def answer(knob: Knob, visitor: Visitor, drawn: bool = False) -> Json:
    """Say what is right for a visitor; `drawn` tells whether a rollout has him in."""
    meets = all(test.holds(visitor.attributes) for test in knob.tests)
    return knob.value if meets and (knob.percentage is None or drawn) else knob.default


def _knob(chance: random.Random, lever: Lever, kind: str) -> Knob:
    value = another_value(chance, lever)
    tests = three_tests(chance) if kind == "rule" else ()
    percentage = PERCENTAGE if kind == "rollout" else None
    return Knob(lever.name, lever.type, lever.default, value, tests, percentage)


def _among(chance: random.Random, attribute: str) -> Test:
    choices = _CHOICES[attribute]
    return Test(attribute, "in", tuple(chance.sample(choices, 1 + len(choices) // 2)))


def _value(chance: random.Random, lever: Lever) -> Json:
    match lever.type:
        case LeverType.INTEGER:
            return chance.randint(int(lever.min or 0), int(lever.max or 1))
        case LeverType.ENUM:
            return chance.choice(lever.values or ())
        case LeverType.ENUM_LIST:
            among = lever.values or ()
            return chance.sample(among, chance.randint(1, len(among)))
        case LeverType.OBJECT:
            return {name: round(chance.uniform(0, 1), 2) for name in lever.fields or ()}
    return _margin(chance, lever) or round(chance.uniform(lever.min or 0, lever.max or 1), 3)


def _margin(chance: random.Random, lever: Lever) -> float | None:
    """Keep the two levers apart that a rule of the catalog holds together."""
    between = {"VENDOR_MARGIN_MIN": (0.01, 0.19), "VENDOR_MARGIN_MAX": (0.31, 0.8)}
    bounds = between.get(lever.name)
    return None if bounds is None else round(chance.uniform(*bounds), 3)
