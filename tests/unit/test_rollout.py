"""Who is in a rollout."""

import json
from itertools import accumulate
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidRollout
from ledger.rollout import (
    EVERYONE,
    Rollout,
    Step,
    bucket,
    choice_limits,
    choose,
    gate_limit,
    hash_bytes,
    salt_bytes,
    unit_bytes,
    unit_hash,
    unit_text,
)
from tests.model_levers import bucket_of, murmur3
from tests.strategies import (
    instants,
    json_values,
    ramps,
    rollouts,
    salts,
    texts,
    thousandths,
    unit_values,
)

FIRST = "2026-01-01T00:00:00.000000Z"
SECOND = "2026-01-02T00:00:00.000000Z"
SESSIONS = [f"session-{number}" for number in range(10_000)]


# --- The hash ---


@pytest.mark.parametrize(
    ("salt", "unit", "hashed", "place"),
    [
        ("", "", 0x2B266896, 16855),
        ("a", "b", 0xA2446843, 63385),
        ("config", "session-1", 0x1535B9A2, 8285),
        ("0190a1b2-0000-7000-8000-000000000001", "world.forest_glade", 0xBE5363B4, 74345),
        ("größe", "séance-✨", 0xC2052F10, 75789),
    ],
)
def test_the_bucket_of_a_unit_never_changes(salt: str, unit: str, hashed: int, place: int) -> None:
    assert unit_hash(salt, unit) == hashed
    assert bucket(salt, unit) == place


@pytest.mark.parametrize(("salt", "unit", "percent"), [("gr1", "123", 73), ("groupX", "999", 25)])
def test_the_hash_is_the_one_that_unleash_publishes_vectors_of(
    salt: str, unit: str, percent: int
) -> None:
    assert unit_hash(salt, unit) % 100 + 1 == percent


@given(salts, unit_values)
def test_buckets_agree_with_a_murmur_written_from_its_description(salt: str, unit: str) -> None:
    assert bucket(salt, unit) == bucket_of(salt, unit)


@given(texts, texts)
def test_any_text_has_a_bucket_below_everyone(salt: str, unit: str) -> None:
    assert 0 <= bucket(salt, unit) < EVERYONE


@given(st.binary(max_size=40))
def test_bytes_hash_as_by_a_murmur_written_from_its_description(key: bytes) -> None:
    assert hash_bytes(key) == murmur3(key)


@given(texts, texts)
def test_a_purpose_and_a_unit_are_hashed_as_the_bytes_of_both(salt: str, unit: str) -> None:
    encoded = unit_bytes(unit)
    assert encoded is not None
    assert hash_bytes(salt_bytes(salt) + encoded) == unit_hash(salt, unit)


def test_a_text_is_never_hashed_as_it_is() -> None:
    # The functions of mmh3 that take a str end the process on this one.
    with pytest.raises(TypeError):
        hash_bytes("\ud800")  # type: ignore[arg-type]


# --- Who is in ---


@given(rollouts(), salts, instants)
def test_a_missing_unit_is_never_in(rollout: Rollout, salt: str, clock: int) -> None:
    assert not rollout.includes(None, salt, clock)


@given(unit_values, salts, thousandths, thousandths)
def test_raising_the_percentage_only_adds_units(unit: str, salt: str, one: int, other: int) -> None:
    low, high = (Rollout(percentage) for percentage in sorted((one, other)))
    assert low.includes(unit, salt, 0) <= high.includes(unit, salt, 0)


@given(unit_values, salts, instants)
def test_nobody_is_in_at_0_and_everybody_at_100(unit: str, salt: str, clock: int) -> None:
    assert not Rollout(0).includes(unit, salt, clock)
    assert Rollout(EVERYONE).includes(unit, salt, clock)


@given(unit_values, salts)
def test_a_unit_is_in_from_the_first_step_above_its_bucket(unit: str, salt: str) -> None:
    place = bucket(salt, unit)
    assert not Rollout(place).includes(unit, salt, 0)
    assert Rollout(place + 1).includes(unit, salt, 0)


@given(rollouts(), unit_values, salts, salts, instants)
def test_a_salt_of_its_own_is_used_in_place_of_the_configs_id(
    rollout: Rollout, unit: str, own: str, config_id: str, clock: int
) -> None:
    salted = rollout._replace(salt=own).includes(unit, config_id, clock)
    assert salted == rollout._replace(salt=None).includes(unit, own, clock)


# --- One hash and one comparison ---

hashes = st.integers(0, 2**32 - 1)


@given(hashes, thousandths)
def test_a_hash_is_below_the_limit_when_its_bucket_is_below_the_percentage(
    h: int, percentage: int
) -> None:
    assert (h < gate_limit(percentage)) == ((h * EVERYONE) >> 32 < percentage)


@pytest.mark.parametrize("percentages", [range(n, EVERYONE + 1, 4) for n in range(4)])
def test_each_limit_is_the_first_hash_that_is_out(percentages: range) -> None:
    for percentage in percentages:
        limit = gate_limit(percentage)
        assert limit == 0 or ((limit - 1) * EVERYONE) >> 32 < percentage
        assert (limit * EVERYONE) >> 32 >= percentage


@given(rollouts(), st.none() | st.booleans() | st.floats() | texts, salts, instants)
def test_one_hash_and_one_comparison_let_in_whom_the_rollout_includes(
    rollout: Rollout, value: Any, salt: str, clock: int
) -> None:
    prefix = salt_bytes(salt if rollout.salt is None else rollout.salt)
    limit = gate_limit(rollout.threshold(clock))
    unit = unit_bytes(value)
    passed = unit is not None and hash_bytes(prefix + unit) < limit
    assert passed == rollout.includes(unit_text(value), salt, clock)


# --- Variations ---

weighted = st.lists(st.sampled_from([0, 1, 2, 33, 1000, 10**9]), min_size=1, max_size=6).filter(any)


@given(weighted, hashes, st.integers(-2, 2))
def test_a_draw_falls_on_the_first_whose_cumulative_weight_is_above(
    weights: list[int], h: int, near: int
) -> None:
    for drawn in (h, *(min(max(limit + near, 0), 2**32 - 1) for limit in choice_limits(weights))):
        place = (drawn * sum(weights)) >> 32
        above = [n for n, total in enumerate(accumulate(weights)) if total > place]
        assert choose(weights, drawn) == above[0]


@given(weighted, hashes)
def test_what_weighs_nothing_is_never_drawn(weights: list[int], h: int) -> None:
    assert weights[choose(weights, h)] > 0


# --- Ramps ---


@pytest.mark.parametrize(("clock", "threshold"), [(9, 0), (10, 500), (19, 500), (20, 99), (99, 99)])
def test_the_last_step_that_has_come_counts(clock: int, threshold: int) -> None:
    assert Rollout(ramp=(Step(10, 500), Step(20, 99))).threshold(clock) == threshold


@given(ramps(), instants)
def test_a_ramp_is_at_the_percentage_of_the_last_step_not_after_the_clock(
    ramp: tuple[Step, ...], clock: int
) -> None:
    come = [step.percentage for step in ramp if step.at <= clock]
    assert Rollout(ramp=ramp).threshold(clock) == (come[-1] if come else 0)


@given(ramps(), instants, unit_values, salts)
def test_a_ramp_includes_whom_its_present_percentage_includes(
    ramp: tuple[Step, ...], clock: int, unit: str, salt: str
) -> None:
    ramped = Rollout(ramp=ramp)
    still = Rollout(ramped.threshold(clock))
    assert ramped.includes(unit, salt, clock) == still.includes(unit, salt, clock)


# --- JSON ---


@given(rollouts())
def test_a_rollout_reads_back_from_its_json(rollout: Rollout) -> None:
    written = orjson.dumps(rollout.to_json())
    assert Rollout.from_json(orjson.loads(written)) == rollout
    assert orjson.dumps(Rollout.from_json(orjson.loads(written)).to_json()) == written


@given(thousandths)
def test_every_step_of_a_thousandth_is_read_exactly(step: int) -> None:
    whole, rest = divmod(step, 1000)
    assert Rollout.from_json({"percentage": float(f"{whole}.{rest:03}")}).percentage == step


def test_unit_and_salt_may_be_left_out() -> None:
    plain = Rollout.from_json({"percentage": 50, "salt": None, "ramp": None})
    assert plain == Rollout(50_000, "session_id", None)
    assert plain.to_json() == {"percentage": 50, "unit": "session_id"}


def step(at: Any = FIRST, percentage: Any = 5) -> dict[str, Any]:
    return {"at": at, "percentage": percentage}


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ([], ""),
        ({}, ""),
        ({"percentage": 5, "ramp": [step()]}, ""),
        ({"percentage": 5, "percent": 5}, ""),
        ({"percentage": -0.001}, "/percentage"),
        ({"percentage": 100.001}, "/percentage"),
        ({"percentage": 0.0001}, "/percentage"),
        ({"percentage": 0.1 + 0.2}, "/percentage"),
        ({"percentage": 5e-324}, "/percentage"),
        ({"percentage": float("nan")}, "/percentage"),
        ({"percentage": 10**400}, "/percentage"),
        ({"percentage": True}, "/percentage"),
        ({"percentage": "5"}, "/percentage"),
        ({"percentage": 5, "unit": "turn_id"}, "/unit"),
        ({"percentage": 5, "unit": "a b"}, "/unit"),
        ({"percentage": 5, "unit": ""}, "/unit"),
        ({"percentage": 5, "unit": 7}, "/unit"),
        ({"percentage": 5, "salt": ""}, "/salt"),
        ({"percentage": 5, "salt": "\ud800"}, "/salt"),
        ({"percentage": 5, "salt": "x" * 257}, "/salt"),
        ({"ramp": []}, "/ramp"),
        ({"ramp": step()}, "/ramp"),
        ({"ramp": [5]}, "/ramp/0"),
        ({"ramp": [{"at": FIRST}]}, "/ramp/0"),
        ({"ramp": [step() | {"unit": "session_id"}]}, "/ramp/0"),
        ({"ramp": [step(at="soon")]}, "/ramp/0/at"),
        ({"ramp": [step(at=5)]}, "/ramp/0/at"),
        ({"ramp": [step(), step(SECOND, 101)]}, "/ramp/1/percentage"),
        ({"ramp": [step(SECOND), step(FIRST)]}, "/ramp/1/at"),
        ({"ramp": [step(), step()]}, "/ramp/1/at"),
    ],
)
def test_a_rollout_that_cannot_be_is_refused_with_a_pointer(data: Any, pointer: str) -> None:
    with pytest.raises(InvalidRollout) as refused:
        Rollout.from_json(data)
    assert refused.value.pointer == f"/rollout{pointer}"


@given(json_values | st.dictionaries(st.sampled_from(["percentage", "unit", "ramp"]), json_values))
def test_whatever_is_sent_is_a_rollout_or_refused(data: Any) -> None:
    try:
        rollout = Rollout.from_json(data)
    except InvalidRollout as refused:
        orjson.dumps(refused.errors)
    else:
        assert Rollout.from_json(rollout.to_json()) == rollout


# --- Units that are not text ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gold", "gold"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (7.0, "7"),
        (-0.0, "0"),
        (0.25, "0.25"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-6, "0.000001"),
        (-1.5e-7, "-1.5e-7"),
        (2.0**53, "9007199254740992"),
        (-1.25e20, "-125000000000000000000"),
        (1e21, "1e+21"),
        (5e-324, "5e-324"),
        (2**53 + 1, "9007199254740993"),
        (2**63, "9223372036854775808"),
        (None, None),
        ([1], None),
        ({}, None),
        (2**64, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_a_units_value_is_hashed_in_its_json_form(value: Any, text: str | None) -> None:
    assert unit_text(value) == text


@given(json_values)
def test_any_attribute_is_a_unit_or_missing(value: Any) -> None:
    assert Rollout(EVERYONE).includes(unit_text(value), "salt", 0) == (unit_text(value) is not None)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_reads_back_from_its_text(number: float) -> None:
    text = unit_text(number)
    assert text is not None
    assert float(json.loads(text)) == number
