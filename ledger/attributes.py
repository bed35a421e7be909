"""Numbers of a context's attributes, read in the type that the catalog declares for them.

JSON does not tell 5 from 5.0, and what writes it chooses as it likes; to a targeting rule they
are an int and a double, which CEL does not add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import is_
from typing import Any

from ledger.targeting.types import Type, read_type
from ledger.targeting.values import INT_MAX, INT_MIN

Json = Any
Reader = Callable[[Json], Json]


def readers(declared: Mapping[str, str] | None) -> dict[str, Reader]:
    """Give what reads each attribute that is declared to be, or to hold, numbers of one type.

    A reader returns the very object that it was given when there is nothing to change in it.
    """
    if not declared:
        return {}
    found = ((name, _reader(read_type(text))) for name, text in declared.items())
    return {name: reader for name, reader in found if reader is not None}


def _reader(kind: Type) -> Reader | None:
    match kind.name:
        case "int":
            return _int
        case "double":
            return _double
        case "list" | "map":
            held = _reader(kind.held)
            return held and partial(_list if kind.name == "list" else _map, held)
    return None


def _int(value: Json) -> Json:
    # Beyond 64 bits there is no int in CEL: a double of that size stays one.
    if type(value) is float and value.is_integer() and INT_MIN <= value <= INT_MAX:
        return int(value)
    return value


def _double(value: Json) -> Json:
    # An int of more than 53 bits may lie between two doubles, and a larger one beyond all.
    if type(value) is int and INT_MIN <= value <= INT_MAX and float(value) == value:
        return float(value)
    return value


def _list(read: Reader, value: Json) -> Json:
    if type(value) is not list:
        return value
    items = [read(item) for item in value]
    return value if all(map(is_, items, value)) else items


def _map(read: Reader, value: Json) -> Json:
    if type(value) is not dict:
        return value
    members = {key: read(item) for key, item in value.items()}
    return value if all(map(is_, members.values(), value.values())) else members
