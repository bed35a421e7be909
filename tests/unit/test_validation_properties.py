"""What holds of every payload, whatever is in it."""

from fractions import Fraction
from typing import Any

import orjson
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ledger.catalog import Catalog, LeverType, shipped_catalog
from ledger.validation import CODES, OUT_OF_BOUNDS, Severity, Violation, validate
from tests.model_levers import severities
from tests.strategies import catalogs, json_values, payloads, texts

Json = Any

SHIPPED = shipped_catalog()
FILE = SHIPPED.to_json()
NUMERIC = [lever for lever in SHIPPED.levers.values() if lever.max is not None]
ENUMS = [lever for lever in SHIPPED.levers.values() if lever.type is LeverType.ENUM]
names = st.sampled_from(SHIPPED.names)
junk = st.dictionaries(names | texts, json_values, max_size=5)


@given(junk, st.booleans())
def test_whatever_is_sent_gets_an_answer_that_json_can_carry(
    payload: dict[str, Json], strict: bool
) -> None:
    checked = validate(SHIPPED, payload, strict=strict)
    orjson.dumps([violation.to_json() for violation in checked.violations])
    orjson.dumps(checked.payload)
    assert {violation.code for violation in checked.violations} <= CODES


@given(junk)
def test_what_is_stored_is_accepted_and_normal_already(payload: dict[str, Json]) -> None:
    stored = validate(SHIPPED, payload, strict=True).payload
    again = validate(SHIPPED, stored, strict=True).payload
    assert repr(again) == repr(stored)
    assert all(SHIPPED.read(lever, value) is not None for lever, value in stored.items())


@given(junk)
def test_a_lever_is_stored_unless_something_of_its_own_is_an_error(
    payload: dict[str, Json],
) -> None:
    checked = validate(SHIPPED, payload, strict=False)
    faulty = [violation.lever for violation in checked.violations if violation.code not in STORABLE]
    assert {name for name in payload if name in SHIPPED.levers} == {*checked.payload} | (
        {*faulty} & {*SHIPPED.levers}
    )
    assert not {*checked.payload} & {*faulty}


STORABLE = {OUT_OF_BOUNDS, "rule_broken"}


@given(st.data(), catalogs)
def test_a_stored_value_survives_json(data: st.DataObject, catalog: Catalog) -> None:
    payload = data.draw(payloads(catalog))
    stored = validate(catalog, payload, strict=True).payload
    assert repr(stored) == repr(payload)
    assert repr(orjson.loads(orjson.dumps(stored))) == repr(stored)


@given(st.data(), catalogs)
def test_values_of_the_right_type_have_no_errors_but_of_range(
    data: st.DataObject, catalog: Catalog
) -> None:
    checked = validate(catalog, data.draw(payloads(catalog)), strict=True)
    assert {violation.code for violation in checked.violations} <= {OUT_OF_BOUNDS}
    assert not checked.refuses_draft


@given(junk)
def test_leniency_only_turns_far_out_of_bounds_into_warnings(payload: dict[str, Json]) -> None:
    strict = validate(SHIPPED, payload, strict=True)
    lenient = validate(SHIPPED, payload, strict=False)
    assert lenient.payload == strict.payload
    assert lenient.refuses_draft == strict.refuses_draft
    for one, other in zip(strict.violations, lenient.violations, strict=True):
        softened = one.code == OUT_OF_BOUNDS and one.severity is Severity.ERROR
        assert other.severity is (Severity.WARNING if softened else one.severity)


@given(payloads(SHIPPED))
@example({"SOFT_LOCK_HINT_FREQUENCY": 1.5})
@example({"VENDOR_MARGIN_MAX": 1.15})
def test_severities_are_those_of_the_naive_model(payload: dict[str, Json]) -> None:
    violations = validate(SHIPPED, payload, strict=True).violations
    assert severities(FILE, payload) == {_model_severity(violation) for violation in violations}


def _model_severity(violation: Violation) -> str:
    far = violation.code == OUT_OF_BOUNDS and violation.severity is Severity.ERROR
    return "range" if far else violation.severity


@given(st.sampled_from(NUMERIC), st.integers(-3000, 3000))
def test_half_the_span_is_measured_as_people_write_numbers(lever: Any, permille: int) -> None:
    low, high = (Fraction(repr(bound)) for bound in (lever.min, lever.max))
    value = high + (high - low) * permille / 1000
    assume(lever.type is LeverType.FLOAT or value.denominator == 1)
    number = int(value) if lever.type is LeverType.INTEGER else float(value)
    checked = validate(SHIPPED, {lever.name: number}, strict=True)
    beyond = max(low - value, value - high)
    outside = Severity.WARNING if beyond * 2 <= high - low else Severity.ERROR
    expected = [Severity.CRITICAL if lever.critical else outside] if beyond > 0 else []
    assert [violation.severity for violation in checked.violations] == expected


@given(st.sampled_from(NUMERIC), st.booleans())
def test_a_boolean_is_never_a_number(lever: Any, value: bool) -> None:
    assert validate(SHIPPED, {lever.name: value}, strict=True).refuses_draft


@given(st.sampled_from(NUMERIC), texts | st.floats().map(str) | st.integers().map(str))
def test_text_is_a_number_only_as_the_percentage_of_a_float(lever: Any, text: str) -> None:
    refused = validate(SHIPPED, {lever.name: text}, strict=False).refuses_draft
    assert refused or (lever.type is LeverType.FLOAT and text.strip().endswith("%"))


@given(st.integers(-(10**6), 10**6), st.sampled_from(["", " "]))
def test_a_percentage_is_the_nearest_float_to_its_hundredth(hundredths: int, blank: str) -> None:
    text = f"{'-' if hundredths < 0 else ''}{abs(hundredths) // 100}.{abs(hundredths) % 100:02}"
    stored = validate(SHIPPED, {"CRAFTING_QUALITY_BIAS": f"{text}{blank}%"}, strict=False).payload
    assert stored == {"CRAFTING_QUALITY_BIAS": hundredths / 10_000}


@given(st.data(), st.sampled_from(ENUMS))
def test_an_enum_is_matched_without_case_and_white_space(data: st.DataObject, lever: Any) -> None:
    value = data.draw(st.sampled_from(lever.values))
    changes = st.sampled_from([str.upper, str.title, str.swapcase, " {}\t".format, "\n{}".format])
    given = data.draw(changes)(value)
    assert validate(SHIPPED, {lever.name: given}, strict=True).payload == {lever.name: value}


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int) -> None:
    entry = {"name": "it", "group": "g", "type": "duration", "default": 0, "min": 0, "max": "9d"}
    catalog = Catalog.from_json({"levers": [entry]})
    payload = {"it": f"{hours}h{minutes}m{seconds}s"}
    total = hours * 3600 + minutes * 60 + seconds
    assert validate(catalog, payload, strict=True).payload == {"it": total}
