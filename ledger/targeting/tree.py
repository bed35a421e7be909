"""The tree of a targeting rule.

Every node knows its offset in the text and its depth. The grammar bounds the depth, so nothing
that walks a tree can be made to recurse further.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.targeting.values import Timestamp

Constant = str | int | float | bool | Timestamp | None


class Literal(NamedTuple):
    """A value that stands in the rule itself."""

    at: int
    depth: int
    value: Constant


class Name(NamedTuple):
    """A top-level name of the context."""

    at: int
    depth: int
    name: str


class Field(NamedTuple):
    """`of.name`."""

    at: int
    depth: int
    of: Node
    name: str


class Has(NamedTuple):
    """`has(of.name)`."""

    at: int
    depth: int
    of: Node
    name: str


class Listing(NamedTuple):
    """`[item, …]`."""

    at: int
    depth: int
    items: tuple[Node, ...]


class Mapped(NamedTuple):
    """`{"key": value, …}`."""

    at: int
    depth: int
    entries: tuple[tuple[str, Node], ...]


class Call(NamedTuple):
    """A function or operator on its operands, named by its symbol; `neg` is the unary minus."""

    at: int
    depth: int
    function: str
    operands: tuple[Node, ...]


class Logic(NamedTuple):
    """`&&` or `||` between two or more operands."""

    at: int
    depth: int
    symbol: str
    operands: tuple[Node, ...]


class Choice(NamedTuple):
    """`test ? then : other`."""

    at: int
    depth: int
    test: Node
    then: Node
    other: Node


Node = Literal | Name | Field | Has | Listing | Mapped | Call | Logic | Choice
