"""Levers in OpenFeature's terms: each one of an explained answer as a flag.

A lever always has a value, so a flag has one too: the catalog's default where no config supplies
another, and the kill value (a gate's `off`) where the lever is killed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from ledger.errors import NotFound
from ledger.live import Activation
from ledger.resolve import Explained, Reason, Resolution
from ledger.scopes import Context, Place, Scope, experiment_places

Json = Any
Metadata = dict[str, str | int | float | bool]

DEFAULT_VARIANT = "default"
KILLED_VARIANT = "killed"
FALLBACK_VARIANT = "fallback"


class FlagType(StrEnum):
    """The types that a flag can be asked as."""

    BOOLEAN = "boolean"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    OBJECT = "object"


class TypeMismatch(TypeError):
    """The flag's value is not of the type that it was asked as."""


class Flag(NamedTuple):
    """One lever of an answer; `reason` and `variant` are the lever's own, not the whole answer's.

    `variant` is the name of the config that supplied the value, `default` when none did, `killed`
    for a killed lever, `fallback` for one that falls back to another value without fresh data.
    `metadata` has `ledger_position` (how much of the ledger was known) and, unless the value is
    the catalog's, `version`: the position of the event that it comes from.
    """

    key: str
    value: Json
    reason: Reason
    variant: str
    metadata: Metadata

    @property
    def type(self) -> FlagType:
        """The narrowest type that the flag can be asked as."""
        return flag_type(self.value)

    @property
    def switched_off(self) -> bool:
        """Whether the system as a whole is disabled, and not this lever by a kill."""
        return self.reason is Reason.DISABLED and "version" not in self.metadata

    @property
    def fell_back(self) -> bool:
        """Whether the data was too old for this lever, and it has the value for that case."""
        return "fallback" in self.metadata

    def as_type(self, wanted: FlagType) -> Json:
        """Give the value as one type; raises TypeMismatch.

        Whole numbers are floats as well, if that is asked; nothing else is of two types.
        """
        if self.type is wanted:
            return self.value
        if self.type is FlagType.INTEGER and wanted is FlagType.FLOAT:
            return float(self.value)
        raise TypeMismatch(f"{self.key} is {_an(self.type)}: it cannot be asked as {_an(wanted)}")


def flag_type(value: Json) -> FlagType:
    """Name the type of a lever's value in its normal form.

    A float lever's is always a float, a duration's an integer when it has no parts of a second.
    """
    match value:
        case bool():
            return FlagType.BOOLEAN
        case str():
            return FlagType.STRING
        case int():
            return FlagType.INTEGER
        case float():
            return FlagType.FLOAT
    return FlagType.OBJECT


def flags(resolution: Resolution, context: Context) -> dict[str, Flag]:
    """Give every lever of an explained answer to a context as a flag, in catalog order."""
    assigned = _assigned_places(resolution, context)
    return {key: _flag(resolution, key, assigned) for key in resolution.values}


def flag(resolution: Resolution, context: Context, key: str) -> Flag:
    """Give one lever of an explained answer to a context as a flag; raises NotFound."""
    if key not in resolution.values:
        raise NotFound(f"There is no lever {key[:128]!r} in the catalog.")
    return _flag(resolution, key, _assigned_places(resolution, context))


def _assigned_places(resolution: Resolution, context: Context) -> frozenset[Place]:
    """Name the places that running experiments took the context to, and not its own word."""
    if not resolution.experiments:
        return frozenset()
    reached = experiment_places(resolution.experiments)
    return frozenset(reached).difference(context.places(Scope.EXPERIMENT))


def _flag(resolution: Resolution, key: str, assigned: Collection[Place]) -> Flag:
    known: Metadata = {"ledger_position": resolution.position}
    value = resolution.values[key]
    if resolution.reason is Reason.DISABLED:
        return Flag(key, value, Reason.DISABLED, DEFAULT_VARIANT, known)
    if resolution.explanation is None:
        raise ValueError("the answer says nothing of its reasons: resolve with explain=True")
    explained = resolution.explanation[key]
    if value != explained.value:
        return Flag(key, value, Reason.DEFAULT, FALLBACK_VARIANT, {"fallback": True, **known})
    if explained.killed is not None:
        killed = {"version": explained.killed.position, **known}
        return Flag(key, value, Reason.DISABLED, KILLED_VARIANT, killed)
    if explained.source is None:
        return Flag(key, value, Reason.DEFAULT, DEFAULT_VARIANT, known)
    source = explained.source
    reason = _reason(_sources(explained), assigned)
    return Flag(key, value, reason, source.pinned.name, {**_supplied(source), **known})


def _sources(explained: Explained) -> Iterable[Activation]:
    # Of an object lever each field may come from another config.
    return explained.fields.values() or filter(None, [explained.source])


def _reason(sources: Iterable[Activation], assigned: Collection[Place]) -> Reason:
    pinned = [source.pinned for source in sources]
    if any(each.rollout or each.place in assigned for each in pinned):
        return Reason.SPLIT
    if any(each.targeting for each in pinned):
        return Reason.TARGETING_MATCH
    return Reason.STATIC


def _supplied(source: Activation) -> Metadata:
    pinned = source.pinned
    return {
        "version": source.origin.position,
        "config_id": str(source.config_id),
        "revision": pinned.revision,
        "scope": pinned.place.scope.value,
        "scope_ref": pinned.place.ref,
    }


def _an(named: FlagType) -> str:
    article = "an" if named[0] in "aeiou" else "a"
    return f"{article} {named.value}"
