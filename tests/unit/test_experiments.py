"""Experiments: how they are read, who takes part, and which variation falls to whom."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.experiments import Experiment, Holdout, Range, Variation, overlap, resize, room
from ledger.rollout import EVERYONE
from tests import model_experiments
from tests.small_world import Trial, product_experiment, trials

HALVES = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]
UNITS = [f"s{n}" for n in range(20_000)]


def experiment(**more: Any) -> Experiment:
    return Experiment.from_json({"experiment_id": "x", "variations": HALVES, **more})


# --- Reading ---


def test_what_is_not_said_is_as_in_the_contract() -> None:
    assert experiment() == Experiment("x", (Variation("a", 1), Variation("b", 1)), "session_id")
    assert experiment().percentage == EVERYONE


def test_what_is_written_is_read() -> None:
    whole = experiment(
        unit="guild",
        percentage=33.333,
        group="g",
        ranges=[[5, 10], [0, 5]],
        holdout={"name": "h", "percentage": 0.5},
        description="why",
    )
    assert whole.holdout == Holdout("h", 500)
    assert Experiment.from_json(whole.to_json()) == whole


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"experiment_id": "x:y"}, "/experiment_id"),
        ({"experiment_id": " x"}, "/experiment_id"),
        ({"experiment_id": "x" * 257}, "/experiment_id"),
        ({"experiment_id": "\ud800"}, "/experiment_id"),
        ({"experiment_id": None}, ""),
        ({"salt": "s"}, ""),
        ({"variations": []}, "/variations"),
        ({"variations": [{"name": str(n), "weight": 1} for n in range(101)]}, "/variations"),
        ({"variations": [{"name": "a", "weight": 0}]}, "/variations"),
        ({"variations": [{"name": "a", "weight": 1_000_001}]}, "/variations"),
        ({"variations": [*HALVES, {"name": "a", "weight": 0}]}, "/variations/2/name"),
        ({"variations": [{"name": "a" * 255, "weight": 1}]}, "/variations/0/name"),
        ({"variations": [{"name": "", "weight": 1}]}, "/variations/0/name"),
        ({"variations": [{"name": "a", "weight": -1}]}, "/variations/0/weight"),
        ({"variations": [{"name": "a", "weight": 1.0}]}, "/variations/0/weight"),
        ({"variations": [{"name": "a", "weight": True}]}, "/variations/0/weight"),
        ({"variations": [{"name": "a"}]}, "/variations/0"),
        ({"variations": ["a"]}, "/variations/0"),
        ({"unit": "turn_id"}, "/unit"),
        ({"percentage": 100.001}, "/percentage"),
        ({"percentage": 0.0005}, "/percentage"),
        ({"group": ""}, "/group"),
        ({"holdout": {"name": "h"}}, "/holdout"),
        ({"holdout": {"name": "h", "percentage": "5"}}, "/holdout/percentage"),
        ({"description": 5}, "/description"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        experiment(**wrong)
    assert [error["pointer"] for error in refused.value.errors] == [pointer]


def test_its_places_are_its_own_and_those_of_its_variations() -> None:
    assert [str(place) for place in experiment().places] == [
        "experiment x",
        "experiment x:a",
        "experiment x:b",
    ]


# --- Taking part ---


@given(trials, st.text(max_size=5))
def test_assignment_is_by_the_hash_of_the_specification(trial: Trial, unit: str) -> None:
    told = {**trial.experiment(), "group": None, "buckets": []}
    takes_part = model_experiments.takes_part(told, unit)
    expected = model_experiments.drawn(told, unit) if takes_part else None
    assert product_experiment(told | {"buckets": None}).assign(unit) == expected


@pytest.mark.parametrize("missing", [None, [], {}, float("nan")])
def test_what_cannot_be_counted_by_takes_no_part(missing: Any) -> None:
    assert experiment().assign(missing) is None


def test_what_weighs_nothing_is_drawn_by_nobody() -> None:
    weighted = experiment(variations=[{"name": "never", "weight": 0}, *HALVES])
    assert {weighted.assign(unit) for unit in UNITS} == {"a", "b"}


def test_shares_are_as_the_weights_say() -> None:
    weighted = experiment(variations=[{"name": "a", "weight": 1}, {"name": "b", "weight": 3}])
    drawn = Counter(weighted.assign(unit) for unit in UNITS)
    assert drawn["a"] == pytest.approx(len(UNITS) / 4, abs=250)  # four standard deviations


def test_who_is_enrolled_early_is_drawn_as_everybody_is() -> None:
    drawn = Counter(experiment(percentage=10).assign(unit) for unit in UNITS)
    assert drawn["a"] + drawn["b"] == pytest.approx(2_000, abs=170)
    assert drawn["a"] == pytest.approx(drawn["b"], abs=180)


def test_a_higher_percentage_only_adds() -> None:
    few, more = (experiment(percentage=percentage) for percentage in (12.5, 40))
    early = {unit: few.assign(unit) for unit in UNITS if few.assign(unit)}
    assert early == {unit: more.assign(unit) for unit in early}


def test_a_holdout_keeps_the_same_units_out_of_everything_that_names_it() -> None:
    holdout = {"name": "h", "percentage": 10}
    one, other = (experiment(experiment_id=name, holdout=holdout) for name in "xy")
    out = {unit for unit in UNITS if one.assign(unit) is None}
    assert len(out) == pytest.approx(2_000, abs=170)
    assert out == {unit for unit in UNITS if other.assign(unit) is None}


# --- Ranges ---

widths = st.integers(0, EVERYONE)
sizes = st.lists(st.tuples(st.integers(0, 2), widths), max_size=12)


def size(ranges: tuple[Range, ...]) -> int:
    return sum(end - begin for begin, end in ranges)


def buckets(ranges: tuple[Range, ...]) -> list[int]:
    return [bucket for part in ranges for bucket in range(*part)]


@given(sizes)
@settings(deadline=None)
def test_experiments_of_a_group_are_as_wide_as_they_should_and_keep_what_they_have(
    steps: list[tuple[int, int]],
) -> None:
    given: list[tuple[Range, ...]] = [(), (), ()]
    for which, width in steps:
        others = [part for n, ranges in enumerate(given) if n != which for part in ranges]
        resized = resize(given[which], others, width)
        assert (resized is None) is (width > room(others))
        if resized is not None:
            assert size(resized) == width
            assert not overlap(resized, others)
            kept = min(size(given[which]), width)
            assert buckets(resized)[:kept] == buckets(given[which])[:kept]
            given[which] = resized
