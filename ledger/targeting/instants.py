"""The instants at which a rule that reads `at` may change its answer for a context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ledger.clock import Instant
from ledger.targeting.tree import (
    Call,
    Choice,
    Field,
    Has,
    Listing,
    Literal,
    Logic,
    Mapped,
    Name,
    Node,
)
from ledger.targeting.values import Timestamp

_COMPARING = frozenset({"<", "<=", ">", ">=", "==", "!="})
_AT = "at"


class Turns(NamedTuple):
    """Instants at which, or a microsecond after which, an answer may change.

    `exact` is False where there may be others: where `at` is read in some other way than being
    compared with an instant that stands in the rule or is an attribute of the context.
    """

    instants: frozenset[Instant]
    exact: bool


def turns(tree: Node, bindings: Mapping[str, object]) -> Turns:
    """Find the instants by which a rule compares `at`; `bindings` are the context's."""
    instants: set[Instant] = set()
    exact = True
    for found in _readings(tree, bindings):
        if found is None:
            exact = False
        else:
            instants.add(found)
    return Turns(frozenset(instants), exact)


def _readings(node: Node, bindings: Mapping[str, object]) -> Iterator[Instant | None]:
    """Yield what `at` is compared with, and None where it is read otherwise."""
    if isinstance(node, Name) and node.name == _AT:
        yield None
        return
    others = _compared(node)
    if others is None:
        for part in _parts(node):
            yield from _readings(part, bindings)
        return
    for other in others:
        if isinstance(other, Literal):
            value: object = other.value
        elif isinstance(other, Name) and other.name != _AT:
            value = bindings.get(other.name)
        else:
            yield None
            continue
        # With anything but an instant the comparison says the same at all times.
        if isinstance(value, Timestamp):
            yield value.micros


def _compared(node: Node) -> tuple[Node, ...] | None:
    """Name what a node compares `at` itself with; None for a node that does not."""
    if not isinstance(node, Call) or len(node.operands) != 2:
        return None
    left, right = node.operands
    if node.function in _COMPARING and _is_at(left):
        return (right,)
    if node.function in _COMPARING and _is_at(right):
        return (left,)
    if node.function == "in" and _is_at(left) and isinstance(right, Listing):
        return right.items
    return None


def _is_at(node: Node) -> bool:
    return isinstance(node, Name) and node.name == _AT


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Field() | Has():
            return (node.of,)
        case Listing():
            return node.items
        case Mapped():
            return tuple(value for _, value in node.entries)
        case Call() | Logic():
            return node.operands
        case Choice():
            return (node.test, node.then, node.other)
        case _:
            return ()
