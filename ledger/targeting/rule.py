"""Targeting rules: compiled once by their text, asked for every context.

What reads, checks and compiles a rule is imported with the first one: a game without rules needs
none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from ledger.targeting.values import EvaluationError

if TYPE_CHECKING:
    from ledger.targeting.tree import Node

MOST_REMEMBERED = 16_384


class Rule:
    """One rule: its text, the top-level names it reads, and the answer for a context.

    Parsed when made, compiled when first asked. `matches` takes the bindings of a context and
    answers whether the rule holds, or raises EvaluationError where CEL has an error, also where
    the result is not a bool.
    """

    __slots__ = ("matches", "names", "text", "tree")

    text: str
    names: frozenset[str]
    # A slot and not a method: once compiled, asking a rule is one call.
    matches: Callable[[Mapping[str, object]], bool]

    def __init__(self, text: str, tree: Node, names: frozenset[str]) -> None:
        self.text = text
        self.names = names
        self.tree = tree
        self.matches = self._compile_and_match

    def __repr__(self) -> str:
        return f"Rule({self.text!r})"

    def __reduce__(self) -> tuple[Callable[[str], Rule], tuple[str]]:
        return compile_rule, (self.text,)

    def _compile_and_match(self, bindings: Mapping[str, object]) -> bool:
        from ledger.targeting.emission import compiled

        try:
            self.matches = compiled(self.tree)
        except RecursionError:
            raise EvaluationError("the stack is too deep to compile the rule") from None
        return self.matches(bindings)


@lru_cache(maxsize=MOST_REMEMBERED)
def _remembered(text: str) -> Rule:
    from ledger.targeting.grammar import parse

    return Rule(text, *parse(text))


def compile_rule(text: str) -> Rule:
    """Read a rule, once for each text; raises RuleError with the position and the reason."""
    return _remembered(text)


def check_rule(text: str, declared: Mapping[str, str] | None = None) -> Rule:
    """Read a rule as its author writes it: also names, types and cost, as far as they are known.

    `declared` names the attributes that contexts have, with their CEL types; with None any
    attribute may exist and have any type. Raises RuleError, or ValueError for an unknown type.
    """
    from ledger.targeting.checking import check_types
    from ledger.targeting.cost import check_cost
    from ledger.targeting.grammar import parse

    # Not remembered: what authors try out would fill the memory of those that are in use.
    tree, names = parse(text)
    check_types(tree, declared)
    check_cost(tree, declared)
    return Rule(text, tree, names)
