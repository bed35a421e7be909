"""Experiments that run together: what is decided of them, and who is in which."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.catalog import Catalog, shipped_catalog
from ledger.decide import decide
from ledger.errors import Conflict, FrozenPlace, NotFound
from ledger.events import ExperimentChanged, ExperimentStarted, ExperimentStopped
from ledger.experiments import Experiment
from ledger.intents import (
    AdoptCatalog,
    ChangeExperiment,
    Freeze,
    Intent,
    RollBack,
    StartExperiment,
    StopExperiment,
    Terms,
)
from ledger.live import Live, assemble, evolve_live, things
from ledger.resolve import Reason, Resolution, Why, resolve
from ledger.scopes import Context, place
from tests.unit.history import History

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"
HALVES = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]
HOLDOUT = {"name": "h", "percentage": 20}
SESSIONS = [Context(f"s{n}") for n in range(300)]


def experiment(name: str, percentage: float = 100, **more: Any) -> Experiment:
    members = {"experiment_id": name, "variations": HALVES, "percentage": percentage, **more}
    return Experiment.from_json(members)


@pytest.fixture
def history() -> History:
    return History()


def start(history: History, name: str, percentage: float = 100, **more: Any) -> None:
    history.do(StartExperiment(experiment(name, percentage, **more)))


def ask(history: History, context: Context) -> Resolution:
    return resolve(history.live, context, history.now)


def running(live: Live) -> dict[str, Experiment]:
    return {name: running.experiment for name, running in live.experiments.items()}


# --- Starting, changing, stopping ---


def test_a_trial_keeps_all_its_runs_with_their_origins(history: History) -> None:
    for percentage in (40, 60):
        start(history, "x", percentage)
        history.do(ChangeExperiment("x", 50_000))
        history.do(StopExperiment("x"))
    runs = history.state.trial("x").runs
    positions = [[o.position for o in (r.started, r.changed, r.stopped) if o] for r in runs]
    assert positions == [[1, 2, 3], [4, 5, 6]]
    assert not history.state.trial("x").running


@pytest.mark.parametrize(
    ("intent", "refusal"),
    [
        (StartExperiment(experiment("x")), Conflict),
        (ChangeExperiment("x", 100_000), Conflict),
        (ChangeExperiment("stopped", 5_000), Conflict),
        (StopExperiment("stopped"), Conflict),
        (ChangeExperiment("never", 5_000), NotFound),
        (StopExperiment("never"), NotFound),
    ],
)
def test_what_the_state_does_not_allow(history: History, intent: Any, refusal: Any) -> None:
    start(history, "stopped")
    history.do(StopExperiment("stopped"))
    start(history, "x")
    with pytest.raises(refusal, match=r"experiment (x|stopped|never)"):
        history.do(intent)


@pytest.mark.parametrize(
    "where", [("global", "global"), ("experiment", "x"), ("experiment", "x:b")]
)
def test_a_freeze_refuses_to_start_change_and_stop(
    history: History, where: tuple[str, str]
) -> None:
    start(history, "x", 50)
    history.do(Freeze(place(*where)))
    other = experiment("x", 50)._replace(experiment_id="y" if where[0] == "global" else "x")
    for intent in (StopExperiment("x"), ChangeExperiment("x", 1_000)):
        with pytest.raises(FrozenPlace):
            history.do(intent)
    with pytest.raises(FrozenPlace if other.experiment_id == "y" else Conflict):
        history.do(StartExperiment(other))


def test_a_freeze_of_one_variation_refuses_the_start(history: History) -> None:
    history.do(Freeze(place("experiment", "x:b")))
    with pytest.raises(FrozenPlace, match="x:b"):
        start(history, "x")


# --- Groups and holdouts ---


def test_a_full_group_says_how_much_is_left(history: History) -> None:
    start(history, "x", 70.5, group="g")
    with pytest.raises(Conflict, match=r"the others leave 29.5 %"):
        start(history, "y", 30, group="g")
    start(history, "y", 29.5, group="g")


def test_a_group_counts_by_one_unit(history: History) -> None:
    start(history, "x", 10, group="g")
    with pytest.raises(Conflict, match="counts by session_id"):
        start(history, "y", 10, group="g", unit="world_id")
    start(history, "z", 10, group="other", unit="world_id")


@pytest.mark.parametrize(
    "other", [{"unit": "world_id"}, {"holdout": {"name": "h", "percentage": 5}}]
)
def test_those_that_name_a_holdout_agree_on_it(history: History, other: dict[str, Any]) -> None:
    start(history, "x", holdout=HOLDOUT)
    with pytest.raises(Conflict, match="the holdout h"):
        start(history, "y", **{"holdout": HOLDOUT, **other})
    history.do(StopExperiment("x"))
    start(history, "y", **{"holdout": HOLDOUT, **other})


verbs = st.sampled_from(["start", "start", "change", "stop", "back", "back alone"])
steps = st.lists(st.tuples(st.sampled_from("xyz"), verbs, st.integers(0, 70)), max_size=12)


@given(steps)
@settings(deadline=None)
def test_no_unit_is_ever_in_two_of_a_group_nor_in_any_when_held_out(
    plan: list[tuple[str, str, int]],
) -> None:
    history, past = History(), [Live()]
    start(history, "x", 5, group="g", holdout=HOLDOUT)
    for name, verb, number in plan:
        with suppress(Conflict, NotFound):
            history.do(_intent(name, verb, number, past))
        past.append(history.live.copy())
    held_out = [experiment("x", holdout=HOLDOUT).holds_out(who.session_id) for who in SESSIONS]
    live = Live()
    for recorded in history.events:
        evolve_live(live, recorded)
        for who, out in zip(SESSIONS, held_out, strict=True):
            assert len(resolve(live, who, recorded.recorded_at).experiments) <= (not out)


def _intent(name: str, verb: str, number: int, past: list[Live]) -> Intent:
    match verb:
        case "start":
            return StartExperiment(experiment(name, number, group="g", holdout=HOLDOUT))
        case "change":
            return ChangeExperiment(name, number * 1_000)
        case "stop":
            return StopExperiment(name)
    alone = place("experiment", name) if verb == "back alone" else None
    return RollBack(past[number % len(past)], alone)


# --- Going back ---


def test_a_rollback_of_everything_brings_the_experiments_back(history: History) -> None:
    start(history, "grew", 40, group="g")
    start(history, "ended", 40, group="g")
    target = history.live.copy()
    history.do(StopExperiment("ended"))
    history.do(ChangeExperiment("grew", 90_000))
    start(history, "begun")
    history.do(RollBack(target))
    assert running(history.live) == running(target)


def test_what_a_rollback_changes_is_one_event_each_where_that_is_enough(history: History) -> None:
    start(history, "shrank", 40)
    start(history, "ended", 40)
    target = history.live.copy()
    history.do(StopExperiment("ended"))
    history.do(ChangeExperiment("shrank", 10_000))
    start(history, "begun")
    before = len(history.events)
    history.do(RollBack(target))
    kinds = [type(recorded.event) for recorded in history.events[before:]]
    assert kinds == [ExperimentStopped, ExperimentChanged, ExperimentStarted]


def test_one_whose_buckets_another_has_still_is_stopped_until_that_one_gave_them_back(
    history: History,
) -> None:
    start(history, "x", 50, group="g")
    start(history, "y", 10, group="g")
    target = history.live.copy()
    history.do(ChangeExperiment("x", 20_000))
    history.do(ChangeExperiment("y", 40_000))
    before = len(history.events)
    history.do(RollBack(target))
    kinds = [type(recorded.event) for recorded in history.events[before:]]
    assert kinds == [ExperimentStopped, ExperimentChanged, ExperimentStarted]
    assert running(history.live) == running(target)


def test_other_variations_are_brought_back_by_a_stop_and_a_start(history: History) -> None:
    start(history, "x")
    target = history.live.copy()
    history.do(StopExperiment("x"))
    start(history, "x", variations=[{"name": "a", "weight": 1}])
    before = len(history.events)
    history.do(RollBack(target))
    kinds = [type(recorded.event) for recorded in history.events[before:]]
    assert (kinds, running(history.live)) == (
        [ExperimentStopped, ExperimentStarted],
        running(target),
    )


def test_one_experiment_is_turned_back_alone_unless_its_buckets_are_given_away(
    history: History,
) -> None:
    start(history, "x", 60, group="g")
    target = history.live.copy()
    history.do(ChangeExperiment("x", 10_000))
    start(history, "y", 30, group="g")
    alone = RollBack(target, place("experiment", "x"))
    with pytest.raises(Conflict, match="experiment y has buckets of group g by now that x had"):
        history.do(alone)
    history.do(StopExperiment("y"))
    history.do(alone)
    assert running(history.live) == running(target)


def test_a_rollback_under_a_freeze_needs_the_glass_broken_and_says_so(history: History) -> None:
    target = history.live.copy()
    start(history, "x")
    history.do(Freeze(place("experiment", "x:b")))
    with pytest.raises(FrozenPlace):
        history.do(RollBack(target))
    stopped = history.do(RollBack(target, break_glass=True)).event
    assert stopped == ExperimentStopped("x", break_glass=True)


def test_a_rollback_of_another_place_leaves_experiments_alone(history: History) -> None:
    target = history.live.copy()
    start(history, "x")
    for where in (place("experiment", "x:a"), place("session", "x"), place("global", "global")):
        assert decide(history.state, RollBack(target, where), Terms()).events == ()


# --- Who is in which ---


def test_a_session_that_is_enrolled_gets_the_configs_of_its_variation(history: History) -> None:
    history.config(1, "experiment", "x", payload={TEMPO: 1.5})
    history.config(2, "experiment", "x:b", payload={TEMPO: 2.0})
    start(history, "x", 60)
    expected = {None: 1.0, "a": 1.5, "b": 2.0}
    for who in SESSIONS:
        answer = ask(history, who)
        variation = answer.experiments.get("x")
        assert answer.values[TEMPO] == expected[variation]
        assert answer.reason is (Reason.SPLIT if variation else Reason.DEFAULT)


def test_a_variation_that_the_context_names_is_kept_running_or_not(history: History) -> None:
    history.config(1, "experiment", "x:b", payload={TEMPO: 2.0})
    named = Context("s1", experiment_id="x", variation="b", experiments={"w": "a"})
    before = ask(history, named)
    start(history, "x", variations=[{"name": "a", "weight": 1}])
    after = ask(history, named)
    assert before.values == after.values
    assert before.experiments == after.experiments == {"w": "a", "x": "b"}
    assert (after.reason, after.values[TEMPO]) == (Reason.STATIC, 2.0)


def test_an_experiment_named_without_a_variation_has_its_own_configs_enrolled_or_not(
    history: History,
) -> None:
    history.config(1, "experiment", "x", payload={TEMPO: 1.5})
    start(history, "x", 0)
    named = Context("s1", experiment_id="x")
    assert (ask(history, named).values[TEMPO], ask(history, named).experiments) == (1.5, {})
    history.do(ChangeExperiment("x", 100_000))
    answer = ask(history, named)
    assert (answer.values[TEMPO], answer.reason) == (1.5, Reason.STATIC)
    assert answer.experiments.keys() == {"x"}


def test_rules_read_experiments_only_as_the_context_names_them(history: History) -> None:
    rule = {"include": "experiment_id == 'x'"}
    history.config(1, "global", "global", payload={TEMPO: 2.0}, targeting=rule)
    start(history, "x")
    tempos = [
        ask(history, c).values[TEMPO] for c in (Context("s1"), Context("s1", experiment_id="x"))
    ]
    assert tempos == [1.0, 2.0]


def test_numbers_of_attributes_are_read_as_the_catalog_declares_them(history: History) -> None:
    declared = Catalog.from_json({**shipped_catalog().to_json(), "attributes": {"spent": "double"}})
    history.do(AdoptCatalog(declared))
    rule = {"include": "spent / 2.0 == 2.5"}
    history.config(1, "global", "global", payload={TEMPO: 2.0}, targeting=rule)
    assert ask(history, Context("s1", attributes={"spent": 5})).values[TEMPO] == 2.0


# --- Explaining, and starting from things ---


@pytest.mark.parametrize(
    ("more", "context", "detail"),
    [
        (
            {"percentage": 0},
            {},
            "not enrolled in experiment x: session_id is at 89.159 %, the first 0 % take part",
        ),
        ({"percentage": 0, "group": "g"}, {}, "% of group g, where it has nothing"),
        ({"unit": "guild"}, {}, "not enrolled in experiment x: the context has no guild"),
        ({"holdout": {"name": "h", "percentage": 100}}, {}, "held out by h, with 100 % of all"),
        ({}, {"experiment_id": "x", "variation": "b"}, "in variation b of experiment x"),
        ({"variations": [{"name": "b", "weight": 1}]}, {}, "in variation b of experiment x"),
    ],
)
def test_what_is_set_where_an_experiment_does_not_take_the_context_is_explained(
    history: History, more: dict[str, Any], context: dict[str, Any], detail: str
) -> None:
    history.config(1, "experiment", "x:a", payload={TEMPO: 1.5})
    start(history, "x", **more)
    (candidate,) = history.explain(TEMPO, Context("s1", **context)).candidates
    assert (candidate.why, candidate.activation.config_id.int) == (Why.ROLLOUT, 1)
    assert detail in candidate.detail


def test_an_experiment_that_is_named_and_does_not_run_is_explained(history: History) -> None:
    history.config(1, "experiment", "x:a", payload={TEMPO: 1.5})
    (candidate,) = history.explain(TEMPO, Context("s1", experiment_id="x")).candidates
    assert candidate.detail == "experiment x does not run, and the context names no variation"


def test_experiments_start_from_things_as_they_were(history: History) -> None:
    start(history, "x", 40, group="g", holdout=HOLDOUT, description="why")
    start(history, "a")
    history.do(ChangeExperiment("x", 50_000))
    live = history.live
    again = assemble(live.position, live.recorded_at, things(live).values())
    assert vars(again) == vars(live)
    who = Context("s2")
    assert len(resolve(live, who, history.now).experiments) == 2
    answers = [resolve(each, who, history.now).to_json() for each in (live, again)]
    assert orjson.dumps(answers[0]) == orjson.dumps(answers[1])
