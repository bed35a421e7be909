"""Numbers as people write them: decimals, percentages, durations, and distances between them."""

from __future__ import annotations

import re
from fractions import Fraction

from ledger.levers import Number, Shape

_DECIMAL = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})", re.ASCII)
_PART = r"(?:(\d{1,15}(?:\.\d{1,15})?)%s\s*)?"
_DURATION = re.compile("".join(_PART % unit for unit in ("d", "h", "m", "s", "ms")), re.ASCII)
_SECONDS = (Fraction(86400), Fraction(3600), Fraction(60), Fraction(1), Fraction(1, 1000))


def percentage(text: str) -> float | None:
    """Read "50%" or "12.5 %" as a fraction of 1; None when it is no percentage."""
    trimmed = text.strip()
    digits = trimmed[:-1].rstrip()
    if not trimmed.endswith("%") or not _DECIMAL.fullmatch(digits):
        return None
    return float(f"{digits}e-2") + 0.0  # dividing by 100 would round a second time


def seconds(text: str) -> Number | None:
    """Read a duration like "90s" or "1h30m" in seconds, whole ones as int; None when it is none."""
    trimmed = text.strip()
    found = _DURATION.fullmatch(trimmed)
    if not trimmed or not found:
        return None
    parts = zip(found.groups(), _SECONDS, strict=True)
    total = sum((Fraction(part) * unit for part, unit in parts if part), Fraction(0))
    return float(total) if total.denominator > 1 else total.numerator


def excess(shape: Shape, value: Number) -> Fraction:
    """Measure how far a number lies outside its bounds; 0 inside or without bounds.

    Exact in decimal, as people write numbers: 1.15 is 0.35 above 0.8, not a little less.
    """
    if shape.min is not None and value < shape.min:
        return exact(shape.min) - exact(value)
    if shape.max is not None and value > shape.max:
        return exact(value) - exact(shape.max)
    return Fraction(0)


def half_span(shape: Shape) -> Fraction:
    """Give half the distance between the bounds: how far outside is still not far."""
    if shape.min is None or shape.max is None:
        return Fraction(0)
    return (exact(shape.max) - exact(shape.min)) / 2


def exact(number: Number) -> Fraction:
    """Read a number as the decimal that it is written as."""
    return Fraction(repr(number))
