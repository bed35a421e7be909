"""What is wrong with a payload, all of it, and what the ledger does about it.

| severity | when | effect |
|---|---|---|
| `error` | a lever or value without a normal form, a broken rule between levers | refused |
| `critical` | out of bounds on a critical lever | stored as a draft, never activated |
| `error`, `out_of_bounds` | outside by more than half the span, bounds strict | as `critical` |
| `warning` | any other value that is out of bounds | allowed and recorded |
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from ledger.amounts import excess, half_span
from ledger.catalog import Catalog
from ledger.levers import Lever, LeverType, Number, Rule, Shape
from ledger.values import Fault, normalise, presentable

Json = Any

OUT_OF_BOUNDS = "out_of_bounds"
CODES = frozenset(
    {
        OUT_OF_BOUNDS,
        "empty_list",
        "empty_object",
        "not_finite",
        "not_in_enum",
        "repeated_value",
        "rule_broken",
        "too_large",
        "unknown_field",
        "unknown_lever",
        "wrong_type",
    }
)
"""Every code a violation can have. They are part of the interface: add, never rename."""

_LONGEST_SHOWN = 80
_MOST_SUGGESTIONS = 20
"""Searching for a similar name costs milliseconds: a payload of junk gets only so many."""


class Severity(StrEnum):
    """How bad a violation is."""

    ERROR = "error"
    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a payload.

    `value` can always be written as JSON: what could not is there as text. `field` is the field
    of an object lever. `bounds` holds `min` and `max`, `values`, `fields` or `at_most`.
    """

    lever: str
    value: Json
    severity: Severity
    code: str
    message: str
    bounds: Mapping[str, Json] | None = None
    field: str | None = None

    def to_json(self) -> dict[str, Json]:
        """Write the violation; `field` only where there is one."""
        written = {
            "lever": self.lever,
            "value": self.value,
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
            "bounds": None if self.bounds is None else dict(self.bounds),
        }
        return written if self.field is None else {**written, "field": self.field}


@dataclass(frozen=True, slots=True)
class Checked:
    """A payload in normal form, without the levers that have none, and all its violations."""

    payload: dict[str, Json]
    violations: tuple[Violation, ...] = ()

    @property
    def refuses_draft(self) -> bool:
        """Tell whether the payload must not even be stored."""
        errors = (v for v in self.violations if v.severity is Severity.ERROR)
        return any(error.code != OUT_OF_BOUNDS for error in errors)

    @property
    def refuses_activation(self) -> bool:
        """Tell whether the payload must not come into force."""
        return any(v.severity is not Severity.WARNING for v in self.violations)


def validate(catalog: Catalog, payload: Mapping[str, Json], *, strict: bool) -> Checked:
    """Normalise a payload and list everything that is wrong with it, in the payload's order.

    `strict` is LIVEOPS_BOUNDS_STRICT: whether a value far out of bounds refuses activation.
    """
    normal: dict[str, Json] = {}
    violations: list[Violation] = []
    unknown = 0
    for name, value in payload.items():
        lever = catalog.levers.get(name)
        if lever is None:
            unknown += 1
            suggest = unknown <= _MOST_SUGGESTIONS
            violations.append(_unknown(catalog, name, value, suggest=suggest))
            continue
        stored, faults = normalise(lever, value)
        violations += [_faulty(lever, fault) for fault in faults]
        if not faults:
            normal[name] = stored
        if stored is not None:
            violations += _out_of_bounds(lever, stored, strict=strict)
    violations += [_broken(rule, normal) for rule in catalog.rules if not rule.holds(normal)]
    return Checked(normal, tuple(violations))


def _unknown(catalog: Catalog, name: str, value: Json, *, suggest: bool) -> Violation:
    shown = presentable(name)
    message = f"the catalog has no lever {shown}"
    similar = _similar(catalog, name) if suggest else None
    if similar is not None:
        message += f"; did you mean {similar}?"
    return Violation(shown, presentable(value), Severity.ERROR, "unknown_lever", message)


def _similar(catalog: Catalog, name: str) -> str | None:
    by_folded = {known.casefold(): known for known in catalog.levers}
    wanted = name[:128].strip().casefold()
    found = difflib.get_close_matches(wanted, by_folded, n=1)
    return by_folded[found[0]] if found else None


def _faulty(lever: Lever, fault: Fault) -> Violation:
    value = presentable(fault.value)
    field = None if fault.field is None else presentable(fault.field)
    message = f"{_named(lever, field)} {fault.expectation}; got {_shown(value)}"
    bounds = _bounds(lever, fault.field)
    return Violation(lever.name, value, Severity.ERROR, fault.code, message, bounds, field)


def _named(lever: Lever, field: str | None) -> str:
    return lever.name if field is None else f"{lever.name}.{field}"


def _shown(value: Json) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _bounds(lever: Lever, field: str | None) -> dict[str, Json] | None:
    shape: Shape = lever
    if lever.fields is not None:
        if field is None or field not in lever.fields:
            return {"fields": list(lever.fields)}
        shape = lever.fields[field]
    if shape.values is not None:
        return {"values": list(shape.values)}
    return None if shape.type is LeverType.BOOLEAN else {"min": shape.min, "max": shape.max}


def _out_of_bounds(lever: Lever, value: Json, *, strict: bool) -> Iterator[Violation]:
    for field, shape, number in _numbers(lever, value):
        beyond = excess(shape, number)
        if beyond == 0:
            continue
        far = beyond > half_span(shape)
        severity = Severity.CRITICAL if lever.critical else Severity.WARNING
        if far and strict and not lever.critical:
            severity = Severity.ERROR
        how = "far outside" if far else "outside"
        message = f"{_named(lever, field)} is {number}, {how} {shape.min} to {shape.max}"
        bounds = _bounds(lever, field)
        yield Violation(lever.name, number, severity, OUT_OF_BOUNDS, message, bounds, field)


def _numbers(lever: Lever, value: Json) -> Iterator[tuple[str | None, Shape, Number]]:
    if lever.fields is not None:
        for name, part in value.items():
            if lever.fields[name].max is not None:
                yield name, lever.fields[name], part
    elif lever.max is not None:
        yield None, lever, value


def _broken(rule: Rule, payload: Mapping[str, Json]) -> Violation:
    low, high = payload[rule.lower], payload[rule.upper]
    message = f"{rule.lower} is {low}, above {rule.upper}, which is {high}"
    return Violation(rule.lower, low, Severity.ERROR, "rule_broken", message, rule.to_json())
