"""OpenFeature's evaluation contexts as contexts of a game: the one reading for all who speak it.

| evaluation context | context |
|---|---|
| targeting key | `session_id`, which may stand among the attributes too if it is the same text |
| `world_id`, `adventure_id`, `experiment_id`, `variation` | the same |
| `turn_id` | the same; 5.0 is 5, for not every language tells them apart |
| `experiments` | variations by experiment, null where it is not known |
| whatever else | an attribute for rules and rollouts, as it is |

What is null among the reserved names is not there. `at` belongs to rules: no caller can set it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.errors import Invalid, escaped
from ledger.scopes import LONGEST_REF, Context

Json = Any

MOST_TURNS = 2**31 - 1

_REFS = ("world_id", "adventure_id", "experiment_id", "variation")
_RESERVED = frozenset({"session_id", "turn_id", "experiments", "at", *_REFS})


class InvalidContext(Invalid):
    """The evaluation context says of the game what cannot be."""


class NoTargetingKey(InvalidContext):
    """The evaluation context names no session: set its targeting key."""


def context_of(targeting_key: Json, attributes: Mapping[str, Json]) -> Context:
    """Read an evaluation context; raises InvalidContext, NoTargetingKey where there is no key.

    Attributes are taken as they are: JSON values, or what else rules can compare.
    """
    if targeting_key is None or targeting_key == "":
        raise NoTargetingKey(errors=[{"pointer": "/targetingKey", "detail": "is required"}])
    reserved = {name: attributes[name] for name in _RESERVED & attributes.keys()}
    given = {name: value for name, value in reserved.items() if value is not None}
    session_id = _ref("targetingKey", targeting_key)
    if given.get("session_id", session_id) != session_id:
        raise _wrong("session_id", "the session is the targeting key: name one and the same")
    if "at" in given:
        raise _wrong("at", "the instant is not the caller's to say; name the attribute otherwise")
    if "variation" in given and "experiment_id" not in given:
        raise _wrong("variation", "a variation needs its experiment_id")
    return Context(
        session_id=session_id,
        turn_id=_turn(given.get("turn_id")),
        experiments=_experiments(given.get("experiments", {})),
        attributes={name: attributes[name] for name in attributes if name not in _RESERVED},
        **{name: _ref(name, given[name]) for name in _REFS if name in given},
    )


def _ref(name: str, value: Json) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_REF:
        raise _wrong(name, f"must be a text of 1 to {LONGEST_REF} characters")
    return value


def _turn(value: Json) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (type(value) is int and 0 <= value <= MOST_TURNS):
        return value
    raise _wrong("turn_id", f"must be a whole number from 0 to {MOST_TURNS}")


def _experiments(value: Json) -> dict[str, str | None]:
    if not isinstance(value, Mapping):
        raise _wrong("experiments", "must be an object of variations by experiment")
    return {
        _ref("experiments", experiment): None if variation is None else _ref(experiment, variation)
        for experiment, variation in value.items()
    }


def _wrong(name: str, detail: str) -> InvalidContext:
    fault = {"pointer": f"/{escaped(name)}", "detail": detail}
    return InvalidContext(f"{name[:128]}: {detail}", errors=[fault])
