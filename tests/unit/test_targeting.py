"""What a targeting rule means: every operator, every type, every error."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ledger.clock import parse_instant
from ledger.targeting import EvaluationError, Rule, Timestamp, compile_rule
from ledger.targeting.emission import compiled, exactly_compiled
from ledger.targeting.grammar import parse
from ledger.targeting.operators import LARGEST_BUILT

ERROR = "error"
LOWEST, HIGHEST = -(2**63), 2**63 - 1

CONTEXT: dict[str, Any] = {
    "at": Timestamp(parse_instant("2026-01-01T00:00:00Z")),
    "yes": True,
    "no": False,
    "n": 7,
    "x": 1.5,
    "s": "héllo😀",
    "nothing": None,
    "list": [1, "a", None, [2]],
    "map": {"k": "v", "deep": {"n": 1}, "none": None},
    "nan": float("nan"),
    "ones": [1] * 10,
    "nans": [float("nan")] * 10,
    "one": 1,
    "huge": 2.0**53,
}


def answer(text: str, **bindings: object) -> object:
    """Evaluate both readings of a rule, which must agree."""
    tree, _ = parse(text)
    fast, exact = (
        _outcome(make(tree), CONTEXT | bindings) for make in (compiled, exactly_compiled)
    )
    assert fast == exact
    return fast


def _outcome(matches: Any, bindings: dict[str, Any]) -> object:
    try:
        return matches(bindings)
    except EvaluationError:
        return ERROR


TRUE = [
    # Numbers
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "10 - 3 - 2 == 5",
    "-7 / 2 == -3",
    "7 / -2 == -3",
    "-7 % 2 == -1",
    "7 % -2 == 1",
    "n % 4 == 3",
    "-n == -7",
    "- 7 == -n",
    "1--1 == 2",
    "--n == 7",
    "0x10 == 16",
    "-0x8000000000000000 == -9223372036854775808",
    "007 == 7",
    ".5 + 1.5e0 == 2.0",
    "1e400 > 1e308",
    "x * 2.0 == 3.0",
    "1.0 / 0.0 == 1e400",
    "-1.0 / 0.0 == -1e400",
    "1.0 / -0.0 == -1e400",
    "0.0 / 0.0 != 0.0 / 0.0",
    "nan / 0.0 != 1.0 / 0.0",
    "-0.0 == 0.0",
    "4611686018427387904 * -2 == -9223372036854775808",
    # Comparison among numbers is by value, and as double between int and double
    "1 == 1.0",
    "n == 7.0",
    "7.0 == n",
    "x < 2",
    "2 > x",
    "n >= 6.5",
    "9007199254740993 == huge",
    "huge == 9007199254740993",
    "!(9007199254740993 > huge)",
    "9007199254740993 in [huge]",
    "huge in [9007199254740993]",
    # Comparison among the others
    "'a' < 'b'",
    "'Z' < 'a'",
    "'\\U0001F600' > '\\uffff'",
    "no < yes",
    "false <= false",
    "at >= timestamp('2026-01-01T00:00:00Z')",
    "at == timestamp('2026-01-01T01:00:00+01:00')",
    "timestamp('2025-12-31T23:59:59.999999Z') < at",
    "at in [timestamp('2026-01-01T00:00:00.000000Z')]",
    "at != n",
    # Different types are unequal, without an error
    "one != true",
    "yes != 1",
    "yes != 1.0",
    "no != 0",
    "nothing != 0",
    "nothing != false",
    "n != 'n'",
    "list != map",
    "nothing == null",
    "s != null",
    "yes == true",
    "no == false",
    "no != true",
    "nan != nan",
    "!(nan < 1) && !(nan >= 1)",
    "[nan] != [nan]",
    "[1, 'a'] == [1.0, 'a']",
    "[true] != [1]",
    "{'k': 1} == {'k': 1.0}",
    "{'k': 1} != {'k': 1, 'l': 1}",
    "{'k': 1, 'l': 2} != {'k': 1, 'm': 2}",
    "map.deep == {'n': 1}",
    "list == [1, 'a', null, [2]]",
    "ones == [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
    "ones != [1, 1, 1, 1, 1, 1, 1, 1, 1, true]",
    "ones == [1, 1, 1, 1, 1, 1, 1, 1, 1, 1.0]",
    "nans != nans",
    "!(true in ones) && 1.0 in ones && !(1 in nans)",
    "{'k': ones} == {'k': ones} && {'k': nans} != {'k': nans}",
    # Texts and lists
    "'a' + 'b' == 'ab'",
    "[1] + ['a'] == [1, 'a']",
    "s.startsWith('hé')",
    "s.endsWith('😀')",
    "s.contains('llo')",
    "s.startsWith('')",
    "!s.contains('x')",
    "s.startsWith('h' + 'é')",
    "s.contains(map.k + '') == false",
    "size(s) == 6",
    "s.size() == 6",
    "size('e\\u0301') == 2",
    "list.size() == 4",
    "size(map) == 3",
    "size([]) == 0",
    "size({}) == 0",
    # Membership
    "'a' in list",
    "n in [1, 7.0]",
    "n in [7]",
    "!(one in [true])",
    "!(yes in [1, 2])",
    "yes in [true]",
    "nothing in list",
    "[2] in list",
    "!('1' in list)",
    "!(nan in [nan])",
    "'k' in map",
    "!('z' in map)",
    "!(1 in map)",
    "!(true in map)",
    "!(1.5 in map)",
    "!('a' in [])",
    "s in ['x', 'héllo😀']",
    "!(list in ['x', 'y'])",
    "!n.size in [1] || true",
    # Fields and places
    "map.k == 'v'",
    "map['k'] == 'v'",
    "map . deep . n == 1",
    "map.deep['n'] == 1",
    "list[0] == 1",
    "list[1.0] == 'a'",
    "list[3][0] == 2",
    ".map.k == 'v'",
    "{'a': 1}.a == 1",
    "{'a': 1}['a'] == 1",
    "has(map.k)",
    "has(map.none)",
    "!has(map.absent)",
    "has(map.deep.n)",
    "has({'a': 1}.a)",
    # Logic
    "yes && !no",
    "no || yes",
    "!!yes",
    "yes ? yes : no",
    "no ? no : no ? no : yes",
    "true ? true : 1 / 0 == 1",
    "(yes ? 1 : 'a') == 1",
    "yes && yes || no && no",
    "!(yes && no)",
    "1 < 2 == true",
    "1 == 1 // and nothing more",
    "\t\n\f\r yes ",
]


@pytest.mark.parametrize("text", TRUE)
def test_holds(text: str) -> None:
    assert answer(text) is True


@pytest.mark.parametrize("text", TRUE)
def test_negation_of_what_holds_does_not(text: str) -> None:
    assert answer(f"!({text}\n)") is False


ERRORS = [
    "absent",
    "absent == 1",
    "absent.field == 1",
    "has(absent.field)",
    "'a' in absent",
    "[absent] == [1]",
    "{'k': absent} == {}",
    # The result must be bool
    "1",
    "s",
    "nothing",
    "map",
    "yes ? 1 : 2",
    # Overflow and division
    f"{HIGHEST} + 1 == 0",
    f"{LOWEST} - 1 == 0",
    f"{HIGHEST} * 2 == 0",
    f"{LOWEST} * -1 == 0",
    f"{LOWEST} / -1 == 0",
    f"{LOWEST} % -1 == 0",
    f"-({LOWEST}) == 0",
    "1 / 0 == 1",
    "1 % 0 == 1",
    # No coercion
    "1 + 1.0 == 2.0",
    "n * x == 1.0",
    "n - x == 1.0",
    "n / 2.0 == 1.0",
    "1.0 % 2.0 == 1.0",
    "s + 1 == 'x'",
    "s * 2 == 'x'",
    "yes + yes == 2",
    "[1] + 'a' == [1]",
    "map + map == map",
    "at + at == at",
    "-s == s",
    "-yes == -1",
    "!n",
    "!!!n",
    "!nothing",
    # Ordering
    "yes < 1",
    "n < true",
    "1 > yes",
    "s < 1",
    "n < 's'",
    "nothing < null",
    "nothing <= 1",
    "list < [1]",
    "map >= map",
    "at < 1",
    "at < s",
    "list < at",
    # Containers
    "'l' in s",
    "1 in n",
    "null in {}",
    "list in map",
    "at in map",
    "list[4] == 1",
    "list[-1] == 1",
    "list[0.5] == 1",
    "list['0'] == 1",
    "list[true] == 1",
    "list[nan] == 1",
    "list[1e300] == 1",
    "list.k == 1",
    "map.absent == 1",
    "map['absent'] == 1",
    "map[0] == 1",
    "map[null] == 1",
    "s[0] == 'h'",
    "s.k == 1",
    "n.k == 1",
    "nothing.k == 1",
    "1['k'] == 1",
    "[1]['k'] == 1",
    "'s'.k == 1",
    "has(list.k)",
    "has(s.k)",
    "size(n) == 1",
    "size(nothing) == 0",
    "size(yes) == 1",
    "list.contains('a')",
    "map.startsWith('a')",
    "s.startsWith(n)",
    "n.endsWith('7')",
    "s.contains(nothing)",
    "1.size() == 1",
    # Conditions
    "n ? yes : no",
    "'' ? yes : no",
    "absent ? yes : no",
    "yes && n",
    "no || s",
]


@pytest.mark.parametrize("text", ERRORS)
def test_is_an_error(text: str) -> None:
    assert answer(text) == ERROR


@pytest.mark.parametrize("text", [text for text in ERRORS if "?" not in text])
def test_and_and_or_absorb_an_error_on_either_side(text: str) -> None:
    assert answer(f"({text}) || yes") is True
    assert answer(f"yes || ({text})") is True
    assert answer(f"({text}) && no") is False
    assert answer(f"no && ({text})") is False


@pytest.mark.parametrize("text", ERRORS)
def test_an_error_remains_where_nothing_decides(text: str) -> None:
    assert answer(f"({text}) || no") == ERROR
    assert answer(f"no || ({text})") == ERROR
    assert answer(f"({text}) && yes") == ERROR
    assert answer(f"yes && yes && ({text})") == ERROR


def test_an_error_is_absorbed_at_any_depth() -> None:
    assert answer("!(absent == 1 && (n == 8 || absent2 == 2 && no))") is True
    assert answer("(absent == 1 || n == 7) && (n == 8 || absent2 == 2 || yes)") is True
    assert answer("(absent ? yes : no) || n == 7") is True


def test_equality_does_not_absorb_an_error() -> None:
    assert answer("(absent == 1) == (1 == 2)") == ERROR
    assert answer("[absent == 1, true][1]") == ERROR


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**400])
def test_an_int_beyond_64_bits_is_compared_and_nothing_else(number: int) -> None:
    assert answer("big == n || big == 0", big=number) is False
    assert answer("big > 0", big=number) is (number > 0)
    assert answer("big < 1e300", big=number) is (number < 1e300)
    assert answer("big - big == 0", big=number) == ERROR


def test_what_plus_builds_is_bounded() -> None:
    text, items = "x" * LARGEST_BUILT, [0] * LARGEST_BUILT
    assert answer("a + '' == a", a=text) is True
    assert answer("size(a + 'x') > 0", a=text) == ERROR
    assert answer("size(a + [1]) > 0", a=items) == ERROR


def test_a_value_nested_without_end_is_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    other: list[Any] = []
    other.append(other)
    assert answer("a == b", a=endless, b=other) == ERROR
    assert answer("a in [b]", a=endless, b=other) == ERROR


def test_an_error_says_what_was_wrong() -> None:
    with pytest.raises(EvaluationError, match="platform is not in the context"):
        compile_rule("platform == 'ios'").matches({})
    with pytest.raises(EvaluationError, match="< does not take string and int"):
        compile_rule("level < 3").matches({"level": "3"})


def test_a_rule_knows_the_names_it_reads() -> None:
    rule = compile_rule("a.b['c'] == d || has(e.f) && x in [y] && .z == 'name'")
    assert rule.names == {"a", "d", "e", "x", "y", "z"}
    assert rule.text.startswith("a.b")


def test_a_rule_is_made_once_for_its_text() -> None:
    text = "level == 41"
    assert compile_rule(text) is compile_rule("level" + " == 41")


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_a_rule_can_be_copied_and_pickled(twin: Any) -> None:
    rule = compile_rule("level == 42")
    assert rule.matches({"level": 42})
    assert twin(rule) is rule
    assert repr(rule) == "Rule('level == 42')"


def test_a_rule_is_compiled_once_by_many_threads_with_one_answer() -> None:
    rule = Rule("n == 7 || absent == 1", *parse("n == 7 || absent == 1"))
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda n: rule.matches({"n": n}), [7] * 200))
    assert answers == {True}
