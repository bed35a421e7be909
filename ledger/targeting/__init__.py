"""Targeting rules: a subset of CEL, with its semantics, compiled to Python code objects.

A rule is text. `check_rule` is for its author, `compile_rule` for everybody else, and
`Rule.matches` answers for one context in well under a microsecond. Nothing in a rule can loop,
allocate without bound, or reach Python. The language is described in docs/reference/targeting.md.
"""

from __future__ import annotations

from ledger.errors import RuleError
from ledger.targeting.rule import Rule, check_rule, compile_rule
from ledger.targeting.types import CONTEXT_NAMES, read_type
from ledger.targeting.values import EvaluationError, Timestamp

__all__ = [
    "CONTEXT_NAMES",
    "EvaluationError",
    "Rule",
    "RuleError",
    "Timestamp",
    "check_rule",
    "compile_rule",
    "read_type",
]
