"""Who asks, in Python: an evaluation context of the SDK as a context of a game."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import InvalidContextError, TargetingKeyMissingError

from ledger.clock import format_instant, from_datetime
from ledger.evaluation_context import InvalidContext, NoTargetingKey, context_of
from ledger.scopes import Context

Json = Any
Parts = Mapping[Any, object] | list[object] | tuple[object, ...]

DEEPEST = 20


def read_context(asked: EvaluationContext | None) -> Context:
    """Read an evaluation context; its attributes become JSON values, a datetime RFC 3339 in UTC.

    Raises TargetingKeyMissingError, and InvalidContextError that says what is wrong where.
    """
    told = EvaluationContext() if asked is None else asked
    try:
        return context_of(told.targeting_key, _attributes(told.attributes))
    except NoTargetingKey as error:
        raise TargetingKeyMissingError(error.message) from None
    except InvalidContext as error:
        raise InvalidContextError(error.message) from None


def _attributes(given: Mapping[str, object]) -> dict[str, Json]:
    return {_name("the context", name): _plain(name, value) for name, value in given.items()}


def _plain(where: str, value: object, depth: int = 0) -> Json:
    """Give a value as JSON has it, of the very types that rules know: no subclasses."""
    match value:
        case None | bool():
            return value
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case datetime():
            return _instant(where, value)
        case Mapping() | list() | tuple():
            return _parts(where, value, depth + 1)
    raise InvalidContextError(
        f"{where}: {_short(value)} cannot be read by rules: give a text, a finite number, a bool, "
        "None, a datetime, or a list or mapping of these"
    )


def _parts(where: str, value: Parts, depth: int) -> Json:
    if depth > DEEPEST:
        raise InvalidContextError(f"{where}: lies deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        named = {_name(where, name): part for name, part in value.items()}
        return {name: _plain(f"{where}.{name}", part, depth) for name, part in named.items()}
    return [_plain(f"{where}[{index}]", part, depth) for index, part in enumerate(value)]


def _name(where: str, name: object) -> str:
    if not isinstance(name, str):
        raise InvalidContextError(f"{where}: {_short(name)} cannot be a name: give a text")
    return str.__str__(name)


def _instant(where: str, value: datetime) -> str:
    # The specification: "If no timezone is specified, the date and time will be treated as UTC."
    aware = value.replace(tzinfo=UTC) if value.utcoffset() is None else value
    try:
        return format_instant(from_datetime(aware))
    except OverflowError:
        raise InvalidContextError(f"{where}: lies outside the years 1 to 9999 in UTC") from None


def _short(value: object) -> str:
    return f"a value of the type {type(value).__name__}"
