"""Who is in a rollout: a stable hash of one unit's value against a percentage.

Each purpose hashes with its own salt, so that being early in one rollout says nothing about the
next. Percentages are whole thousandths of a percent here: comparing them is exact.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import mmh3

from ledger.clock import Instant, format_instant, parse_instant
from ledger.errors import InvalidRollout

Json = Any

EVERYONE = 100_000
"""All units, in thousandths of a percent; a bucket is always below it."""

DEFAULT_UNIT = "session_id"
LONGEST_SALT = 256
_NOT_UNITS = frozenset({"turn_id", "experiment_id", "variation", "at"})
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)

hash_bytes: Callable[[bytes], int] = mmh3.mmh3_32_uintdigest
"""murmur3_x86_32 of bytes, unsigned, seed 0. It takes no str: mmh3's functions that do end the
process on one that UTF-8 cannot encode, such as a lone surrogate, which JSON can carry."""


def unit_hash(salt: str, unit_value: str) -> int:
    """Hash a unit's value for one purpose: that is murmur3_x86_32 of `salt:value`."""
    return hash_bytes(salt_bytes(salt) + _encoded(unit_value))


def bucket(salt: str, unit_value: str) -> int:
    """Give a unit's fixed place from 0 to 99,999; it is in when that is below the threshold."""
    return (unit_hash(salt, unit_value) * EVERYONE) >> 32


def gate_limit(thousandths: int) -> int:
    """Give the limit that a hash is below exactly when its bucket is below the thousandths."""
    return -((-thousandths << 32) // EVERYONE)


def choose(weights: Sequence[int], h: int) -> int:
    """Give the index of what a hash draws: the first whose cumulative weight is above its place.

    At least one weight must be above 0; what weighs nothing is never drawn.
    """
    return bisect_right(choice_limits(weights), h)


def choice_limits(weights: Sequence[int]) -> tuple[int, ...]:
    """Give the limits of a draw: it falls on the first that is above the hash."""
    cumulative = tuple(accumulate(weights))
    return tuple(-((-weight << 32) // cumulative[-1]) for weight in cumulative)


def salt_bytes(salt: str) -> bytes:
    """Encode what stands before a unit's bytes where one purpose hashes them."""
    return _encoded(f"{salt}:")


def unit_bytes(value: Json) -> bytes | None:
    """Encode a unit's value as it is hashed; None when it cannot be a unit."""
    text = value if type(value) is str else unit_text(value)
    return None if text is None else _encoded(text)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # "surrogatepass" gives every str some bytes
        return text.encode(errors="surrogatepass")


def unit_text(value: Json) -> str | None:
    """Write a unit's value as the text that is hashed; None when it cannot be a unit.

    Texts are themselves; booleans and numbers are as JavaScript and RFC 8785 write them in JSON,
    5.0 as 5 because JSON does not tell them apart, but whole numbers of up to 64 bits in full.
    Null, lists, objects and what JSON cannot carry are no units.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if math.isfinite(value):
            return _double_text(value)
        case int() if -(2**63) <= value < 2**64:
            return str(int(value))
    return None


def _double_text(number: float) -> str:
    """Write the shortest digits that read back, with an exponent below 1e-6 and from 1e21 on."""
    mantissa, _, exponent = float.__repr__(number or 0.0).partition("e")
    power = int(exponent or 0)
    if not power:
        return mantissa.removesuffix(".0")
    if not -7 < power < 21:
        return f"{mantissa}e{power:+}"
    whole, _, fraction = mantissa.partition(".")
    if power > 0:
        return whole + fraction.ljust(power, "0")
    sign, digit = whole[:-1], whole[-1]
    return f"{sign}0.{digit:0>{-power}}{fraction}"


class Step(NamedTuple):
    """One step of a ramp: from `at` on, so many thousandths of a percent are in."""

    at: Instant
    percentage: int


class Rollout(NamedTuple):
    """Which units are in: a fixed percentage, in thousandths, or a ramp of them over time.

    Exactly one of `percentage` and `ramp` is there. Without a salt the config's id is used.
    """

    percentage: int | None = None
    unit: str = DEFAULT_UNIT
    salt: str | None = None
    ramp: tuple[Step, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Rollout:
        """Read a rollout; raises InvalidRollout with a pointer to the member that is wrong."""
        members = _members(data, "", ("percentage", "unit", "salt", "ramp"))
        if ("percentage" in members) == ("ramp" in members):
            raise _bad("", "needs either a percentage or a ramp")
        return cls(
            percentage=_thousandths(members["percentage"], "/percentage")
            if "percentage" in members
            else None,
            unit=_unit(members.get("unit", DEFAULT_UNIT)),
            salt=_salt(members["salt"]) if "salt" in members else None,
            ramp=_ramp(members["ramp"]) if "ramp" in members else (),
        )

    def to_json(self) -> dict[str, Json]:
        """Write the rollout so that `from_json` reads an equal one."""
        written: dict[str, Json] = {}
        if self.percentage is not None:
            written["percentage"] = percent(self.percentage)
        written["unit"] = self.unit
        if self.salt is not None:
            written["salt"] = self.salt
        if self.ramp:
            written["ramp"] = [
                {"at": format_instant(step.at), "percentage": percent(step.percentage)}
                for step in self.ramp
            ]
        return written

    def threshold(self, clock: Instant) -> int:
        """Give the thousandths of a percent that are in at an instant; before a ramp none."""
        if self.percentage is not None:
            return self.percentage
        reached = bisect_right(self.ramp, clock, key=lambda step: step.at)
        return self.ramp[reached - 1].percentage if reached else 0

    def includes(self, unit_value: str | None, default_salt: str, clock: Instant) -> bool:
        """Tell whether a unit is in at an instant; a missing unit never is."""
        if unit_value is None:
            return False
        salt = default_salt if self.salt is None else self.salt
        return bucket(salt, unit_value) < self.threshold(clock)


def _bad(pointer: str, detail: str) -> InvalidRollout:
    subject = f"the rollout's {pointer[1:]}" if pointer else "the rollout"
    return InvalidRollout(f"{subject} {detail}", pointer=f"/rollout{pointer}")


def _members(data: Json, pointer: str, allowed: tuple[str, ...]) -> dict[str, Json]:
    """Read an object's members, without those that are null."""
    if not isinstance(data, Mapping):
        raise _bad(pointer, "must be an object")
    unknown = next((name for name in data if name not in allowed), None)
    if unknown is not None:
        raise _bad(pointer, f"has the unknown member {str(unknown)[:128]!r}")
    return {name: value for name, value in data.items() if value is not None}


def thousandths(value: Json) -> int:
    """Read a percentage; raises ValueError with what it must be."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError("must be a number from 0 to 100")
    # As the decimal that was written: 33.333 times 1000 is not whole in binary, but 33333 divided
    # by 1000 is the double that 33.333 is read as.
    read = round(value * 1000)
    if read / 1000 != value:
        raise ValueError("must be in steps of 0.001")
    return read


def percent(thousandths: int) -> int | float:
    """Write a percentage so that `thousandths` reads the same."""
    whole, rest = divmod(thousandths, 1000)
    return thousandths / 1000 if rest else whole


def is_unit(name: Json) -> bool:
    """Tell whether something names what can be counted by: a session, a place, an attribute."""
    return isinstance(name, str) and bool(_IDENTIFIER.fullmatch(name)) and name not in _NOT_UNITS


def _thousandths(value: Json, pointer: str) -> int:
    try:
        return thousandths(value)
    except ValueError as error:
        raise _bad(pointer, str(error)) from None


def _unit(value: Json) -> str:
    if not is_unit(value):
        raise _bad("/unit", "must be session_id, world_id, adventure_id or an attribute's name")
    return str(value)


def _salt(value: Json) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_SALT or not _in_utf8(value):
        raise _bad("/salt", f"must be a text of 1 to {LONGEST_SALT} characters")
    return value


def _in_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _ramp(value: Json) -> tuple[Step, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise _bad("/ramp", "must be a list of one or more steps")
    steps = tuple(_step(entry, f"/ramp/{index}") for index, entry in enumerate(value))
    for index, (earlier, later) in enumerate(pairwise(steps), start=1):
        if later.at <= earlier.at:
            raise _bad(f"/ramp/{index}/at", "must be later than the step before it")
    return steps


def _step(value: Json, pointer: str) -> Step:
    members = _members(value, pointer, ("at", "percentage"))
    for name in ("at", "percentage"):
        if name not in members:
            raise _bad(pointer, f"lacks the member {name!r}")
    at = _instant(members["at"], f"{pointer}/at")
    return Step(at, _thousandths(members["percentage"], f"{pointer}/percentage"))


def _instant(value: Json, pointer: str) -> Instant:
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except ValueError:
        raise _bad(pointer, "must be an instant like 2026-01-31T18:05:00Z") from None
