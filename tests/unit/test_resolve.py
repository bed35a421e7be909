"""Explanations: who supplied a value, and why every other candidate did not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ledger.clock import format_instant
from ledger.intents import Freeze, KillLever
from ledger.resolve import Reason, Why, disabled, resolve
from ledger.scopes import Context
from tests.unit.history import ACTOR, GAME, History

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"
LOW, HIGH = "VENDOR_MARGIN_MIN", "VENDOR_MARGIN_MAX"
MIX = "PARTY_INTENT_MIX_BIAS"
GATE = "MODS_GATE"
BUCKET = "session_id is at 89.159 %"  # s1's, with the salt x


@pytest.fixture
def history() -> History:
    return History()


def whys(history: History, lever: str) -> dict[int, Why]:
    return {c.activation.config_id.int: c.why for c in history.explain(lever).candidates}


def test_a_default_has_no_source(history: History) -> None:
    explained = history.explain(TEMPO)
    assert (explained.value, explained.source, explained.candidates) == (1.0, None, ())


def test_the_source_is_the_activation_that_wrote_last(history: History) -> None:
    history.config(1, "global", "global", payload={TEMPO: 1.5})
    winner = history.config(2, "world", "w1", payload={TEMPO: 2.0})
    explained = history.explain(TEMPO)
    assert explained.source is not None
    assert (explained.source.config_id, explained.source.origin.actor) == (winner, ACTOR)
    assert whys(history, TEMPO) == {1: Why.OVERRIDDEN}


def test_every_reason_not_to_apply_is_named(history: History) -> None:
    later = format_instant(history.now + 10**12)
    payload = {TEMPO: 2.0}
    history.config(1, "world", "w1", payload=payload, valid_from=later)
    history.config(2, "world", "w1", payload=payload, targeting={"include": "variation == 'b'"})
    history.config(3, "world", "w1", payload=payload, targeting={"exclude": "world_id == 'w1'"})
    history.config(4, "world", "w1", payload=payload, rollout={"percentage": 0})
    history.config(5, "world", "elsewhere", payload=payload)
    expected = {1: Why.WINDOW, 2: Why.ERROR, 3: Why.TARGETING, 4: Why.ROLLOUT}
    assert whys(history, TEMPO) == expected


def detail(history: History, lever: str = TEMPO, context: Context = GAME) -> str:
    """Read the words about the one candidate that a lever has."""
    (candidate,) = history.explain(lever, context).candidates
    return candidate.detail


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"valid_from": "2026-03-01T00:00:00Z"}, "opens at 2026-03-01T00:00:00.000000Z"),
        ({"valid_to": "2025-03-01T00:00:00Z"}, "closed at 2025-03-01T00:00:00.000000Z"),
        ({"targeting": {"include": "turn_id > 3"}}, "include is not true: turn_id > 3"),
        ({"targeting": {"exclude": "turn_id < 3"}}, "exclude is true: turn_id < 3"),
        ({"targeting": {"include": "variation == 'b'"}}, "variation is not in the context"),
        ({"rollout": {"percentage": 2, "salt": "x"}}, f"{BUCKET}, the rollout at 2 %"),
        ({"rollout": {"percentage": 2.5, "unit": "guild"}}, "the context has no guild to count by"),
    ],
)
def test_why_a_config_does_not_apply_is_said_in_words(
    history: History, more: dict[str, Any], words: str
) -> None:
    history.config(1, "world", "w1", payload={TEMPO: 2.0}, **more)
    assert detail(history) == words


def test_what_a_freeze_keeps_from_applying_is_said_in_words(history: History) -> None:
    opening = format_instant(history.now + 8_000_000)
    history.config(1, "world", "w1", payload={TEMPO: 2.0}, valid_from=opening)
    ramp = [{"at": opening, "percentage": 100}]
    history.config(
        2, "world", "w1", payload={GATE: "readonly"}, rollout={"ramp": ramp, "salt": "x"}
    )
    history.do(Freeze())
    frozen = format_instant(history.now)
    history.now += 10_000_000
    assert detail(history) == f"opens at {opening}, a freeze holds the clock at {frozen}"
    expected = f"{BUCKET}, the rollout at 0 %, a freeze holds the clock at {frozen}"
    assert detail(history, GATE) == expected


@pytest.mark.parametrize(
    ("place", "more", "words"),
    [
        (("session", "s1"), {}, "by config 2: session s1 comes after world w1"),
        (("world", "w1"), {"priority": 1}, "by config 2: its priority is 1"),
        (("world", "w1"), {}, "by config 2: it was put in force later, at position 4"),
    ],
)
def test_what_overrides_a_value_and_how_is_said_in_words(
    history: History, place: tuple[str, str], more: dict[str, Any], words: str
) -> None:
    history.config(1, "world", "w1", payload={TEMPO: 1.5})
    history.config(2, *place, payload={TEMPO: 2.0}, **more)
    assert detail(history) == words


def test_how_a_rule_would_be_broken_is_said_in_words(history: History) -> None:
    history.config(1, "world", "w1", payload={LOW: 0.45})
    assert detail(history, LOW) == f"{LOW} 0.45 would be above {HIGH} 0.3"


def test_a_kill_is_named_where_it_passes_over_a_config(history: History) -> None:
    history.config(1, "world", "w1", payload={GATE: "readonly"})
    killed = history.do(KillLever(GATE)).position
    assert detail(history, GATE) == f"killed at position {killed}"


def test_a_freeze_that_keeps_a_window_shut_is_named(history: History) -> None:
    opening = format_instant(history.now + 5_000_000)
    history.config(1, "world", "w1", payload={TEMPO: 2.0}, valid_from=opening)
    history.do(Freeze())
    history.now += 10_000_000
    assert whys(history, TEMPO) == {1: Why.FROZEN}


def test_a_freeze_that_keeps_a_ramp_down_is_named(history: History) -> None:
    ramp = [{"at": format_instant(history.now + 5_000_000), "percentage": 100}]
    history.config(1, "world", "w1", payload={TEMPO: 2.0}, rollout={"ramp": ramp})
    history.do(Freeze())
    history.now += 10_000_000
    assert whys(history, TEMPO) == {1: Why.FROZEN}


def test_a_killed_lever_names_the_kill_and_the_config_it_passes_over(history: History) -> None:
    history.config(1, "world", "w1", payload={GATE: "readonly"})
    killed = history.do(KillLever(GATE))
    explained = history.explain(GATE)
    assert (explained.value, explained.source) == ("off", None)
    assert explained.killed is not None
    assert explained.killed.position == killed.position
    assert whys(history, GATE) == {1: Why.KILLED}


def test_values_that_break_a_rule_together_are_taken_back(history: History) -> None:
    history.config(1, "global", "global", payload={LOW: 0.2})
    history.config(2, "world", "w1", payload={LOW: 0.45})
    explained = history.explain(LOW)
    assert explained.value == 0.2
    assert whys(history, LOW) == {2: Why.INVARIANT}
    assert history.explain(HIGH).value == 0.3


def test_a_rule_that_a_later_step_mends_takes_nothing_back(history: History) -> None:
    history.config(1, "global", "global", payload={LOW: 0.45})
    history.config(2, "world", "w1", payload={HIGH: 0.6})
    assert (history.explain(LOW).value, history.explain(HIGH).value) == (0.45, 0.6)


def test_fields_of_an_object_name_their_own_sources(history: History) -> None:
    first = history.config(1, "global", "global", payload={MIX: {"NEUTRAL": 0.5}})
    second = history.config(2, "world", "w1", payload={MIX: {"COMPETITIVE": 0.1}})
    explained = history.explain(MIX)
    assert explained.value == {"COOPERATIVE": 0.4, "COMPETITIVE": 0.1, "NEUTRAL": 0.5}
    sources = {name: source.config_id for name, source in explained.fields.items()}
    assert sources == {"NEUTRAL": first, "COMPETITIVE": second}
    assert explained.candidates == ()


def test_an_object_whose_fields_are_all_replaced_is_overridden(history: History) -> None:
    history.config(1, "global", "global", payload={MIX: {"NEUTRAL": 0.5}})
    history.config(2, "world", "w1", payload={MIX: {"NEUTRAL": 0.6}})
    assert whys(history, MIX) == {1: Why.OVERRIDDEN}


def test_the_reason_tells_what_decided(history: History) -> None:
    def reason() -> Reason:
        return resolve(history.live, GAME, history.now).reason

    seen = [reason()]
    history.config(1, "global", "global", payload={TEMPO: 1.5})
    seen.append(reason())
    targeting = {"include": "world_id == 'w1'"}
    history.config(2, "world", "w1", payload={TEMPO: 2.0}, targeting=targeting)
    seen.append(reason())
    history.config(3, "session", "s1", payload={TEMPO: 2.0}, rollout={"percentage": 100})
    assert [*seen, reason()] == [
        Reason.DEFAULT, Reason.STATIC, Reason.TARGETING_MATCH, Reason.SPLIT
    ]  # fmt: skip


def test_disabled_answers_with_defaults(history: History) -> None:
    history.config(1, "global", "global", payload={TEMPO: 1.5})
    answer = disabled(history.live.catalog, history.live.position, history.now)
    assert (answer.values[TEMPO], answer.reason) == (1.0, Reason.DISABLED)


def test_a_prefix_that_reaches_beyond_the_instant_is_refused(history: History) -> None:
    history.config(1, "global", "global", payload={TEMPO: 1.5})
    with pytest.raises(ValueError, match="cut it"):
        resolve(history.live, GAME, history.now - 1)


def test_an_explanation_can_be_written_and_agrees_with_the_values(history: History) -> None:
    history.config(1, "global", "global", payload={TEMPO: 1.5, MIX: {"NEUTRAL": 0.5}})
    answer = resolve(history.live, GAME, history.now, explain=True).to_json()
    explained = {lever: entry["value"] for lever, entry in answer["explanation"].items()}
    assert explained == answer["values"]
    assert answer["explanation"][TEMPO]["config_id"] == str(UUID(int=1))


def test_a_session_without_a_world_sees_no_world(history: History) -> None:
    history.config(1, "world", "w1", payload={TEMPO: 1.5})
    assert resolve(history.live, Context("s1"), history.now).values[TEMPO] == 1.0
