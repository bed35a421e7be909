"""Shadows: what would be, beside what is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ledger.catalog import Catalog, shipped_catalog
from ledger.clock import format_instant
from ledger.content import Content
from ledger.errors import Conflict, Invalid, Moved, NotFound
from ledger.events import ShadowStarted
from ledger.intents import (
    ActivateConfig,
    AdoptCatalog,
    ArchiveConfig,
    CreateConfig,
    Freeze,
    Intent,
    ReviseConfig,
    RollBack,
    RollBackConfig,
    StartShadow,
    StopShadow,
)
from ledger.live import Live, assemble, evolve_live, shadowed, things
from ledger.resolve import Shadowed, resolve
from ledger.state import Status
from tests.unit.history import GAME, History

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"
TOKENS = "AWF_MAX_INPUT_TOKENS"
ONE = UUID(int=1)


@pytest.fixture
def history() -> History:
    """A history with one config, active with the tempo 1.5 and drafted with 2.5."""
    history = History()
    history.config(1, "world", "w1", payload={TEMPO: 1.5})
    revise(history, {TEMPO: 2.5})
    return history


def content(payload: dict[str, Any], **more: Any) -> Content:
    data = {"name": "n", "scope": "world", "scope_ref": "w1", "payload": payload}
    return Content.from_json(data | more)


def revise(history: History, payload: dict[str, Any], **more: Any) -> None:
    history.do(ReviseConfig(ONE, content(payload, **more)))


def tempos(live: Live, at: int) -> tuple[float, float]:
    effective, shadow = (resolve(each, GAME, at).values[TEMPO] for each in (live, shadowed(live)))
    return effective, shadow


def test_a_shadow_changes_nothing_but_what_would_be(history: History) -> None:
    history.do(StartShadow(ONE))
    assert tempos(history.live, history.now) == (1.5, 2.5)
    history.do(StopShadow(ONE))
    assert tempos(history.live, history.now) == (1.5, 1.5)


def test_a_draft_that_was_never_active_can_be_in_shadow(history: History) -> None:
    history.do(CreateConfig(UUID(int=2), content({TEMPO: 2.0})))
    history.do(StartShadow(UUID(int=2)))
    assert tempos(history.live, history.now) == (1.5, 2.0)
    assert history.state.status(history.state.config(UUID(int=2)), history.now) is Status.DRAFT


def test_a_shadow_ranks_by_its_own_event(history: History) -> None:
    history.do(StartShadow(ONE, 1))
    history.config(2, "world", "w1", payload={TEMPO: 2.0})
    assert tempos(history.live, history.now) == (2.0, 2.0)
    history.do(StartShadow(ONE, 2))
    assert tempos(history.live, history.now) == (2.0, 2.5)


def test_a_shadow_keeps_to_its_own_window(history: History) -> None:
    later = history.now + 10**9
    revise(history, {TEMPO: 2.5}, valid_from=format_instant(later))
    history.do(StartShadow(ONE))
    assert tempos(history.live, history.now) == (1.5, 1.0)
    assert tempos(history.live, later) == (1.5, 2.5)


def test_all_shadows_are_told_together(history: History) -> None:
    history.do(StartShadow(ONE))
    history.do(CreateConfig(UUID(int=2), content({TOKENS: 5000})))
    history.do(StartShadow(UUID(int=2)))
    live, shadow = (
        resolve(each, GAME, history.now) for each in (history.live, shadowed(history.live))
    )
    assert Shadowed.beside(live, shadow).differs == {
        TEMPO: {"live": 1.5, "shadow": 2.5},
        TOKENS: {"live": 4000, "shadow": 5000},
    }


@pytest.mark.parametrize(
    ("before", "intent", "refusal"),
    [
        ([], StopShadow(ONE), Conflict),
        ([StartShadow(ONE)], StartShadow(ONE, 2), Conflict),
        ([StartShadow(ONE), StopShadow(ONE)], StopShadow(ONE), Conflict),
        ([ArchiveConfig(ONE)], StartShadow(ONE), Conflict),
        ([], StartShadow(ONE, 3), NotFound),
        ([], StartShadow(UUID(int=9)), NotFound),
        ([], StartShadow(ONE, expected_revision=1), Moved),
        ([StartShadow(ONE)], StopShadow(ONE, expected_revision=1), Moved),
    ],
)
def test_what_is_refused(
    history: History, before: list[Intent], intent: Intent, refusal: type[Exception]
) -> None:
    for each in before:
        history.do(each)
    with pytest.raises(refusal):
        history.do(intent)


def test_another_revision_replaces_the_one_in_shadow(history: History) -> None:
    history.do(StartShadow(ONE, 1))
    history.do(StartShadow(ONE, 2))
    assert [shadow.pinned.revision for shadow in history.live.shadows.values()] == [2]


def test_neither_a_freeze_nor_bounds_refuse_a_shadow(history: History) -> None:
    revise(history, {TOKENS: 12_001})
    history.do(Freeze())
    event = history.do(StartShadow(ONE)).event
    assert isinstance(event, ShadowStarted)
    assert [violation["severity"] for violation in event.violations] == ["critical"]


def test_what_the_catalog_in_force_does_not_know_is_refused(history: History) -> None:
    levers = shipped_catalog().to_json()["levers"]
    only = {"levers": [lever for lever in levers if lever["name"] == TOKENS]}
    history.do(AdoptCatalog(Catalog.from_json(only)))
    with pytest.raises(Invalid, match="breaks the lever catalog's rules"):
        history.do(StartShadow(ONE))


def test_archiving_ends_a_shadow_and_coming_back_to_life_begins_none(history: History) -> None:
    history.do(StartShadow(ONE))
    history.do(ArchiveConfig(ONE))
    history.do(RollBackConfig(ONE))
    assert history.live.shadows == {}


def test_archiving_touches_the_shadow_only_where_there_is_one(history: History) -> None:
    history.do(StartShadow(ONE))
    before = history.live.copy()
    archived = history.do(ArchiveConfig(ONE))
    assert evolve_live(before, archived) == [str(ONE), f"shadow:{ONE}"]
    assert evolve_live(Live(), archived) == [str(ONE)]


def test_rollbacks_leave_shadows(history: History) -> None:
    target = history.live.copy()
    history.do(StartShadow(ONE))
    history.do(ActivateConfig(ONE))
    history.do(RollBack(target))
    assert tempos(history.live, history.now) == (1.5, 2.5)
    history.do(RollBackConfig(ONE))
    assert history.live.shadows.keys() == {ONE}


def test_a_shadow_is_no_activation_of_the_config(history: History) -> None:
    history.do(StartShadow(ONE))
    assert [each.pinned.revision for each in history.state.config(ONE).history] == [1]
    with pytest.raises(Conflict, match="no earlier activation"):
        history.do(RollBackConfig(ONE))


def test_shadows_start_from_things_as_they_were(history: History) -> None:
    history.do(StartShadow(ONE))
    live = history.live
    again = assemble(live.position, live.recorded_at, reversed(things(live).values()))
    assert vars(again) == vars(live)
    assert f"shadow:{ONE}" in things(live)
