"""States of the ledger to resolve from: the flat list, and trees of configs as a live game has.

A tree's configs are spread over the scopes as in a game with many worlds: what reaches one player
grows to some thirty of them and then no further, however many there are for others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import count, cycle
from typing import Any
from uuid import UUID

from benchmarks.workload import (
    PERCENTAGE,
    Knob,
    Visitor,
    another_value,
    as_rule,
    attributes,
    three_tests,
)
from ledger.catalog import shipped_catalog
from ledger.content import ALWAYS, Pinned, Targeting
from ledger.live import Activation, Live, Origin, activate
from ledger.rollout import Rollout
from ledger.schedule import Window
from ledger.scopes import EVERYWHERE, Context, Place, Scope

Json = Any

START = 1_767_225_600_000_000
NOW = START + 86_400_000_000
ACTOR = UUID(int=1)

GLOBAL_CONFIGS = 12
SHARES = {Scope.WORLD: 0.25, Scope.ADVENTURE: 0.3, Scope.EXPERIMENT: 0.15, Scope.SESSION: 0.3}
PER_REF = {Scope.WORLD: 10, Scope.ADVENTURE: 6, Scope.EXPERIMENT: 3, Scope.SESSION: 2}
VARIATIONS = ("control", "bold")
VOLATILE = ("hp >= 50", 'threat in ["siege", "ambush"] && hp < 80')


def flat(knobs: tuple[Knob, ...]) -> Live:
    """Put the flat list in force: one config per lever, all global."""
    live = Live(recorded_at=START)
    for knob in knobs:
        rule = as_rule(knob.tests) if knob.tests else None
        _add(live, EVERYWHERE, {knob.lever: knob.value}, rule, rolled_out=bool(knob.percentage))
    return live


def asker(visitor: Visitor) -> Context:
    """Give a visitor of the flat list as our context."""
    return Context(visitor.session, attributes=visitor.attributes)


def tree(configs: int, seed: int = 7) -> Live:
    """Put so many configs in force, as a live game has them."""
    chance = random.Random(seed)
    live = Live(recorded_at=START)
    for rule in VOLATILE:
        _add(live, EVERYWHERE, _payload(chance), rule)
    for _ in range(GLOBAL_CONFIGS - len(VOLATILE)):
        _add_drawn(live, chance, EVERYWHERE)
    rest = configs - GLOBAL_CONFIGS
    for scope, share in SHARES.items():
        there = _refs(scope, rest)
        for _ in range(round(rest * share)):
            _add_drawn(live, chance, Place(scope, chance.choice(there)))
    return live


def players(configs: int, seed: int = 1, *, once: bool = False) -> Iterator[Context]:
    """Draw contexts of a tree without end; a third have configs of their own.

    With `once` no two have the same session: configs of their own have only the first ones.
    """
    chance = random.Random(seed)
    refs = {scope: _refs(scope, configs - GLOBAL_CONFIGS) for scope in SHARES}
    own = iter(refs[Scope.SESSION]) if once else cycle(refs[Scope.SESSION])
    for number in count(1):
        experiment, _, variation = chance.choice(refs[Scope.EXPERIMENT]).partition(":")
        other = f"session-{seed}-{number:07}"
        yield Context(
            other if number % 3 else next(own, other),
            world_id=chance.choice(refs[Scope.WORLD]),
            adventure_id=chance.choice(refs[Scope.ADVENTURE]),
            experiment_id=experiment,
            variation=variation or VARIATIONS[0],
            attributes={**attributes(chance), **volatile(chance)},
        )


def everywhere(configs: int) -> Iterator[Context]:
    """Give contexts that reach, among them, every place of a tree."""
    refs = {scope: _refs(scope, configs - GLOBAL_CONFIGS) for scope in SHARES}
    chance = random.Random(configs)
    for number in range(max(map(len, refs.values()))):
        experiment, _, variation = _turned(refs[Scope.EXPERIMENT], number).partition(":")
        yield Context(
            _turned(refs[Scope.SESSION], number),
            world_id=_turned(refs[Scope.WORLD], number),
            adventure_id=_turned(refs[Scope.ADVENTURE], number),
            experiment_id=experiment,
            variation=variation or VARIATIONS[0],
            attributes={**attributes(chance), **volatile(chance)},
        )


def volatile(chance: random.Random) -> Mapping[str, Json]:
    """Draw the attributes that change from turn to turn."""
    threat = chance.choice(["calm", "siege", "ambush", "storm"])
    return {"hp": chance.randint(0, 100), "threat": threat}


def _turned(refs: list[str], number: int) -> str:
    return refs[number % len(refs)]


def _refs(scope: Scope, rest: int) -> list[str]:
    count = max(4, round(rest * SHARES[scope] / PER_REF[scope]))
    names = [f"{scope.value}.{number}" for number in range(count)]
    if scope is not Scope.EXPERIMENT:
        return names
    return [ref for name in names for ref in (name, *(f"{name}:{v}" for v in VARIATIONS))]


def _add_drawn(live: Live, chance: random.Random, place: Place) -> None:
    kind = chance.random()
    rule = as_rule(three_tests(chance)) if kind < 0.25 else None
    window = Window(START, NOW + START) if chance.random() < 0.1 else ALWAYS
    _add(live, place, _payload(chance), rule, rolled_out=0.25 <= kind < 0.4, window=window)


def _payload(chance: random.Random) -> dict[str, Json]:
    levers = list(shipped_catalog().levers.values())
    return {lever.name: another_value(chance, lever) for lever in chance.sample(levers, 3)}


def _add(
    live: Live,
    place: Place,
    payload: Mapping[str, Json],
    rule: str | None,
    *,
    rolled_out: bool = False,
    window: Window = ALWAYS,
) -> None:
    live.position += 1
    live.recorded_at = START + live.position
    pinned = Pinned(
        revision=1,
        name=f"config {live.position}",
        place=place,
        payload=payload,
        window=window,
        targeting=None if rule is None else Targeting(rule),
        rollout=Rollout(PERCENTAGE * 1000) if rolled_out else None,
        priority=0,
    )
    origin = Origin(live.position, live.recorded_at, ACTOR, "benchmark")
    activate(live, Activation(UUID(int=live.position), pinned, origin))
