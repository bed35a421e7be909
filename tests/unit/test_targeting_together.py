"""Rules that are asked together say what each of them says alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.targeting import EvaluationError, compile_rule
from ledger.targeting.together import together

Json = Any

TEXTS = [
    "a == b",
    "a == true",
    "!(a == true)",
    "a != null",
    "a < 5",
    "a >= 2.5 && b in [1, 2, 3]",
    'c.startsWith("x") || a > 1',
    "has(m.k) && m.k == 1",
    "size(c) > 2",
    "a + 1 == b",
    "a in m",
    'm["k"] == 1',
    'a ? b == 1 : c == "x"',
    'c in ["x", "y"]',
    "!a",
    "a || b == 1",
    "a && b",
    "b in [true, 1]",
    "l[0] == 1",
    "-a < 3",
    "b % 2 == 0",
    'c.contains("z")',
    'm == {"k": 1}',
    "m.k.k == 1",
    "true",
]
values = st.sampled_from(
    [True, False, 0, 1, 2, 2.5, 1.0, "x", "", "xyz", None, [1], [], {"k": 1}, {}, 10**18]
)
contexts = st.dictionaries(st.sampled_from("abcml"), values)
several = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6).map(tuple)


def alone(texts: tuple[str, ...], context: dict[str, Json]) -> tuple[list[int], list[int]]:
    """Which rules hold, and which fail, asked one by one."""
    held, failed = [], []
    for index, text in enumerate(texts):
        try:
            if compile_rule(text).matches(context):
                held.append(index)
        except EvaluationError:
            failed.append(index)
    return held, failed


@given(several, st.lists(contexts, min_size=1, max_size=10))
def test_they_say_what_each_says_alone(
    texts: tuple[str, ...], asked: list[dict[str, Json]]
) -> None:
    rules = [compile_rule(text) for text in texts]
    ask = together(rules, [{str(index): index} for index in range(len(rules))])
    for context in asked:
        held: dict[str, int] = {}
        failed: list[int] = []
        any_is_met = ask(context, held.update, failed.append)
        assert (list(held.values()), failed) == alone(texts, context)
        assert any_is_met == bool(held)


def test_a_missing_name_is_a_failure_of_those_that_read_it() -> None:
    ask = together([compile_rule("a == 1"), compile_rule("b == 1")], [{"0": 0}, {"1": 1}])
    held: dict[str, int] = {}
    failed: list[int] = []
    assert ask({"b": 1}, held.update, failed.append)
    assert (held, failed) == ({"1": 1}, [0])
