"""Our rules against Google's CEL runtime: the same answer or an error on both sides.

A pair is a rule and a context that differs in what the rule reads. The default run compares at
least 20,000 pairs; `LIVEOPS_RULE_PAIRS` asks for more.
"""

from __future__ import annotations

import functools
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from string import Formatter
from typing import Any

import pytest
from cel_expr_python import cel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.catalog import Catalog, shipped_catalog
from ledger.errors import RuleError
from ledger.targeting import EvaluationError, Timestamp
from ledger.targeting.emission import compiled, exactly_compiled
from ledger.targeting.grammar import parse

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


# --- Rules and contexts of one small world, mostly well typed ---

_NAN = float("nan")
_VALUES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [
        *(-1, 0, 1, 2, 3, 7, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1),
        *(2**62, 2**63 - 1, 2**63 - 512, 2**63 - 513, -(2**63), -(2**63) + 1),
    ],
    "double": [
        *(0.0, -0.0, 0.1, 0.5, 1.0, 2.0, -1.0, 5e-324, 2.2250738585072014e-308, 1e308, -1e308),
        *(2.0**53, 2.0**53 + 2, 2.0**63, -(2.0**63), 2.0**63 - 1024, 2.0**64, -(2.0**63) - 2048),
        *(float("inf"), float("-inf"), _NAN),
    ],
    # Without NUL: the Python binding of Google's runtime ends a text there.
    "text": [
        *("", "k", "kl", "l", "K", "\u212a", "é", "e\u0301", "\ufb01", "😀k", "\x01k", "\uffff"),
        *("\u200dk", "\u202ek", "\u01c5", "ß", "{0.__class__}", "%s", "\U0010ffff"),
        *("x" * 300, "k" * 4096 + "l"),
    ],
    "list": [
        *([], [1], [1.0], [True], ["k"], [0, 0.5], ["l", "k"], [1, "k", None], [[1], ["k"]]),
        *([{"k": "l"}, 2], [_NAN], [2**53 + 1, 2.0**53], [2, 3, 7], [None, [[]], {}]),
        *([[[["k"]], {"k": [1.0]}]], [True, 1, 1.0], [-0.0], [2**63 - 1, 2.0**63], ["é", "😀k"]),
        *([{"k": 1}, {"k": 1.0}, {"k": True}], [[[[[[[[1]]]]]]]], list(range(50))),
    ],
    "map": [
        *({}, {"k": 1}, {"k": 1.0}, {"k": True}, {"k": "kl"}, {"l": None}, {"k": [1, "k"]}),
        *({"k": {"k": 1}, "kl": {"k": 1.0}}, {"kl": {"l": {}}}, {"k": 2**53, "l": _NAN}),
        *({"l": "k", "kl": "l"}, {"k": 7, "l": 7, "kl": 7}, {"k": False, "kl": {"k": "é"}}),
        *({"": 1, "é": 2, "😀k": "k"}, {"__class__": 1, "k": {"__class__": "k"}}),
        *({"k": {"l": [{}]}}, {"l": {"k": [1, [2.0]]}, "kl": {"k": None}}),
        *({"kl": {"k": {"k": {"k": [1.0, None]}}}}, {"k": 2**63 - 1}, {"k": 2.0**63}, {"k": None}),
    ],
}
_LITERALS = {
    "bool": ["true", "false"],
    "int": [str(value) for value in _VALUES["int"][:6] * 2 + _VALUES["int"]],
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
    """Draw about one in twenty from elsewhere."""
    return st.sampled_from(likely * (19 * len(rarely) // len(likely)) + rarely)


_PLAIN = {kind: values[:6] for kind, values in _VALUES.items()}
_KIND_OF = {name: kind for kind, names in NAMES.items() for name in names}


def context(seed: int) -> Bindings:
    """Make a context; from a number, because Hypothesis would take longer than all else."""
    luck = random.Random(seed)
    chosen = {
        name: luck.choice(luck.choices((_PLAIN[kind], _VALUES[kind], _ODD), (10, 9, 1))[0])
        for name, kind in _KIND_OF.items()
    }
    if luck.random() < 0.3 and _ABSENT not in (chosen["i"], chosen["s"]):
        chosen |= _near(luck, chosen["i"], chosen["s"])
    chosen["at"] = luck.choice([*_INSTANTS * 3, _ABSENT])
    bindings = {name: value for name, value in chosen.items() if value is not _ABSENT}
    return bindings if luck.random() < 0.5 else _declared(bindings)


def _near(luck: random.Random, number: Any, text: Any) -> Bindings:
    """Make values that nearly or wholly equal one another: chance seldom does."""
    as_double = float(number) if type(number) is int else number
    return {
        "x": as_double,
        "j": luck.choice([number, as_double]),
        "t": text,
        "l": luck.choice([[text, as_double], [number], [True, None, number], [[as_double]]]),
        "m": {"k": luck.choice([number, as_double, text]), "kl": {"k": number}, "l": [as_double]},
    }


# What a game declares, it may write as it likes: the catalog reads it before a rule does.
_CATALOG = Catalog.from_json(
    shipped_catalog().to_json()
    | {"attributes": {"x": "double", "y": "double", "i": "int", "j": "int", "f": "bool"}}
)


def _declared(bindings: Bindings) -> Bindings:
    return dict(_CATALOG.read_attributes({n: _careless(v) for n, v in bindings.items()}))


def _careless(value: object) -> object:
    """Write a number in JSON's other way, where that loses nothing."""
    if type(value) is float and value.is_integer() and abs(value) <= 2.0**53 and value:
        return int(value)
    return float(value) if type(value) is int and abs(value) <= 2**53 else value


contexts = st.integers(0, 2**32).map(context)

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
    if kind == "any" or draw(st.integers(0, 29)) == 0:
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
        yield (text, *(repr(bindings.get(name, _ABSENT)) for name in sorted(ours.names))), answer


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
