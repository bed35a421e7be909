"""What can be known about a rule before it is asked: names and types.

A type is what CEL's checker calls one; `dyn` is a type that only the context will tell. As CEL
does, `==` between types that can never be equal is refused here, though it would evaluate to
false; numbers of different types may be compared, which CEL's checker asks a conversion for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ledger.targeting.hints import of_constant, of_name
from ledger.targeting.lexer import refusal
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
from ledger.targeting.types import (
    BOOL,
    CONTEXT_NAMES,
    DYN,
    INT,
    STRING,
    Type,
    read_type,
)
from ledger.targeting.values import kind_of

_NUMBERS = frozenset({"int", "double"})
_ORDERED = frozenset({"int", "double", "string", "bool", "timestamp"})
_TAKEN = {
    "+": frozenset({"int", "double", "string", "list"}),
    "-": _NUMBERS,
    "*": _NUMBERS,
    "/": _NUMBERS,
    "%": frozenset({"int"}),
}
_SIZED = frozenset({"string", "list", "map"})


def check_types(tree: Node, declared: Mapping[str, str] | None) -> None:
    """Refuse with RuleError unknown names and operands that no overload takes."""
    known = {name: read_type(text) for name, text in (declared or {}).items()}
    context = {name: Type(text) for name, text in CONTEXT_NAMES.items()}
    checker = _Checker(known | context, open_world=declared is None)
    result = checker.of(tree)
    if result not in (BOOL, DYN):
        raise refusal(tree.at, f"a rule must be bool, this one is {result}")


class _Checker:
    def __init__(self, known: Mapping[str, Type], *, open_world: bool) -> None:
        self._known = known
        self._open_world = open_world
        self._rules: dict[type, Callable[[Any], Type]] = {
            Literal: self._literal,
            Name: self._name,
            Field: self._field,
            Has: self._has,
            Listing: self._listing,
            Mapped: self._mapped,
            Call: self._call,
            Logic: self._logic,
            Choice: self._choice,
        }

    def of(self, node: Node) -> Type:
        return self._rules[type(node)](node)

    def _literal(self, node: Literal) -> Type:
        return Type(kind_of(node.value))

    def _name(self, node: Name) -> Type:
        if node.name in self._known:
            return self._known[node.name]
        meant = of_constant(node.name)
        if self._open_world and not meant:
            return DYN
        meant = meant or of_name(node.name, self._known)
        raise refusal(node.at, f"unknown name {node.name[:64]!r}{meant}")

    def _field(self, node: Field) -> Type:
        holder = self.of(node.of)
        if holder.name not in ("map", "dyn"):
            raise refusal(node.at, f".{node.name[:64]} needs a map, not {holder}")
        return holder.held

    def _has(self, node: Has) -> Type:
        self._field(Field(node.at, node.depth, node.of, node.name))
        return BOOL

    def _listing(self, node: Listing) -> Type:
        return Type("list", _common([self.of(item) for item in node.items]))

    def _mapped(self, node: Mapped) -> Type:
        return Type("map", _common([self.of(value) for _, value in node.entries]))

    def _logic(self, node: Logic) -> Type:
        for operand in node.operands:
            self._demand_bool(operand, node.symbol)
        return BOOL

    def _demand_bool(self, node: Node, taker: str) -> None:
        if (found := self.of(node)) not in (BOOL, DYN):
            raise refusal(node.at, f"{taker} needs bool, not {found}")

    def _choice(self, node: Choice) -> Type:
        self._demand_bool(node.test, "?:")
        then, other = self.of(node.then), self.of(node.other)
        if not _may_equal(then, other):
            raise refusal(
                node.at, f"?: chooses between {then} and {other}; they must be of one type"
            )
        return _common([then, other])

    def _call(self, node: Call) -> Type:
        types = [self.of(operand) for operand in node.operands]
        result = _result(node.function, types)
        if result is None:
            name = "-" if node.function == "neg" else node.function
            raise refusal(node.at, f"{name} does not take {' and '.join(map(str, types))}")
        return result


def _common(types: list[Type]) -> Type:
    return types[0] if types and all(each == types[0] for each in types) else DYN


def _may_equal(left: Type, right: Type) -> bool:
    if DYN in (left, right):
        return True
    if left.name != right.name:
        return left.name in _NUMBERS and right.name in _NUMBERS
    return _may_equal(left.held, right.held)


def _result(function: str, types: list[Type]) -> Type | None:
    """Find the type of a call, or None when no overload takes such operands."""
    match function, types:
        case (("==" | "!="), [left, right]):
            return BOOL if _may_equal(left, right) else None
        case (("<" | "<=" | ">" | ">="), [left, right]):
            return BOOL if _are_ordered(left, right) else None
        case "in", [item, container]:
            return BOOL if _may_hold(container, item) else None
        case "[ ]", [container, key]:
            return _item(container, key)
    return _arithmetic(function, types) if function in _TAKEN else _unary(function, types)


def _are_ordered(left: Type, right: Type) -> bool:
    names = {left.name, right.name} - {"dyn"}
    return names <= _ORDERED and (len(names) < 2 or names <= _NUMBERS)


def _may_hold(container: Type, item: Type) -> bool:
    if container.name == "list":
        return _may_equal(container.held, item)
    if container.name == "map":
        return item in (STRING, DYN)
    return container == DYN


def _item(container: Type, key: Type) -> Type | None:
    wanted = {"list": INT, "map": STRING}.get(container.name)
    if wanted is None:
        return DYN if container == DYN else None
    return container.held if key in (wanted, DYN) else None


def _arithmetic(function: str, types: list[Type]) -> Type | None:
    if not {each.name for each in types} <= _TAKEN[function] | {"dyn"}:
        return None
    known = [each for each in types if each != DYN]
    if len(known) == 2 and known[0].name != known[1].name:
        return None
    return _common(known)


def _of_text(types: list[Type], result: Type) -> Type | None:
    return result if all(each in (STRING, DYN) for each in types) else None


def _one(found: Type, taken: frozenset[str], result: Type) -> Type | None:
    return result if found.name in taken or found == DYN else None


def _unary(function: str, types: list[Type]) -> Type | None:
    match function:
        case "!":
            return _one(types[0], frozenset({"bool"}), BOOL)
        case "neg":
            return _one(types[0], _NUMBERS, types[0])
        case "size":
            return _one(types[0], _SIZED, INT)
    return _of_text(types, BOOL)
