"""Our rules against Google's CEL runtime: the same answer or an error on both sides.

`LIVEOPS_RULE_EXAMPLES` raises the number of generated rules; each is asked in three contexts.
"""

from __future__ import annotations

import functools
import os
import re
from datetime import UTC, datetime, timedelta
from string import Formatter
from typing import Any

import pytest
from cel_expr_python import cel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import RuleError
from ledger.targeting import EvaluationError, Timestamp
from ledger.targeting.emission import compiled, exactly_compiled
from ledger.targeting.grammar import parse

pytestmark = pytest.mark.timeout(600)

thoroughly = settings(
    # A machine that is busy with something else must not fail a test.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("LIVEOPS_RULE_EXAMPLES", "2000")),
)
CONTEXTS_PER_RULE = 3
ERROR, REFUSED = "error", "refused"

Bindings = dict[str, Any]

# Names by the kind of value that contexts mostly give them.
NAMES = {
    "bool": ["f", "g"],
    "int": ["i", "j"],
    "double": ["x", "y"],
    "text": ["s", "t"],
    "list": ["l"],
    "map": ["m"],
}
KINDS = list(NAMES)
_DECLARED = [name for names in NAMES.values() for name in names] + ["missing"]
_CEL = cel.NewEnv(variables=dict.fromkeys(_DECLARED, cel.Type.DYN) | {"at": cel.Type.TIMESTAMP})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEW_YEAR = 1_767_225_600_000_000


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
            tree, _ = parse(text)
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


# --- Rules and contexts of one small world, mostly well typed ---

_NAN = float("nan")
_VALUES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [-1, 0, 1, 2, 3, 7, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    "double": [0.0, -0.0, 0.5, 1.0, 2.0, 1e308, 2.0**53, 2.0**63, float("inf"), _NAN],
    "text": ["", "k", "kl", "l", "é", "😀k"],
    "list": [
        *([], [1], [1.0], [True], ["k"], [0, 0.5], ["l", "k"], [1, "k", None], [[1], ["k"]]),
        *([{"k": "l"}, 2], [_NAN], [2**53 + 1, 2.0**53], [2, 3, 7], [None, [[]], {}]),
    ],
    "map": [
        *({}, {"k": 1}, {"k": 1.0}, {"k": True}, {"k": "kl"}, {"l": None}, {"k": [1, "k"]}),
        *({"k": {"k": 1}, "kl": {"k": 1.0}}, {"kl": {"l": {}}}, {"k": 2**53, "l": _NAN}),
        *({"l": "k", "kl": "l"}, {"k": 7, "l": 7, "kl": 7}, {"k": False, "kl": {"k": "é"}}),
    ],
}
_LITERALS = {
    "bool": ["true", "false"],
    "int": [str(value) for value in _VALUES["int"]],
    "double": ["0.0", "-0.0", "0.5", "1.0", "2e0", "-1.5", "1e400", "9007199254740992.0"],
    "text": ["''", "'k'", '"kl"', "r'l'", "'\\u00e9'", "'''k'''"],
    "list": ["[]", "[1, 'k', null]", "['k', 'l']", "[1, 2.0]"],
    "map": ["{}", "{'k': 1}", "{'k': 'l', 'kl': {'k': 1.0}}"],
}
_INSTANT = "timestamp('2026-01-01T00:00:00Z')"
_INSTANTS = [Timestamp(_NEW_YEAR + micros) for micros in (-1, 0, 1)]
_ABSENT = object()
_ODD = [_ABSENT, None, *(value for values in _VALUES.values() for value in values)]


def mostly(likely: list[Any], rarely: list[Any]) -> st.SearchStrategy[Any]:
    """Draw about one in ten from elsewhere."""
    return st.sampled_from(likely * (9 * len(rarely) // len(likely)) + rarely)


contexts = st.fixed_dictionaries(
    {name: mostly(_VALUES[kind], rarely=_ODD) for kind, names in NAMES.items() for name in names}
    | {"at": mostly(_INSTANTS, rarely=[_ABSENT])}
).map(lambda bindings: {k: v for k, v in bindings.items() if v is not _ABSENT})
asked_contexts = st.lists(contexts, min_size=CONTEXTS_PER_RULE, max_size=CONTEXTS_PER_RULE)

_SHAPES = {
    "bool": [
        *("{bool} && {bool}", "{bool} || {bool}", "!{bool}", "!!{bool}"),
        *("({bool} ? {bool} : {bool})", "{bool} && {bool} || {bool} && {bool}"),
        *("{int} == {int}", "{double} != {int}", "{int} < {double}", "{double} >= {double}"),
        *("{text} == {text}", "{text} < {text}", "{list} == {list}", "{map} != {map}"),
        *("{bool} == {bool}", "{bool} <= {bool}", "{any} == {any}", "{any} != null", "{int} == 1"),
        *("{int} in {list}", "{text} in {list}", "{text} in {map}", "{any} in {list}"),
        *("{int} in [1, 2.0, 'k']", "{text} in ['k', 'l']", "{any} in ['k', 1, null]"),
        *("{text}.startsWith({text})", "{text}.endsWith('k')", "{text}.contains({text})"),
        *("has({map}.k)", "has(m.kl.k)", "{map}.k", "{list}[0]", "{int} > 1", "1.5 > {double}"),
        *(f"at >= {_INSTANT}", f"{_INSTANT} == at", f"at in [{_INSTANT}]", "at != {any}"),
    ],
    "int": [
        *("{int} + {int}", "{int} - {int}", "{int} * {int}", "{int} / {int}", "{int} % {int}"),
        *("-{int}", "--{int}", "size({text})", "{list}.size()", "size({map})", "{list}[0]"),
        *("({bool} ? {int} : {int})", "{map}.k", "{list}[{int}]"),
    ],
    "double": [
        *("{double} + {double}", "{double} - {double}", "{double} * {double}"),
        *("{double} / {double}", "-{double}", "({bool} ? {double} : {double})", "{list}[1.0]"),
    ],
    "text": ["{text} + {text}", "({bool} ? s : {text})", "{map}.k", "{map}['kl']", "{list}[0]"],
    "list": ["{list} + {list}", "[{any}]", "[{any}, {any}]", "{map}.k", "({bool} ? {list} : l)"],
    "map": ["{{'k': {any}}}", "{{'k': {any}, 'l': {int}}}", "{map}.k", "{list}[0]", "{map}['l']"],
}


@functools.cache
def _leaf(kind: str) -> st.SearchStrategy[str]:
    fitting = NAMES[kind] * len(_LITERALS[kind]) + _LITERALS[kind] * len(NAMES[kind])
    return mostly(fitting, rarely=["missing", "null", *_DECLARED])


@st.composite
def expressions(draw: st.DrawFn, kind: str = "bool", depth: int = 3) -> str:
    """A rule, or a part of one, that is mostly of the kind."""
    if kind == "any" or draw(st.integers(0, 11)) == 0:
        kind = draw(st.sampled_from(KINDS))
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(_leaf(kind))
    text = ""
    for plain, part in _pieces(draw(st.sampled_from(_SHAPES[kind]))):
        text += plain + (draw(expressions(part, depth - 1)) if part else "")
    return f"({text})" if draw(st.booleans()) else text


@functools.cache
def _pieces(shape: str) -> list[tuple[str, str | None]]:
    return [(plain, part) for plain, part, _, _ in Formatter().parse(shape)]


@thoroughly
@given(expressions(), asked_contexts)
def test_our_answers_are_googles(text: str, asked: list[Bindings]) -> None:
    ours, google = Ours(text), Google(text)
    for bindings in asked:
        assert ours.answer(bindings) == google.answer(bindings)


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


@thoroughly
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
