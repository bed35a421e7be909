"""Ledgers as a live game leaves them behind: the same history each time, as long as is wanted.

A short ledger is the beginning of a longer one. After some 5,000 events about 2,000 configs are in
force, and from then on as many go as come: what is in force does not grow with the ledger.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.workload import (
    another_value,
    as_rule,
    attributes,
    three_tests,
)
from ledger.catalog import shipped_catalog
from ledger.clock import Instant, format_instant
from ledger.content import ALWAYS, Content, Pinned, Targeting
from ledger.events import (
    CatalogAdopted,
    Cause,
    ConfigActivated,
    ConfigArchived,
    ConfigCreated,
    ConfigDeactivated,
    ConfigRevised,
    ConfigRolledBack,
    Event,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Frozen,
    LeverKilled,
    LeverRestored,
    RolloutChanged,
    ShadowStarted,
    ShadowStopped,
    Unfrozen,
    encode,
)
from ledger.experiments import Experiment, Variation
from ledger.rollout import Rollout, Step
from ledger.schedule import Window
from ledger.scopes import EVERYWHERE, Context, Place, Scope

Json = Any

START = 1_735_689_600_000_000
HOUR = 3_600_000_000
PER_HOUR = 1000
"""Events of one append; between two appends an hour goes by."""

IN_FORCE = 2000
SHARES = {Scope.WORLD: 0.3, Scope.ADVENTURE: 0.3, Scope.EXPERIMENT: 0.1, Scope.SESSION: 0.29}
REFS = {Scope.WORLD: 100, Scope.ADVENTURE: 150, Scope.EXPERIMENT: 20, Scope.SESSION: 300}
ACTORS = tuple(UUID(int=900 + number) for number in range(30))
REASONS = (
    "Raise the drop rate for the weekend",
    "The vendors of the harbour sold too cheaply; see the economy's dashboard",
    "Back to what it was before the incident of last night",
    "A step further, all graphs are calm",
    "",
)
_CLOCK = """
CREATE OR REPLACE FUNCTION ledger_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
RETURN {now}
"""
_APPEND = "SELECT ledger_append(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[])"


def grow(database: str, past: Past, size: int) -> None:
    """Append what is missing to a ledger, so that it has so many events.

    `database` is a superuser's URL; the ledger must be one that `past` alone has written to.
    """
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(_CLOCK.format(now="current_setting('benchmark.now')::timestamptz"))
        try:
            while past.position < size:
                _append(connection, past, min(PER_HOUR, size - past.position))
        finally:
            connection.execute(_CLOCK.format(now="clock_timestamp()"))
        connection.execute("VACUUM ANALYZE liveops_events")


def _append(connection: psycopg.Connection[Any], past: Past, count: int) -> None:
    now = format_instant(past.now)
    rows = [past.draft(event) for event in islice(past.events, count)]
    connection.execute("SELECT set_config('benchmark.now', %s, false)", [now])
    connection.execute(_APPEND, [list(column) for column in zip(*rows, strict=True)])
    past.now += HOUR


class Past:
    """What has happened so far, and what happens next: all of it follows from the seed."""

    def __init__(self, seed: int = 4) -> None:
        self.now: Instant = START
        self.position = 0
        self._chance = random.Random(seed)
        self._made = 0
        self._versions: dict[UUID, int] = {}
        self._drafts: dict[UUID, tuple[int, Content]] = {}
        self._pinned: dict[UUID, Pinned] = {}  # what is in force, with its own rank
        self._in_force: list[UUID] = []
        self._shadows: list[UUID] = []
        self._killed: list[str] = []
        self._frozen: list[Place] = []
        self._running: dict[str, Experiment] = {}
        self.events = self._events()

    def draft(self, event: Event) -> tuple[UUID, int, str, bytes]:
        """Write the next event as the store takes it: stream, version, type and bytes."""
        self.position += 1
        version = self._versions[event.stream] = self._versions.get(event.stream, 0) + 1
        chance = self._chance
        order = UUID(int=chance.getrandbits(128))
        cause = Cause(chance.choice(ACTORS), chance.choice(REASONS), order, order)
        state = encode(event, UUID(int=chance.getrandbits(128)), cause)
        return event.stream, version, type(event).__name__, state

    def _events(self) -> Iterator[Event]:
        yield CatalogAdopted(shipped_catalog())
        while True:
            if len(self._in_force) < IN_FORCE:
                yield from self._created()
            else:
                yield from self._something()

    def _something(self) -> Iterator[Event]:
        draw = self._chance.random()
        for share, happens in self._SHARES:
            draw -= share
            if draw < 0:
                yield from happens(self)
                return

    # --- Configs ---

    def _created(self) -> Iterator[Event]:
        self._made += 1
        config = UUID(int=(self._made << 64) | self._chance.getrandbits(64))
        content = self._content(self._place())
        yield ConfigCreated(config, 1, content)
        self._drafts[config] = 1, content
        yield from self._activated(config)
        self._in_force.append(config)

    def _revised(self) -> Iterator[Event]:
        config = self._any()
        yield self._revision(config)
        yield from self._activated(config)

    def _revision(self, config: UUID) -> Event:
        number, content = self._drafts[config]
        self._drafts[config] = number + 1, self._content(content.place)
        return ConfigRevised(config, *self._drafts[config])

    def _activated(self, config: UUID) -> Iterator[Event]:
        number, content = self._drafts[config]
        pinned = Pinned.of(number, content, content.window)
        yield ConfigActivated(config, pinned)
        self._pinned[config] = pinned.ranked(self.position)

    def _rolled_out(self) -> Iterator[Event]:
        config = self._any()
        rollout = Rollout(self._chance.randint(1, 100) * 1000)
        pinned = self._pinned[config].rolled_out(rollout)
        yield RolloutChanged(config, pinned)
        self._pinned[config] = pinned.ranked(self.position)

    def _rolled_back(self) -> Iterator[Event]:
        """Go back on a revision that was just activated."""
        config = self._any()
        restored = self._pinned[config]
        yield self._revision(config)
        yield from self._activated(config)
        self._pinned[config] = restored
        yield ConfigRolledBack(config, restored, restored.rank or 1)

    def _ended(self) -> Iterator[Event]:
        config = self._taken()
        yield ConfigDeactivated(config)
        yield ConfigArchived(config)
        yield from self._created()

    def _shadowed(self) -> Iterator[Event]:
        if len(self._shadows) < 20:
            config = self._any()
            if config not in self._shadows:
                self._shadows.append(config)
                number, content = self._drafts[config]
                yield ShadowStarted(config, Pinned.of(number, content, ALWAYS))
        else:
            yield ShadowStopped(self._shadows.pop(0))

    def _any(self) -> UUID:
        return self._chance.choice(self._in_force)

    def _taken(self) -> UUID:
        """Take a config out of those in force; one in shadow stays."""
        while True:
            index = self._chance.randrange(len(self._in_force))
            if self._in_force[index] not in self._shadows:
                self._in_force[index], self._in_force[-1] = (
                    self._in_force[-1],
                    self._in_force[index],
                )
                return self._in_force.pop()

    # --- All the rest ---

    def _killed_or_restored(self) -> Iterator[Event]:
        if len(self._killed) < 2:
            lever = self._chance.choice(shipped_catalog().names)
            if lever not in self._killed:
                self._killed.append(lever)
                yield LeverKilled(lever)
        else:
            yield LeverRestored(self._killed.pop(0))

    def _frozen_or_not(self) -> Iterator[Event]:
        if self._frozen:
            yield Unfrozen(self._frozen.pop())
        else:
            self._frozen.append(self._chance.choice([EVERYWHERE, self._place()]))
            yield Frozen(self._frozen[-1])

    def _experimented(self) -> Iterator[Event]:
        name = self._chance.choice(_refs(Scope.EXPERIMENT)).partition(":")[0]
        running = self._running.pop(name, None)
        if running is None:
            weights = (Variation("control", 1), Variation("bold", 1))
            self._running[name] = Experiment(name, weights, percentage=20_000)
            yield ExperimentStarted(self._running[name])
        elif running.percentage < 60_000:
            self._running[name] = running._replace(percentage=running.percentage + 20_000)
            yield ExperimentChanged(self._running[name])
        else:
            yield ExperimentStopped(name)

    _SHARES = (
        (0.55, _revised),
        (0.20, _rolled_out),
        (0.05, _rolled_back),
        (0.15, _ended),
        (0.02, _shadowed),
        (0.01, _killed_or_restored),
        (0.005, _frozen_or_not),
        (0.015, _experimented),
    )

    # --- What configs say ---

    def _place(self) -> Place:
        draw = self._chance.random()
        for scope, share in SHARES.items():
            draw -= share
            if draw < 0:
                return Place(scope, self._chance.choice(_refs(scope)))
        return EVERYWHERE

    def _content(self, place: Place) -> Content:
        chance, kind = self._chance, self._chance.random()
        catalog = shipped_catalog()
        levers = chance.sample(catalog.names, chance.randint(1, 5))
        return Content(
            f"{place.ref} {chance.choice(('economy', 'dialogue', 'drops', 'pace'))}",
            place,
            {name: another_value(chance, catalog.levers[name]) for name in levers},
            window=self._window() if chance.random() < 0.2 else ALWAYS,
            targeting=Targeting(as_rule(three_tests(chance))) if kind < 0.25 else None,
            rollout=self._rollout() if 0.25 <= kind < 0.4 else None,
            priority=chance.choice((0, 0, 0, 10)),
            labels={"team": chance.choice(("economy", "narrative"))},
        )

    def _window(self) -> Window:
        begin = self.now + self._chance.randint(-24, 24) * HOUR
        return Window(begin, begin + self._chance.randint(1, 200) * HOUR)

    def _rollout(self) -> Rollout:
        if self._chance.random() < 0.7:
            return Rollout(self._chance.randint(1, 100) * 1000)
        steps = (Step(self.now + step * HOUR, 10_000 * step) for step in (1, 5, 10))
        return Rollout(ramp=tuple(steps))


def askers(seed: int = 1) -> Iterator[Context]:
    """Draw players of the game without end; a third have configs of their own."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        session = chance.choice(_refs(Scope.SESSION)) if number % 3 == 0 else f"new-{number}"
        yield Context(
            session,
            world_id=chance.choice(_refs(Scope.WORLD)),
            adventure_id=chance.choice(_refs(Scope.ADVENTURE)),
            attributes=attributes(chance),
        )


def _refs(scope: Scope) -> list[str]:
    names = [f"{scope.value}.{number}" for number in range(REFS[scope])]
    if scope is not Scope.EXPERIMENT:
        return names
    return [ref for name in names for ref in (name, f"{name}:control", f"{name}:bold")]
