"""What a rule may cost: how large it is, and how often it goes through what the context holds.

`==`, `in` and `+` take as long as what they compare or copy, so that many of them over long lists
would add up to something. All else is bounded by the size of the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

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
from ledger.targeting.types import CONTEXT_NAMES

MOST_PARTS = 1024
MOST_WALKS = 16

_NO_WALK = frozenset({"bool", "int", "double", "string", "timestamp"})


def check_cost(tree: Node, declared: Mapping[str, str] | None) -> None:
    """Refuse with RuleError a rule that could take long, whatever the context holds."""
    types = {**(declared or {}), **CONTEXT_NAMES}
    _Walks(name for name, text in types.items() if text.strip() in _NO_WALK).weigh(tree)


class _Walks:
    """Weighs a node: how many texts, lists or maps of the context its value may hold."""

    def __init__(self, plain_names: Iterable[str]) -> None:
        self._plain = frozenset(plain_names)
        self._walks = 0
        self._parts = 0
        self._rules: dict[type, Callable[[Any], int]] = {
            Literal: lambda _: 0,
            Name: lambda node: int(node.name not in self._plain),
            Field: lambda node: max(1, self.weigh(node.of)),
            Has: lambda node: 0 * self.weigh(node.of),
            Listing: lambda node: sum(map(self.weigh, node.items)),
            Mapped: lambda node: sum(self.weigh(value) for _, value in node.entries),
            Call: self._call,
            Logic: self._logic,
            Choice: self._choice,
        }

    def weigh(self, node: Node) -> int:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise refusal(node.at, f"a rule has at most {MOST_PARTS} values and operators")
        return self._rules[type(node)](node)

    def _logic(self, node: Logic) -> int:
        for operand in node.operands:
            self.weigh(operand)
        return 0

    def _choice(self, node: Choice) -> int:
        self.weigh(node.test)
        return max(self.weigh(node.then), self.weigh(node.other))

    def _call(self, node: Call) -> int:
        if node.function == "in":
            return self._walk(node.at, self._search(*node.operands))
        weights = [self.weigh(operand) for operand in node.operands]
        match node.function:
            case "+":
                copies = any(weights) and not any(map(_is_number, node.operands))
                self._walk(node.at, int(copies))
                return sum(weights)
            case "[ ]":
                return max(1, weights[0])
            case "==" | "!=":
                return self._walk(node.at, min(weights))
        return 0

    def _search(self, item: Node, container: Node) -> int:
        weight = self.weigh(item)
        if isinstance(container, Listing):
            return sum(min(weight, self.weigh(each)) for each in container.items)
        walks = self.weigh(container)
        # A text is found at the speed of C, in a map as in a list.
        text = isinstance(item, Literal) and isinstance(item.value, str)
        return 0 if text or isinstance(container, Mapped) else walks

    def _walk(self, at: int, walks: int) -> int:
        """Count what a comparison goes through; what it answers weighs nothing."""
        self._walks += walks
        if self._walks > MOST_WALKS:
            raise refusal(
                at, f"a rule may go through what the context holds {MOST_WALKS} times at most"
            )
        return 0


def _is_number(node: Node) -> bool:
    return isinstance(node, Literal) and isinstance(node.value, int | float)
