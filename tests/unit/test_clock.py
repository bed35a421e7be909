"""Instants: read exactly, written in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.clock import format_instant, parse_instant

NEW_YEAR = 1_767_225_600_000_000
FIRST, LAST = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(
    ("text", "after_new_year"),
    [
        ("2026-01-01T00:00:00Z", 0),
        ("2026-01-01t00:00:00z", 0),
        ("2026-01-01T02:00:00+02:00", 0),
        ("2025-12-31T23:59:59-00:00", -1_000_000),
        ("2026-01-01T00:00:00.5Z", 500_000),
        ("2026-01-01T00:00:00.000001Z", 1),
        ("2026-01-01T00:00:00.0000019Z", 1),
        ("2026-01-01T00:00:00.999999999+00:00", 999_999),
    ],
)
def test_an_instant_is_read_to_the_microsecond(text: str, after_new_year: int) -> None:
    assert parse_instant(text) == NEW_YEAR + after_new_year


@given(st.integers(parse_instant(FIRST), parse_instant(LAST)))
def test_an_instant_is_read_as_it_was_written(at: int) -> None:
    assert parse_instant(format_instant(at)) == at


@pytest.mark.parametrize("text", [FIRST, LAST])
def test_the_first_and_the_last_instant_are_written_as_they_are(text: str) -> None:
    assert format_instant(parse_instant(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01 00:00:00Z"),
        *("2026-01-01T00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.0000000001Z"),
        *("2026-01-01T00:00:00+0100", "٢٠٢٦-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n"),
    ],
)
def test_a_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 instant like"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-02-30T00:00:00Z", "day"),
        ("2026-01-01T24:00:00Z", "hour"),
        ("2026-01-01T00:00:60.1234567Z", "second"),
        ("2026-01-01T00:00:00+24:00", "offset"),
        ("0001-01-01T00:00:00+00:01", "range"),
        ("9999-12-31T23:59:59-00:01", "range"),
    ],
)
def test_what_is_on_no_calendar_is_refused_as_it_was_written(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        parse_instant(text)
    assert str(refused.value).startswith(repr(text))
