"""Reading a catalog file: everything is checked, and a file that is wrong is refused whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ledger import targeting
from ledger.errors import CatalogError, escaped
from ledger.levers import (
    CHOICE,
    GATES,
    NUMERIC,
    ApplyAt,
    Fallback,
    Field,
    Lever,
    LeverType,
    Number,
    Rule,
    Shape,
    WhenStale,
)
from ledger.values import normalise

Json = Any

CONTEXT_NAMES = frozenset(targeting.CONTEXT_NAMES)
"""What a rule calls the rest of the context: no attribute can have one of these names."""

_LEVER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_VENDOR_MARGINS = ("VENDOR_MARGIN_MIN", "VENDOR_MARGIN_MAX")


class Parts(NamedTuple):
    """What a catalog file says."""

    levers: dict[str, Lever]
    rules: tuple[Rule, ...]
    attributes: dict[str, str] | None
    version: int
    source: str | None


def read_catalog(data: Json) -> Parts:
    """Read a catalog file; raises CatalogError with every lever that is wrong and why."""
    members = _members(data, "", ("levers",), ("catalog_version", "source", "rules", "attributes"))
    levers = _levers(members["levers"])
    return Parts(
        levers=levers,
        rules=_rules(members, levers),
        attributes=_attributes(members.get("attributes")),
        version=_version(members.get("catalog_version", 1)),
        source=_text(members, "source", "") if "source" in members else None,
    )


def _bad(pointer: str, detail: str) -> CatalogError:
    return _wrong([{"pointer": pointer, "detail": detail}])


def _wrong(errors: Sequence[Mapping[str, str]]) -> CatalogError:
    first = errors[0]
    where = f" at {first['pointer']}" if first["pointer"] else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    message = f"The lever catalog cannot be used{where}: {first['detail']}{more}"
    return CatalogError(message, errors=errors)


def _members(
    data: Json, pointer: str, required: Sequence[str], optional: Sequence[str]
) -> dict[str, Json]:
    """Read an object's members, without those that are null."""
    if not isinstance(data, Mapping):
        raise _bad(pointer, "must be an object")
    unknown = [name for name in data if name not in required and name not in optional]
    if unknown:
        allowed = ", ".join((*required, *optional))
        raise _bad(pointer, f"has the unknown member {str(unknown[0])[:128]!r}; allowed: {allowed}")
    members = {name: value for name, value in data.items() if value is not None}
    for name in required:
        if name not in members:
            raise _bad(pointer, f"lacks the member {name!r}")
    return members


def _text(members: Mapping[str, Json], name: str, pointer: str) -> str:
    value = members[name]
    if not _is_text(value):
        raise _bad(f"{pointer}/{name}", "must be a text")
    return str(value)


def _is_text(value: Json) -> bool:
    """Tell texts that UTF-8 can carry from everything else."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _version(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise _bad("/catalog_version", "must be a whole number from 1")
    return value


def _levers(data: Json) -> dict[str, Lever]:
    """Read all levers; what is wrong with each is gathered, so that one try shows it all."""
    if not isinstance(data, list) or not data:
        raise _bad("/levers", "must be a list of one or more levers")
    levers: dict[str, Lever] = {}
    wrong: list[Mapping[str, str]] = []
    for index, entry in enumerate(data):
        try:
            lever = _lever(entry, f"/levers/{index}")
            if lever.name in levers:
                raise _bad(f"/levers/{index}/name", "this name is taken by a lever above it")
            levers[lever.name] = lever
        except CatalogError as error:
            wrong += [_of_lever(entry, each) for each in error.errors]
    if wrong:
        raise _wrong(wrong)
    return levers


def _of_lever(entry: Json, error: Mapping[str, str]) -> Mapping[str, str]:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    known = isinstance(name, str) and _LEVER_NAME.fullmatch(name)
    return {**error, "detail": f"{name}: {error['detail']}"} if known else error


def _lever(data: Json, pointer: str) -> Lever:
    kind = _type(data, pointer)
    members = _members(
        data,
        pointer,
        ("name", "group", "type", "default", *_limits_of(kind)),
        ("unit", "critical", "description", "apply_at", "when_stale"),
    )
    lever = Lever(
        name=_name(members["name"], f"{pointer}/name"),
        group=_group(members, pointer),
        type=kind,
        default=None,
        **_limits(kind, members, pointer),
        fields=_fields(members["fields"], pointer) if kind is LeverType.OBJECT else None,
        unit=_unit(kind, members, pointer),
        critical=_flag(members, "critical", pointer),
        description=_text(members, "description", pointer) if "description" in members else "",
        apply_at=_apply_at(members, pointer),
    )
    return lever._replace(
        default=_default(lever, members["default"], f"{pointer}/default"),
        when_stale=_when_stale(lever, members, f"{pointer}/when_stale"),
    )


def _type(data: Json, pointer: str) -> LeverType:
    if not isinstance(data, Mapping):
        raise _bad(pointer, "must be an object")
    kind = data.get("type")
    if kind not in list(LeverType):
        raise _bad(f"{pointer}/type", f"must be one of {', '.join(LeverType)}")
    return LeverType(kind)


def _limits_of(kind: LeverType) -> tuple[str, ...]:
    if kind in NUMERIC:
        return ("min", "max")
    if kind in CHOICE:
        return ("values",)
    return ("fields",) if kind is LeverType.OBJECT else ()


def _name(value: Json, pointer: str) -> str:
    if not isinstance(value, str) or not _LEVER_NAME.fullmatch(value):
        raise _bad(pointer, "must be a letter, then up to 127 letters, digits, '_', '-' or '.'")
    return value


def _group(members: Mapping[str, Json], pointer: str) -> str:
    group = _text(members, "group", pointer)
    if not group or group != group.strip():
        raise _bad(f"{pointer}/group", "must be a name")
    return group


def _flag(members: Mapping[str, Json], name: str, pointer: str) -> bool:
    value = members.get(name, False)
    if not isinstance(value, bool):
        raise _bad(f"{pointer}/{name}", "must be true or false")
    return value


def _unit(kind: LeverType, members: Mapping[str, Json], pointer: str) -> str | None:
    unit = _text(members, "unit", pointer) if "unit" in members else None
    if kind is not LeverType.DURATION:
        return unit
    if unit not in {None, "s", "seconds"}:
        raise _bad(f"{pointer}/unit", "must be 'seconds': every duration is stored in seconds")
    return unit or "seconds"


def _apply_at(members: Mapping[str, Json], pointer: str) -> ApplyAt:
    value = members.get("apply_at", "turn")
    if value not in list(ApplyAt):
        raise _bad(f"{pointer}/apply_at", f"must be one of {', '.join(ApplyAt)}")
    return ApplyAt(value)


def _when_stale(lever: Lever, members: Mapping[str, Json], pointer: str) -> WhenStale | None:
    if "when_stale" not in members:
        return None
    parts = _members(members["when_stale"], pointer, ("do", "after"), ())
    if parts["do"] not in list(Fallback):
        raise _bad(f"{pointer}/do", f"must be one of {', '.join(Fallback)}")
    do = Fallback(parts["do"])
    if do is Fallback.CLOSE and lever.closed is None:
        raise _bad(f"{pointer}/do", f"only a lever of the group {GATES} that can be off can close")
    after = _bound(LeverType.DURATION, parts["after"], f"{pointer}/after")
    if after <= 0:
        raise _bad(f"{pointer}/after", "must be longer than no time at all")
    return WhenStale(do, after)


def _limits(kind: LeverType, members: Mapping[str, Json], pointer: str) -> dict[str, Json]:
    if kind in CHOICE:
        return {"values": _values(members["values"], f"{pointer}/values")}
    if kind not in NUMERIC:
        return {}
    low, high = (_bound(kind, members[name], f"{pointer}/{name}") for name in ("min", "max"))
    if low > high:
        raise _bad(f"{pointer}/min", f"{low} is above max, which is {high}")
    return {"min": low, "max": high}


def _bound(kind: LeverType, value: Json, pointer: str) -> Number:
    number: Number = _normal(Lever("", "", kind, None), value, pointer)
    return number


def _values(data: Json, pointer: str) -> tuple[str, ...]:
    if not isinstance(data, list) or not data:
        raise _bad(pointer, "must be a list of one or more texts")
    for index, value in enumerate(data):
        if not _is_text(value) or not value or value != value.strip():
            raise _bad(f"{pointer}/{index}", "must be a text without white space at its ends")
    if len({value.casefold() for value in data}) < len(data):
        raise _bad(pointer, "must differ from each other in more than case")
    return tuple(data)


def _fields(data: Json, pointer: str) -> dict[str, Field]:
    if not isinstance(data, Mapping) or not data:
        raise _bad(f"{pointer}/fields", "must be an object of one or more fields")
    return {
        _name(name, f"{pointer}/fields"): _field(entry, f"{pointer}/fields/{name}")
        for name, entry in data.items()
    }


def _field(data: Json, pointer: str) -> Field:
    kind = _type(data, pointer)
    if kind in {LeverType.OBJECT, LeverType.ENUM_LIST}:
        raise _bad(f"{pointer}/type", "must be a single value: no field is a list or an object")
    members = _members(data, pointer, ("type", *_limits_of(kind)), ())
    return Field(kind, **_limits(kind, members, pointer))


def _default(lever: Lever, value: Json, pointer: str) -> Json:
    default = _normal(lever, value, pointer)
    for name, shape, part in _parts(lever, default):
        if part is None:
            raise _bad(pointer, f"must set the field {name}")
        low, high = shape.min, shape.max
        if low is not None and high is not None and not low <= part <= high:
            raise _bad(pointer, f"{part} lies outside {low} to {high}")
    return default


def _parts(lever: Lever, default: Json) -> Iterator[tuple[str, Shape, Json]]:
    if lever.fields is None:
        yield lever.name, lever, default
        return
    for name, shape in lever.fields.items():
        yield name, shape, default.get(name)


def _normal(lever: Lever, value: Json, pointer: str) -> Json:
    normal, faults = normalise(lever, value)
    for fault in faults:
        at = pointer if fault.field is None else f"{pointer}/{escaped(fault.field)}"
        raise _bad(at, fault.expectation)
    return normal


# --- Rules and attributes ---


def _rules(members: Mapping[str, Json], levers: Mapping[str, Lever]) -> tuple[Rule, ...]:
    data = members.get("rules")
    if data is None:
        data = _implied_rules(levers)
    if not isinstance(data, list):
        raise _bad("/rules", "must be a list")
    rules = tuple(_rule(entry, f"/rules/{index}", levers) for index, entry in enumerate(data))
    named = [name for rule in rules for name in (rule.lower, rule.upper)]
    # What a broken rule falls back to must not break another one: each lever is in one at most.
    for name in named:
        if named.count(name) > 1:
            raise _bad("/rules", f"{name} is named twice; a lever can be in one rule only")
    return rules


def _implied_rules(levers: Mapping[str, Lever]) -> list[Json]:
    """Give a file that says nothing of rules the one that every game's vendors keep."""
    known = [levers[name] for name in _VENDOR_MARGINS if name in levers]
    if len(known) < 2 or any(lever.type not in NUMERIC for lever in known):
        return []
    return [Rule(*_VENDOR_MARGINS).to_json()]


def _rule(data: Json, pointer: str, levers: Mapping[str, Lever]) -> Rule:
    names = _members(data, pointer, ("at_most",), ())["at_most"]
    at = f"{pointer}/at_most"
    if not isinstance(names, list) or len(names) != 2:
        raise _bad(at, "must name two levers")
    for name in names:
        lever = levers.get(name) if isinstance(name, str) else None
        if lever is None or lever.type not in NUMERIC:
            raise _bad(at, f"{str(name)[:128]!r} is not a numeric lever of this catalog")
    rule = Rule(names[0], names[1])
    if not rule.holds({name: levers[name].default for name in names}):
        raise _bad(at, "does not hold for the defaults")
    return rule


def _attributes(data: Json) -> dict[str, str] | None:
    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise _bad("/attributes", "must be an object of names and types")
    for name, kind in data.items():
        if not _IDENTIFIER.fullmatch(name) or name in CONTEXT_NAMES:
            raise _bad("/attributes", f"{name[:128]!r} cannot be the name of an attribute")
        try:
            targeting.read_type(kind if isinstance(kind, str) else "")
        except ValueError as error:
            raise _bad(f"/attributes/{name}", str(error)) from None
    return dict(data)
