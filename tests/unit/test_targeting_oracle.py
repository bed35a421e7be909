"""Our rules against Google's CEL runtime: the same answer or an error on both sides.

A pair is a rule and a context that differs in what the rule reads. The default run compares at
least 20,000 pairs; `LIVEOPS_RULE_PAIRS` asks for more.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cel_expr_python import cel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import RuleError
from ledger.targeting import EvaluationError, Timestamp
from ledger.targeting.emission import compiled, exactly_compiled
from ledger.targeting.grammar import parse
from tests.unit.composing import ABSENT, ALL_NAMES, Bindings, context, contexts, expressions

pytestmark = pytest.mark.timeout(1800)

PAIRS = int(os.environ.get("LIVEOPS_RULE_PAIRS", "20000"))
CONTEXTS_PER_RULE = 40
# A rule that reads little makes fewer pairs of as many contexts: about fourteen on average.
RULES = PAIRS // 8
SPOILT_RULES = PAIRS // 10
ERROR, REFUSED = "error", "refused"


def thoroughly(rules: int) -> settings:
    return settings(
        # A machine that is busy with something else must not fail a test.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=rules,
    )


_CEL = cel.NewEnv(variables=dict.fromkeys(ALL_NAMES, cel.Type.DYN) | {"at": cel.Type.TIMESTAMP})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Google:
    """A rule in Google's runtime, without its checker: ours finds types when it evaluates."""

    def __init__(self, text: str) -> None:
        try:
            self._rule = _CEL.compile(text, disable_check=True)
        except RuntimeError:
            self._rule = None

    def answer(self, bindings: Bindings) -> object:
        if self._rule is None:
            return REFUSED
        value = self._rule.eval(data={k: _for_google(v) for k, v in bindings.items()})
        return value.value() if value.type() == cel.Type.BOOL else ERROR


def _for_google(value: object) -> object:
    return _EPOCH + timedelta(microseconds=value.micros) if type(value) is Timestamp else value


class Ours:
    """A rule in our two readings, which must agree."""

    def __init__(self, text: str) -> None:
        self.refusal: RuleError | None = None
        try:
            tree, self.names = parse(text)
        except RuleError as error:
            self.refusal = error
        else:
            self._readings = [compiled(tree), exactly_compiled(tree)]

    def answer(self, bindings: Bindings) -> object:
        if self.refusal is not None:
            return REFUSED
        fast, exact = (_outcome(matches, bindings) for matches in self._readings)
        assert fast == exact
        return fast


def _outcome(matches: Any, bindings: Bindings) -> object:
    try:
        return matches(bindings)
    except EvaluationError:
        return ERROR


# --- The same answers ---


def compared(text: str, first_seed: int) -> Iterator[tuple[object, object]]:
    """Ask both of one rule in many contexts; answers each pair of it, and what it came to."""
    ours, google = Ours(text), Google(text)
    if ours.refusal is not None:
        assert google.answer({}) == REFUSED
        return
    for seed in range(first_seed, first_seed + CONTEXTS_PER_RULE):
        bindings = context(seed)
        answer = ours.answer(bindings)
        assert answer == google.answer(bindings), (text, bindings)
        yield (text, *(repr(bindings.get(name, ABSENT)) for name in sorted(ours.names))), answer


@pytest.mark.parametrize("pairs", [pytest.param(PAIRS, id=f"{PAIRS}_pairs")])
def test_our_answers_are_googles(pairs: int, record_property: Any) -> None:
    seen: dict[object, object] = {}

    @thoroughly(RULES)
    @given(expressions(), st.integers(0, 2**32))
    def compare(text: str, first_seed: int) -> None:
        seen.update(compared(text, first_seed))

    compare()
    outcomes = Counter(seen.values())
    print(f"{len(seen)} different pairs: {dict(outcomes)}")  # noqa: T201
    record_property("pairs", len(seen))
    assert len(seen) >= pairs
    # The rules are no good if nearly all of them fail, hold, or do not.
    assert all(outcomes[outcome] > len(seen) / 10 for outcome in (True, False, ERROR))


# --- Text that may not be a rule at all ---

_TOKENS = [
    *("f", "missing", "k", "1", "2.5", ".5", "007", "0x1F", "1e3", "'x'", '"y"', "r'\\n'", "'"),
    *("'''z'''", "'\\u00e9'", "'\\q'", "true", "false", "null", "in", "if", "size", "has", "_x"),
    *("&&", "||", "!", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "?", ":", "é"),
    *("(", ")", "[", "]", "{", "}", ".", ",", "=", "#", "//", "\n", "\t", "\x0b", " ", "1u"),
    *("startsWith", "contains", "b'x'", "__class__", "9223372036854775808"),
]
# What CEL has and the language leaves out, and what can only fail and is refused at once.
_LEFT_OUT = (
    "literals are not part of the language",
    "messages are not part of the language",
    "stands where a string as key should",
    "stands twice in the map",
    "',' stands where a value should",
    "unknown function",
    "is called as",
    " argument",
    "timestamp() takes",
    "is not an RFC 3339 instant",
)


_PIECE = re.compile(r"\w+|'[^']*'|\s+|.", re.DOTALL)


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A rule with a token or two cut out, put in or replaced."""
    pieces = _PIECE.findall(draw(expressions(depth=2)))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(pieces)))
        cut = draw(st.integers(0, 1))
        pieces[at : at + cut] = [draw(st.sampled_from(["", *_TOKENS]))]
    return "".join(pieces)


@thoroughly(SPOILT_RULES)
@given(spoilt(), contexts)
def test_we_take_for_a_rule_what_google_does(text: str, bindings: Bindings) -> None:
    ours = Ours(text)
    if ours.refusal is not None and any(part in ours.refusal.reason for part in _LEFT_OUT):
        return
    assert ours.answer(bindings) == Google(text).answer(bindings)


@pytest.mark.parametrize(
    "text",
    [
        "!-1 == i",
        "- 9223372036854775808 < 0",
        "f ? g : i ? f : true",
        "i - -1 == 2 || i--1 == 2",
        "!!i == j",
        "1 == 1.0 && !(true == 1)",
        "9223372036854775807 < 9223372036854775808.0",
        "'a' in {'a': 1 / 0}",
        "m . k [ 'l' ] // end",
        "r'a\\' == s",
        '"""x\r\ny""" == "x\\ny"',
    ],
)
def test_corners_of_the_grammar_are_googles(text: str) -> None:
    for bindings in ({}, {"i": 1}, {"f": True, "g": False}, {"m": {"k": {"l": True}}}):
        assert Ours(text).answer(bindings) == Google(text).answer(bindings)
