"""The naive model's levers: numbers, hashes, normalising and violations (SPEC §3 and §5)."""

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

Json = Any

MARGINS = ("VENDOR_MARGIN_MIN", "VENDOR_MARGIN_MAX")


def murmur3(data: bytes, seed: int = 0) -> int:
    """Return the 32-bit x86 variant of MurmurHash3, unsigned, step by step as it is published."""

    def word(number: int) -> int:
        return number % 2**32

    def turned(number: int, by: int) -> int:
        return word(number << by) | (number >> (32 - by))

    def scrambled(block: int) -> int:
        return word(turned(word(block * 0xCC9E2D51), 15) * 0x1B873593)

    h = seed
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        h ^= scrambled(int.from_bytes(data[start : start + 4], "little"))
        h = word(turned(h, 13) * 5 + 0xE6546B64)
    if whole < len(data):
        h ^= scrambled(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = word((h ^ (h >> 16)) * 0x85EBCA6B)
    h = word((h ^ (h >> 13)) * 0xC2B2AE35)
    return h ^ (h >> 16)


def bucket_of(salt: str, unit: str) -> int:
    """Return the thousandth of a percent, 0 … 99,999, that a unit falls into."""
    return (murmur3(f"{salt}:{unit}".encode()) * 100_000) >> 32


def exact(number: float) -> Fraction:
    """Return the number that was written: 0.1 is a tenth, whatever its binary form is."""
    return Fraction(Decimal(str(number)))


class UnacceptableError(Exception):
    """The value cannot be one of this lever's values at all."""


def normalised(entry: Mapping[str, Json], value: Json) -> Json:
    """Return the value as it is stored, or raise UnacceptableError."""
    kind = entry["type"]
    if kind == "float":
        return _float(value)
    if kind == "integer":
        return _integer(value)
    if kind == "boolean":
        return _boolean(value)
    if kind == "enum":
        return _enum(entry["values"], value)
    if kind == "enum_list":
        return _enum_list(entry["values"], value)
    if kind == "object":
        return _object(entry["fields"], value)
    if kind == "duration":
        return _duration(value)
    raise AssertionError(kind)


def _float(value: Json) -> float:
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?%", value.strip()):
        return float(Decimal(value.strip()[:-1]) / 100)
    return float(_number(value))


def _integer(value: Json) -> int:
    number = _number(value)
    if number != int(number):
        raise UnacceptableError
    return int(number)


def _number(value: Json) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnacceptableError
    if isinstance(value, float) and not math.isfinite(value):
        raise UnacceptableError
    return value


def _boolean(value: Json) -> bool:
    if not isinstance(value, bool):
        raise UnacceptableError
    return value


def _enum(values: Iterable[str], value: Json) -> str:
    for one in values:
        if isinstance(value, str) and value.strip().lower() == one.lower():
            return one
    raise UnacceptableError


def _enum_list(values: Iterable[str], value: Json) -> list[str]:
    if not isinstance(value, list) or not value:
        raise UnacceptableError
    texts = [_enum(values, one) for one in value]
    if len(set(texts)) != len(texts):
        raise UnacceptableError
    return texts


def _object(fields: Mapping[str, Json], value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise UnacceptableError
    if any(name not in fields for name in value):
        raise UnacceptableError
    return {name: normalised(fields[name], value[name]) for name in value}


def _duration(value: Json) -> int | float:
    if not isinstance(value, str):
        return _number(value)
    parts = re.fullmatch(r"(?=.)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", value.strip())
    if parts is None:
        raise UnacceptableError
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds


def accepts(entry: Mapping[str, Json] | None, value: Json) -> bool:
    """Say whether the value is one of the lever's type; a lever of None is unknown."""
    if entry is None:
        return False
    try:
        normalised(entry, value)
    except UnacceptableError:
        return False
    return True


def severities(catalog: Mapping[str, Json], payload: Mapping[str, Json]) -> set[str]:
    """Return which of error, critical, range and warning the payload's violations are."""
    levers = {entry["name"]: entry for entry in catalog["levers"]}
    found: set[str] = set()
    for name, value in payload.items():
        if not accepts(levers.get(name), value):
            found.add("error")
        else:
            found |= _out_of_bounds(levers[name], normalised(levers[name], value))
    if "error" not in found and all(name in payload for name in MARGINS):
        low, high = (normalised(levers[name], payload[name]) for name in MARGINS)
        if low > high:
            found.add("error")
    return found


def _out_of_bounds(entry: Mapping[str, Json], value: Json) -> set[str]:
    found: set[str] = set()
    if entry["type"] == "object":
        for name, part in value.items():
            field = {"critical": entry["critical"], **entry["fields"][name]}
            found |= _out_of_bounds(field, part)
    if "min" not in entry or "max" not in entry:
        return found
    low, high, number = exact(entry["min"]), exact(entry["max"]), exact(value)
    beyond = max(low - number, number - high)
    if beyond > 0 and entry["critical"]:
        found.add("critical")
    elif beyond > (high - low) / 2:
        found.add("range")
    elif beyond > 0:
        found.add("warning")
    return found
