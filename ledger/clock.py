"""Instants: whole microseconds since the Unix epoch, UTC. Nothing here reads a clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

Instant = int

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,6}(\d{0,3}))?(?:[Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)


def parse_instant(text: str) -> Instant:
    """Read an RFC 3339 instant with its offset; digits beyond microseconds are cut.

    Raises ValueError that says what is wrong.
    """
    found = _RFC3339.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 instant like 2026-01-31T18:05:00Z")
    cut = text[: found.start(1)] + text[found.end(1) :] if found[1] else text
    try:
        at = from_datetime(datetime.fromisoformat(cut.upper()))
        if not _FIRST <= at <= _LAST:
            to_datetime(at)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:40]!r} is not an instant: {error}") from None
    return at


def format_instant(at: Instant) -> str:
    """Write an instant as RFC 3339 in UTC with six fractional digits and a Z."""
    return to_datetime(at).isoformat(timespec="microseconds")[:-6] + "Z"


def from_datetime(value: datetime) -> Instant:
    """Convert an aware datetime exactly."""
    return (value - _EPOCH) // _MICROSECOND


def to_datetime(at: Instant) -> datetime:
    """Convert to an aware datetime in UTC; raises OverflowError outside years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=at)


_FIRST = from_datetime(datetime.min.replace(tzinfo=UTC))
_LAST = from_datetime(datetime.max.replace(tzinfo=UTC))
