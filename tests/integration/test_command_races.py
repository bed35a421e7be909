"""Commands in a race: activators, revisers and a freezer in several processes' ledgers at once.

Each check is shown to be able to fail: a store without the guard that it rests on breaks it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from commands.identity import uuid7
from commands.ledger import Ledger, Order, Outcome
from ledger.content import Content
from ledger.errors import Conflict, FrozenPlace, Moved, Refused, StreamMoved
from ledger.events import ConfigActivated, ConfigRevised, Frozen, Recorded, Unfrozen, decode
from ledger.intents import (
    ActivateConfig,
    CreateConfig,
    Freeze,
    Intent,
    ReviseConfig,
    Unfreeze,
)
from ledger.scopes import Place, Scope
from ledger.state import State
from ledger.store import Appended, Draft, LedgerStore, Request, migrate

Json = Any

THREADS = 12
PROCESSES = 3
TURNS = 25
TOGGLES = 30
RETRIED = 0.3
ACTOR = uuid7()
DRAFT = Content("raced", Place(Scope.WORLD, "w"), {"DROP_RATE_RARE_MULTIPLIER": 2.0})


@dataclass
class Race:
    """What was done and what came of it."""

    events: list[Recorded] = field(default_factory=list)
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def race(store: LedgerStore) -> Race:
    """Let everybody loose on four configs, to the end."""
    ledgers = [Ledger(store) for _ in range(PROCESSES)]
    configs = [uuid7() for _ in range(4)]
    for config_id in configs:
        ledgers[0].execute(Order(ACTOR), _always(CreateConfig(config_id, DRAFT)))
    seen = Race()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        tasks = [
            pool.submit(_work, seen, ledgers[thread % PROCESSES], thread, configs)
            for thread in range(THREADS)
        ]
        tasks.append(pool.submit(_toggle, ledgers[-1]))
        for task in tasks:
            task.result()
    stored = store.stream()
    seen.events = [decode(each.position, each.recorded_at, each.state) for each in stored]
    return seen


def _always(intent: Intent) -> Callable[[State], Intent]:
    return lambda _: intent


def _work(seen: Race, ledger: Ledger, thread: int, configs: Sequence[UUID]) -> None:
    for turn in range(TURNS):
        owner = (thread + 1) % THREADS if random.random() < RETRIED else thread
        key, config_id = f"{owner}/{turn}", configs[(owner + turn) % len(configs)]
        order = Order(ACTOR, key, Request(ACTOR, key, b"digest"))
        plan = _revise(config_id) if turn % 5 == 0 else _always(ActivateConfig(config_id))
        try:
            seen.outcomes.append((key, ledger.execute(order, plan)))
        except Refused as refusal:
            seen.refused[refusal.slug] += 1


def _revise(config_id: UUID) -> Callable[[State], Intent]:
    """Revise what is there now; the priority tells which revision that was."""

    def plan(state: State) -> ReviseConfig:
        newest = state.config(config_id).latest.number
        return ReviseConfig(config_id, DRAFT._replace(priority=newest), newest)

    return plan


def _toggle(ledger: Ledger) -> None:
    for turn in range(TOGGLES):
        ledger.execute(
            Order(ACTOR, f"toggle {turn}"), _always(Unfreeze() if turn % 2 else Freeze())
        )


# --- What must hold ---


def no_activation_in_a_freeze(seen: Race) -> None:
    frozen = False
    for recorded in seen.events:
        event = recorded.event
        assert not (frozen and isinstance(event, ConfigActivated)), recorded
        if isinstance(event, Frozen | Unfrozen):
            frozen = isinstance(event, Frozen)


def no_lost_update(seen: Race) -> None:
    for recorded in seen.events:
        if isinstance(event := recorded.event, ConfigRevised):
            assert event.revision == event.content.priority + 1, recorded
    revised = [r.event for r in seen.events if isinstance(r.event, ConfigRevised)]
    assert len({(event.config_id, event.revision) for event in revised}) == len(revised)


def no_doubled_request(seen: Race) -> None:
    reasons = Counter(recorded.cause.reason for recorded in seen.events if recorded.cause.reason)
    assert max(reasons.values()) == 1, reasons.most_common(3)


def one_key_has_one_outcome(seen: Race) -> None:
    positions: dict[str, set[int]] = {}
    for key, outcome in seen.outcomes:
        positions.setdefault(key, set()).add(outcome.position)
    assert all(len(of_key) == 1 for of_key in positions.values())


CHECKS = (no_activation_in_a_freeze, no_lost_update, no_doubled_request, one_key_has_one_outcome)


def test_nothing_is_lost_doubled_or_let_through_a_freeze(database: str) -> None:
    with LedgerStore(database, pool_size=THREADS + 2) as store:
        seen = race(store)
    for check in CHECKS:
        check(seen)
    kinds = Counter(type(recorded.event).__name__ for recorded in seen.events)
    assert kinds["ConfigActivated"] > 20
    assert kinds["ConfigRevised"] > 5
    assert kinds["Frozen"] == TOGGLES / 2
    assert any(outcome.repeated for _, outcome in seen.outcomes)


# --- Overtaken at the last moment ---


def overtaken(other: Callable[[], object], plan: Callable[[State], Intent]) -> Any:
    """Make a plan during whose first decision something else happens."""
    first = iter([other])

    def decide_late(state: State) -> Intent:
        intent = plan(state)
        for happens in first:
            happens()
        return intent

    return decide_late


@pytest.fixture
def ledgers(store: LedgerStore) -> tuple[Ledger, Ledger]:
    """The ledger as two processes have it."""
    return Ledger(store), Ledger(store)


def test_a_revision_that_is_overtaken_has_moved(ledgers: tuple[Ledger, Ledger]) -> None:
    mine, theirs = ledgers
    config_id = uuid7()
    mine.execute(Order(ACTOR), _always(CreateConfig(config_id, DRAFT)))
    plan = _always(ReviseConfig(config_id, DRAFT, expected_revision=1))
    with pytest.raises(Moved):
        mine.execute(Order(ACTOR), overtaken(lambda: theirs.execute(Order(ACTOR), plan), plan))


def test_an_activation_that_is_overtaken_is_a_conflict(ledgers: tuple[Ledger, Ledger]) -> None:
    mine, theirs = ledgers
    config_id = uuid7()
    mine.execute(Order(ACTOR), _always(CreateConfig(config_id, DRAFT)))
    plan = _always(ActivateConfig(config_id))
    with pytest.raises(Conflict):
        mine.execute(Order(ACTOR), overtaken(lambda: theirs.execute(Order(ACTOR), plan), plan))
    assert mine.store.head().position == 2


def test_a_freeze_overtakes_an_activation(ledgers: tuple[Ledger, Ledger]) -> None:
    mine, theirs = ledgers
    config_id = uuid7()
    mine.execute(Order(ACTOR), _always(CreateConfig(config_id, DRAFT)))
    freeze = lambda: theirs.execute(Order(ACTOR), _always(Freeze()))  # noqa: E731
    with pytest.raises(FrozenPlace):
        mine.execute(Order(ACTOR), overtaken(freeze, _always(ActivateConfig(config_id))))


def test_a_request_that_is_overtaken_by_itself_has_one_outcome(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    mine, theirs = ledgers
    order = Order(ACTOR, "", Request(ACTOR, "k", b"digest"))
    plan = _always(Freeze())
    outcome = mine.execute(order, overtaken(lambda: theirs.execute(order, plan), plan))
    assert (outcome.repeated, outcome.position) == (True, 1)


def test_a_request_refused_because_of_itself_has_its_first_outcome(
    ledgers: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = ledgers
    order = Order(ACTOR, "", Request(ACTOR, "k", b"digest"))
    first = theirs.execute(order, _always(Freeze()))
    looks = iter([None])  # the first look came before the other process was done
    find = mine.store.find
    monkeypatch.setattr(mine.store, "find", lambda request: next(looks, find(request)))
    assert mine.execute(order, _always(Freeze())).events == first.events


# --- Without the guards ---


class Careless(LedgerStore):
    """A store that appends whatever has happened since the decision, if it is told to be careless.

    `of` names the guard that is gone: the streams decided on, or the request.
    """

    of: str

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        expected: Mapping[UUID, int],
        position: int | None = None,
        request: Request | None = None,
    ) -> Appended:
        """Append events where their streams are by now."""
        if self.of == "request":
            return super().append(drafts, expected=expected, position=position)
        while True:
            try:
                return super().append(self._rebased(drafts), expected={}, request=request)
            except StreamMoved:
                continue

    def _rebased(self, drafts: Sequence[Draft]) -> list[Draft]:
        versions = Counter(stored.stream for stored in self.stream())
        rebased = []
        for draft in drafts:
            versions[draft.stream] += 1
            rebased.append(replace(draft, version=versions[draft.stream]))
        return rebased


@pytest.mark.parametrize(
    ("of", "check"),
    [
        ("streams", no_activation_in_a_freeze),
        ("streams", no_lost_update),
        ("request", no_doubled_request),
        ("request", one_key_has_one_outcome),
    ],
)
def test_without_its_guard_each_check_fails(
    new_migrated: Callable[[], str], of: str, check: Callable[[Race], None]
) -> None:
    def goes_well() -> bool:
        with Careless(new_migrated(), pool_size=THREADS + 2) as store:
            store.of = of
            seen = race(store)
        with suppress(AssertionError):
            check(seen)
            return True
        return False

    assert not all(goes_well() for _ in range(5))


@pytest.fixture
def new_migrated(new_database: Callable[[], str]) -> Callable[[], str]:
    """Make migrated databases that are dropped with the test."""

    def make() -> str:
        url = new_database()
        migrate(url)
        return url

    return make
