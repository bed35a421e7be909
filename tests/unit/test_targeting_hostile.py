"""What hostile rules can do: nothing. Each text here was an attempt to break out or to stall."""

from __future__ import annotations

import ast
import builtins
import dis
import sys
import time
import tracemalloc
from bisect import bisect
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CodeType, MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import RuleError
from ledger.targeting import EvaluationError, Rule, check_rule, compile_rule
from ledger.targeting.cost import MOST_WALKS
from ledger.targeting.emission import (
    REACHABLE,
    compiled,
    exact_source,
    exactly_compiled,
    fast_source,
)
from ledger.targeting.grammar import parse
from ledger.targeting.lexer import LONGEST_RULE
from ledger.targeting.operators import LARGEST_BUILT
from ledger.targeting.review import review
from ledger.targeting.together import _compiled, together
from tests.strategies import json_values
from tests.unit.attacks import HOSTILE
from tests.unit.composing import ALL_NAMES, Bindings, context, expressions

MOST_SECONDS = 1e-3
ENOUGH_TRIES = 200
"""Attempts at one measurement below the bound: what else the machine does comes between."""

VICTIM: Bindings = {"a": "x", "b": {}, "at": 3, "l": ["x"], "m": {"k": 1}}


def outcome(text: str, bindings: Bindings = VICTIM) -> object:
    try:
        return check_rule(text).matches(bindings)
    except RuleError:
        return "refused"
    except EvaluationError:
        return "error"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_or_harmless(text: str) -> None:
    assert outcome(text) in ("refused", "error", False)


@pytest.mark.parametrize("text", [each for each in HOSTILE if outcome(each) == "refused"])
def test_what_is_refused_says_where_and_why(text: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_rule(text)
    assert 0 <= caught.value.position <= len(text)
    assert 0 < len(caught.value.reason) < 200


@pytest.mark.parametrize(
    "character", sorted({*map(chr, range(0x20, 0x7F)), *"\t\n\x0b\0é😀\u2028"})
)
def test_a_rule_of_one_character_4096_times_is_refused_or_harmless(character: str) -> None:
    for text in (character * LONGEST_RULE, f"{character} " * (LONGEST_RULE // 2)):
        assert outcome(text) in ("refused", "error", False)


# --- Time ---


def fastest(attempt: Callable[[], float]) -> float:
    """Measure until an attempt is fast enough, or often: noise only ever adds."""
    best = attempt()
    for _ in range(ENOUGH_TRIES):
        if best < MOST_SECONDS:
            break
        best = min(best, attempt())
    return best


def seconds_of(rule: Rule, bindings: Bindings) -> float:
    begin = time.perf_counter()
    with suppress(EvaluationError):
        rule.matches(bindings)
    return time.perf_counter() - begin


def seconds_to_refuse(text: str) -> float:
    begin = time.perf_counter()
    with pytest.raises(RuleError):
        check_rule(text)
    return time.perf_counter() - begin


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_or_answered_within_a_millisecond(text: str) -> None:
    if outcome(text) == "refused":
        assert fastest(lambda: seconds_to_refuse(text)) < MOST_SECONDS
    else:
        rule = compile_rule(text)
        assert fastest(lambda: seconds_of(rule, VICTIM)) < MOST_SECONDS


DEAR = [
    *("a", "!a", "missing", "missing.k", "missing == 1", "m.k.k.k", "a < 1", "1 < a", "m.k == 2"),
    *("1 / 0 == 1", "9 % 0 == 1", "i + i * i / 7 % 3 == 1", "big < 1.5", "-big == 1", "i in [1]"),
    *("text.contains('z')", "text.endsWith(a)", "text < text2", "text == text2", "a + a == a"),
    *("l == l2", "l2 in [l, l, l]", "-1 in l", "'z' in l", "l[99] == 1", "l[100] == 1"),
    *("mixed == mixed2", "mixed2 in [mixed, l]", "2.0 in mixed", "'z' in mixed"),
    *("m == m2", "'z' in m", "has(m.z)", "m.z == 1", "deep == deep2", "{'k': l} == {'k': l2}"),
    *("[1, 2] == [1, 3]", "[l, l] == [l2, l2]", "(f ? l : l2) == l", "i > 3 ? f : f", "at < at"),
    *("text + text == text2 + text2", "l + l + l == l2 + l2 + l2", "size(text + text) == 0"),
]
_DEEP: Any = 1
_DEEP_TOO: Any = 2
for _ in range(60):
    _DEEP, _DEEP_TOO = {"k": _DEEP}, {"k": _DEEP_TOO}
_KEYS = [str(number) for number in range(100)]
RICH: Bindings = {"a": "x", "i": 5, "f": False, "at": 3, "big": 10**400}
RICH |= {"deep": _DEEP, "deep2": _DEEP_TOO}
RICH |= {"l": list(range(100)), "l2": [*range(99), -1], "text": "é" * 2000, "text2": "é" * 1999}
RICH |= {"m": dict.fromkeys(_KEYS, 1), "m2": dict.fromkeys(reversed(_KEYS), 1)}
RICH |= {"mixed": [1, 1.0, True, None, "x"] * 20, "mixed2": [1.0, 1, True, None, "x"] * 20}


def as_often_as_allowed(part: str, joint: str) -> Rule:
    """Write a rule that says one thing as often as a rule may."""

    def refused(times: int) -> bool:
        return review(joint.join([part] * times)).at is not None

    times = bisect(range(1, LONGEST_RULE // len(part + joint)), 0, key=refused)
    return check_rule(joint.join([part] * times))


@pytest.mark.parametrize("joint", ["||", "&&true||"])
@pytest.mark.parametrize("part", DEAR)
def test_the_dearest_rules_are_answered_within_a_millisecond(part: str, joint: str) -> None:
    rule = as_often_as_allowed(f"({part})&&f", joint)
    seconds_of(rule, RICH)  # compiles it
    assert fastest(lambda: seconds_of(rule, RICH)) < MOST_SECONDS


def test_the_largest_rule_is_read_checked_and_compiled_once_within_a_moment() -> None:
    text = "||".join(["a<1"] * 341)

    def from_scratch() -> float:
        begin = time.perf_counter()
        seconds_of(check_rule(text), RICH)
        return time.perf_counter() - begin

    assert min(from_scratch() for _ in range(5)) < 0.5


# --- Memory ---


def peak(action: Callable[[], object]) -> int:
    """Measure the most memory that an action holds at once, in bytes."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_takes_little_memory(text: str) -> None:
    assert peak(lambda: outcome(text)) < 8_000_000


BUILDING = [
    "a" + " + a" * 15 + " == ''",
    "(((a + a) + (a + a)) + ((a + a) + (a + a))) == ''",
    "[" + ",".join(["a + a"] * 16) + "] == []",
    "l" + " + l" * 15 + " == []",
    "[" + ",".join(["l + l"] * 16) + "] == []",
    "[[[[l, l], [l, l]], [[l, l], [l, l]]]] == [[l]]",
    "{'k': a + a, 'l': l + l}.k == a",
]


@pytest.mark.parametrize("text", BUILDING)
def test_what_a_rule_builds_is_bounded_whatever_the_context_holds(text: str) -> None:
    bindings: Bindings = {"a": "😀" * (LARGEST_BUILT // 2), "l": [0] * (LARGEST_BUILT // 2)}
    rule = check_rule(text)
    assert peak(lambda: seconds_of(rule, bindings)) < MOST_WALKS * 9 * LARGEST_BUILT


def test_more_building_is_refused() -> None:
    for part in ("a + a", "l + l"):
        with pytest.raises(RuleError, match=f"{MOST_WALKS} times"):
            check_rule("[" + ",".join([part] * (MOST_WALKS + 1)) + "] == []")


# --- Python is not reached ---

_WRITTEN = frozenset(
    {
        *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Try, ast.Pass),
        *(ast.ExceptHandler, ast.Name, ast.Load, ast.Store, ast.Constant, ast.Call, ast.Lambda),
        *(ast.Subscript, ast.Attribute, ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp),
        *(ast.Not, ast.IfExp, ast.NamedExpr, ast.List, ast.Dict, ast.Set, ast.Is, ast.IsNot),
        *(ast.In, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
    }
)
_METHODS = frozenset({"startswith", "endswith", "find"})
_GLOBALS = frozenset(REACHABLE) - {"__builtins__"}
_CONSTANTS = (str, int, float, bool, tuple, frozenset, type(None), CodeType)
_EVERYTHING = """
    !a && -b == 1 || c.d['e'] in [1, 'x', null] || has(f.g) ? h < 1.5 && 0 == i :
    j + k * l / m % n - o > timestamp('2026-01-01T00:00:00Z') || p.startsWith('x')
    || q.endsWith(r) || s.contains('t') || {'u': v}.w == size(x) && y != 'z'
    && __class__.__dict__ == null && exact[bindings] && v && __builtins__.eval
"""
_COMPILABLE = [_EVERYTHING, *(text for text in HOSTILE if outcome(text) != "refused")]


@pytest.mark.parametrize("source", [fast_source, exact_source])
@pytest.mark.parametrize("text", _COMPILABLE)
def test_generated_code_has_only_whitelisted_parts(
    source: Callable[..., ast.Module], text: str
) -> None:
    nodes = list(ast.walk(source(parse(text)[0])))
    assert {type(node) for node in nodes} <= _WRITTEN
    assert {node.attr for node in nodes if isinstance(node, ast.Attribute)} <= _METHODS
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert names <= {"bindings", "exact", "v", *_GLOBALS}


def codes(code: CodeType) -> Iterator[CodeType]:
    """List a code object and those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


rules = expressions().filter(lambda text: outcome(text) != "refused")


@settings(max_examples=300)
@given(rules | st.sampled_from(_COMPILABLE))
def test_compiled_rules_load_only_what_is_reachable(text: str) -> None:
    for make in (compiled, exactly_compiled):
        matcher: Any = make(parse(text)[0])
        for code in codes(matcher.__code__):
            steps = list(dis.get_instructions(code))
            loaded = {step.argval for step in steps if "GLOBAL" in step.opname}
            # What SET_FUNCTION_ATTRIBUTE sets is a closure, by a number.
            reached = {step.argval for step in steps if step.opname.endswith(("_ATTR", "_METHOD"))}
            assert loaded <= _GLOBALS
            assert reached <= _METHODS
            assert all(isinstance(constant, _CONSTANTS) for constant in code.co_consts)
            assert not any("IMPORT" in step.opname or "STORE_NAME" in step.opname for step in steps)


@settings(max_examples=100)
@given(st.lists(rules | st.sampled_from(_COMPILABLE), min_size=1, max_size=5))
def test_rules_compiled_together_load_only_what_is_reachable(texts: list[str]) -> None:
    code = _compiled(tuple(map(compile_rule, texts)))
    steps = list(dis.get_instructions(code))
    assert set(code.co_names) <= {*_GLOBALS, *_METHODS, "says", "alone"}
    assert all(isinstance(constant, _CONSTANTS) for constant in code.co_consts)
    assert not any("IMPORT" in step.opname or "STORE_NAME" in step.opname for step in steps)


def test_what_rules_reach_has_no_builtins() -> None:
    assert REACHABLE["__builtins__"] == {}
    assert not _GLOBALS & {*dir(builtins)} - {"Exception"}


def test_the_names_of_a_rule_are_keys_of_the_context_and_nothing_else() -> None:
    for name in ("__builtins__", "exact", "bindings", "v", "Exception", "read", "rule", "self"):
        rule = compile_rule(f"{name} == 'mine' || {name} == 'x'")
        assert rule.matches({name: "mine"}) is True
        with pytest.raises(EvaluationError, match="is not in the context"):
            rule.matches({})


def test_a_rule_leaves_nothing_behind() -> None:
    before = dict(REACHABLE), {*sys.modules}, {*vars(builtins)}
    for text in _COMPILABLE:
        outcome(text)
    assert before == (dict(REACHABLE), {*sys.modules}, {*vars(builtins)})


@pytest.mark.parametrize("text", _COMPILABLE)
def test_a_rule_changes_nothing_in_the_context(text: str) -> None:
    before = repr(RICH)
    outcome(text, RICH)
    assert repr(RICH) == before


class Trap:
    """Something that JSON has not, and that has what rules ask texts and maps for."""

    def startswith(self, _: object) -> bool:
        raise AssertionError("called by a rule")

    endswith = find = __getitem__ = __contains__ = __eq__ = __lt__ = __add__ = startswith
    __hash__ = object.__hash__


FOREIGN = [Trap(), b"x", {1, 2}, 1j, object(), lambda: True, str, range(3), ...]


@pytest.mark.parametrize("foreign", FOREIGN, ids=range(len(FOREIGN)))
@given(rules)
@settings(max_examples=60)
def test_what_json_has_not_is_an_error_or_unequal(foreign: object, text: str) -> None:
    assert outcome(text, dict.fromkeys(ALL_NAMES, foreign)) in ("error", True, False)


# --- The fast reading against the exact one ---

_ANY_CONTEXT = st.fixed_dictionaries({}, optional=dict.fromkeys([*ALL_NAMES, "at"], json_values))


@settings(max_examples=400)
@given(rules, _ANY_CONTEXT)
def test_the_fast_reading_answers_as_the_exact_one_whatever_json_a_context_holds(
    text: str, bindings: Bindings
) -> None:
    tree, _ = parse(text)
    fast, exact = (answer(make(tree), bindings) for make in (compiled, exactly_compiled))
    assert fast == exact


def answer(matches: Callable[[Bindings], bool], bindings: Bindings) -> object:
    try:
        return matches(bindings)
    except EvaluationError:
        return "error"


@settings(max_examples=200)
@given(st.lists(rules, min_size=1, max_size=5), st.lists(st.integers(0, 2**32), min_size=5))
def test_rules_asked_together_answer_as_each_of_them_alone(
    texts: list[str], seeds: list[int]
) -> None:
    asked = list(map(compile_rule, texts))
    ask = together(asked, [{str(index): index} for index in range(len(asked))])
    for bindings in map(context, seeds):
        held: dict[str, int] = {}
        failed: list[int] = []
        ask(bindings, held.update, failed.append)
        answers = [answer(rule.matches, bindings) for rule in asked]
        assert [*held.values()] == [n for n, each in enumerate(answers) if each is True]
        assert failed == [n for n, each in enumerate(answers) if each == "error"]


# --- Python's own kinds of JSON values ---


class Text(str):
    """What an enum of texts has for members."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Whole(int):
    """What an enum of whole numbers has for members."""


class Real(float):
    """A double of a library."""


def dressed(value: Any) -> Any:
    """Give a JSON value as a game in Python may hold it."""
    match value:
        case bool() | None:
            return value
        case str():
            return Text(value)
        case int():
            return Whole(value)
        case float():
            return Real(value)
        case list():
            return tuple(map(dressed, value))
        case dict():
            return MappingProxyType({key: dressed(member) for key, member in value.items()})
    return value


@settings(max_examples=400)
@given(rules, st.integers(0, 2**32).map(context))
def test_enums_tuples_and_mappings_are_answered_as_the_json_they_stand_for(
    text: str, bindings: Bindings
) -> None:
    tree, _ = parse(text)
    own = {name: dressed(value) for name, value in bindings.items()}
    own["at"] = bindings.get("at")
    bindings["at"] = own["at"]
    for make in (compiled, exactly_compiled):
        assert answer(make(tree), own) == answer(make(tree), bindings)
