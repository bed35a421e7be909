"""The one normal form of each lever value: what is stored, compared and resolved.

Texts become numbers only where a person would write them so: a percentage for a float, a
duration in seconds. Everything else must have its type already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ledger.errors import LedgerError
from ledger.levers import Field, Lever, LeverType, Number, Shape

Json = Any

LARGEST_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader, JavaScript's too, reads exactly."""


class Fault(NamedTuple):
    """Why a value, or one part of it, has no normal form.

    `expectation` goes on after the lever's name: "must be a whole number".
    """

    code: str
    expectation: str
    value: Json
    field: str | None = None


class _UnfitError(LedgerError):
    """A value has no normal form."""

    def __init__(self, code: str, expectation: str) -> None:
        super().__init__(expectation)
        self.code = code


def normalise(lever: Lever, value: Json) -> tuple[Json, tuple[Fault, ...]]:
    """Give the normal form of a value and no faults, or every fault.

    Beside faults the form is None, or of an object what its sound fields come to.
    """
    match lever.type:
        case LeverType.OBJECT:
            return _object(lever, value)
        case LeverType.ENUM_LIST:
            return _enum_list(lever, value)
    return _scalar(lever, value)


# --- Scalars ---


def _scalar(shape: Shape, value: Json, field: str | None = None) -> tuple[Json, tuple[Fault, ...]]:
    try:
        return _SCALARS[shape.type](shape, value), ()
    except _UnfitError as unfit:
        return None, (Fault(unfit.code, unfit.message, value, field),)


# What is in its normal form already is found out first: stored values are, and many are read.


def _integer(_shape: Shape, value: Json) -> int:
    if type(value) is int and -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return value
    expectation = "must be a whole number"
    return _whole(_finite(value, expectation), expectation)


def _float(_shape: Shape, value: Json) -> float:
    if type(value) is float and math.isfinite(value):
        return value + 0.0  # -0.0 equals 0.0 but is written otherwise: keep one of them
    expectation = 'must be a number, or a percentage like "50%"'
    if isinstance(value, str):
        return _percentage(value, expectation)
    number = _finite(value, expectation)
    try:
        held = float(number)
    except OverflowError:
        held = math.inf
    if held != number:
        raise _UnfitError("too_large", "must be a number that a 64-bit float holds exactly")
    return held + 0.0


def _percentage(text: str, expectation: str) -> float:
    from ledger.amounts import percentage

    if (fraction := percentage(text)) is None:
        raise _UnfitError("wrong_type", expectation)
    return fraction


def _duration(_shape: Shape, value: Json) -> Number:
    expectation = 'must be a number of seconds, or a duration like "90s", "5m" or "1h30m"'
    if isinstance(value, str):
        return _seconds(value, expectation)
    number = _finite(value, expectation)
    if isinstance(number, float) and not number.is_integer():
        return float(number)
    return _whole(number, expectation)


def _seconds(text: str, expectation: str) -> Number:
    from ledger.amounts import seconds

    if (number := seconds(text)) is None:
        raise _UnfitError("wrong_type", expectation)
    return number if isinstance(number, float) else _whole(number, expectation)


def _boolean(_shape: Shape, value: Json) -> bool:
    if not isinstance(value, bool):
        raise _UnfitError("wrong_type", "must be true or false")
    return value


def _enum(shape: Shape, value: Json) -> str:
    if type(value) is str and value in (shape.values or ()):
        return value
    expectation = f"must be one of {choices(shape)}"
    if not isinstance(value, str):
        raise _UnfitError("wrong_type", expectation)
    chosen = _choice(shape, value)
    if chosen is None:
        raise _UnfitError("not_in_enum", expectation)
    return chosen


def _finite(value: Json, expectation: str) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _UnfitError("wrong_type", expectation)
    if not isinstance(value, int) and not math.isfinite(value):
        raise _UnfitError("not_finite", "must be finite")
    return value


def _whole(number: Number, expectation: str) -> int:
    if isinstance(number, float) and not number.is_integer():
        raise _UnfitError("wrong_type", expectation)
    whole = int(number)
    if abs(whole) > LARGEST_INTEGER:
        raise _UnfitError("too_large", f"must lie within ±{LARGEST_INTEGER}")
    return whole


def choices(shape: Shape) -> str:
    """List the values of an enum for a message."""
    return ", ".join(shape.values or ())


def _choice(shape: Shape, text: str) -> str | None:
    wanted = text.strip().casefold()
    return next((known for known in shape.values or () if known.casefold() == wanted), None)


_SCALARS: dict[LeverType, Callable[[Shape, Json], Json]] = {
    LeverType.INTEGER: _integer,
    LeverType.FLOAT: _float,
    LeverType.DURATION: _duration,
    LeverType.BOOLEAN: _boolean,
    LeverType.ENUM: _enum,
}


# --- Lists and objects ---


def _enum_list(lever: Lever, value: Json) -> tuple[Json, tuple[Fault, ...]]:
    if not isinstance(value, list | tuple):
        expectation = f"must be a list of one or more of {choices(lever)}"
        return None, (Fault("wrong_type", expectation, value),)
    if not value:
        return None, (Fault("empty_list", "must name at least one value", value),)
    chosen = [_choice(lever, item) if isinstance(item, str) else None for item in value]
    faults = tuple(_list_faults(lever, value, chosen))
    return (None, faults) if faults else (chosen, ())


def _list_faults(lever: Lever, value: Json, chosen: list[str | None]) -> Iterable[Fault]:
    unknown = [item for item, choice in zip(value, chosen, strict=True) if choice is None]
    if unknown:
        yield Fault("not_in_enum", f"must only name {choices(lever)}", unknown)
    repeated = [choice for choice in lever.values or () if chosen.count(choice) > 1]
    if repeated:
        yield Fault("repeated_value", "must name each value once", repeated)


def _object(lever: Lever, value: Json) -> tuple[Json, tuple[Fault, ...]]:
    fields = lever.fields or {}
    if not isinstance(value, dict):
        expectation = f"must be an object with some of the fields {', '.join(fields)}"
        return None, (Fault("wrong_type", expectation, value),)
    if not value:
        return None, (Fault("empty_object", "must set at least one field", value),)
    normal: dict[str, Json] = {}
    faults: list[Fault] = []
    for name, part in value.items():
        sound, found = _field(fields, name, part)
        faults += found
        if not found:
            normal[name] = sound
    return normal, tuple(faults)


def _field(fields: Mapping[str, Field], name: str, part: Json) -> tuple[Json, tuple[Fault, ...]]:
    if name not in fields:
        expectation = f"is none of its fields {', '.join(fields)}"
        return None, (Fault("unknown_field", expectation, part, name),)
    return _scalar(fields[name], part, name)


# --- Showing what was refused ---

_LONGEST_TEXT = 200
_MOST_PARTS = 20
_DEEPEST = 3
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def presentable(value: Json) -> Json:
    """Give a refused value as JSON that can be written and read: the odd parts as short text."""
    return _presentable(value, 0)


def _presentable(value: Json, depth: int) -> Json:
    match value:
        case None | bool():
            return value
        case int() | float():
            return _number(value)
        case str():
            return _short(value)
        case list() | tuple() | dict():
            return _parts(value, depth + 1)
    return f"({type(value).__name__})"


def _parts(value: list[Json] | tuple[Json, ...] | dict[str, Json], depth: int) -> Json:
    if depth > _DEEPEST or len(value) > _MOST_PARTS:
        return f"({len(value)} parts)"
    if isinstance(value, dict):
        return {_short(str(name)): _presentable(part, depth) for name, part in value.items()}
    return [_presentable(part, depth) for part in value]


def _number(value: Number) -> Json:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
    return int(value) if abs(value) <= LARGEST_INTEGER else _large(value)


def _large(number: int) -> str:
    # Python refuses to write integers of thousands of digits: it would take too long.
    bits = number.bit_length()
    return str(number) if bits <= 256 else f"(a whole number of {bits} bits)"


def _short(text: str) -> str:
    written = text[:_LONGEST_TEXT].encode(errors="backslashreplace").decode()
    return written if len(text) <= _LONGEST_TEXT else f"{written}…"
