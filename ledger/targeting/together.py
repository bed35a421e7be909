"""Many rules asked at once: what they read is looked up once, and asking one costs no call.

Each rule stands in the function as the fast reading of it alone (see `emission`). Where that
raises, the rule is asked by itself; where a name is missing that any of them reads, all are.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, cast

from ledger.errors import RuleError
from ledger.targeting.emission import REACHABLE, Fast
from ledger.targeting.rule import Rule
from ledger.targeting.tree import Name
from ledger.targeting.values import EvaluationError

Json = Any
Bindings = Mapping[str, object]
Failed = Callable[[Any], None]
"""Is told whose rule fails."""
Met = Callable[[Mapping[str, Json]], None]
"""Is given what each rule that holds says."""
Ask = Callable[[Bindings, Met, Failed], bool]
"""Tells whether any rule holds."""

_MOST_REMEMBERED = 64  # of 64 rules each one takes 190 KB
_ALL = """
def ask(bindings, met, failed):
    any_is_met = False
"""
_ONE = """
try:
    if answer:
        met(says[index])
        any_is_met = True
except Exception:
    if alone(index, bindings, failed):
        met(says[index])
        any_is_met = True
"""


def together(
    rules: Sequence[Rule],
    says: Sequence[Mapping[str, Json]],
    whose: Sequence[Any] | None = None,
) -> Ask:
    """Make one function of rules, which hands on what those say that hold.

    `whose` names them to those who are told of failures: by their index unless it is given.
    """
    named = range(len(rules)) if whose is None else whose

    def alone(index: int, bindings: Bindings, failed: Failed) -> bool:
        try:
            return rules[index].matches(bindings)
        except (EvaluationError, RuleError):
            failed(named[index])
            return False

    reached = {**REACHABLE, "says": tuple(says), "alone": alone}
    fast = cast("Ask", FunctionType(_compiled(tuple(rules)), reached, "ask"))

    def ask(bindings: Bindings, met: Met, failed: Failed) -> bool:
        try:
            return fast(bindings, met, failed)
        except KeyError:
            held = [index for index in range(len(rules)) if alone(index, bindings, failed)]
        for index in held:
            met(says[index])
        return bool(held)

    return ask


@lru_cache(_MOST_REMEMBERED)
def _compiled(rules: tuple[Rule, ...]) -> CodeType:
    writer = _Hoisting()
    tests: list[ast.stmt] = []
    for index, rule in enumerate(rules):
        put = _Put({"answer": writer.condition(rule.tree), "index": ast.Constant(index)})
        tests += put.visit(ast.parse(_ONE)).body
    module = ast.parse(_ALL)
    function = cast("ast.FunctionDef", module.body[0])
    for name, local in writer.names.items():
        function.body += ast.parse(f"{local} = bindings[{name!r}]").body
    function.body += [*tests, ast.Return(ast.Name("any_is_met", ast.Load()))]
    whole = compile(ast.fix_missing_locations(module), "<rules>", "exec", dont_inherit=True)
    return next(each for each in whole.co_consts if isinstance(each, CodeType))


class _Hoisting(Fast):
    """Reads every name from a local variable; `names` tells which stands for which."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, str] = {}

    def _read(self, node: Name) -> ast.expr:
        local = self.names.setdefault(node.name, f"n{len(self.names)}")
        return ast.Name(local, ast.Load())


class _Put(ast.NodeTransformer):
    """Puts expressions where a template names them."""

    def __init__(self, put: Mapping[str, ast.expr]) -> None:
        self._put = put

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._put.get(node.id, node)
