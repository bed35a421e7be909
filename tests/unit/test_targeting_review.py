"""What the author of a rule is shown, and what a rule may cost."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given

from ledger.errors import RuleError
from ledger.targeting import EvaluationError, Rule, check_rule
from ledger.targeting.cost import MOST_PARTS, MOST_WALKS
from ledger.targeting.review import WIDEST, pointed, review
from tests.strategies import texts

DECLARED = {"level": "int", "platform": "string", "tags": "list(string)", "extra": "dyn"}


def test_a_sound_rule_shows_what_it_reads_and_of_which_type() -> None:
    found = review("'vip' in tags || extra.a == 1 && turn_id > 3 && level in [1]", DECLARED)
    reads = {"extra": "dyn", "level": "int", "tags": "list(string)", "turn_id": "int"}
    assert found == (True, reads, None, None, None)
    assert review("guild.name == 'iron'").to_json()["types"] == {"guild": "dyn"}


def test_an_unsound_rule_shows_where_it_is_wrong_and_why() -> None:
    found = review("level >= 20 && platfrom == 'ios'", DECLARED)
    assert not found.valid
    assert (found.at, found.reads) == (15, {})
    assert found.detail == "unknown name 'platfrom'; did you mean 'platform'?"
    assert found.shown == "level >= 20 && platfrom == 'ios'\n               ^"


@pytest.mark.parametrize(
    ("text", "at", "shown"),
    [
        ("", 0, "\n^"),
        ("a ==", 4, "a ==\n    ^"),
        ("a &&\n  b c", 9, "  b c\n    ^"),
        ("a &&\nb", 4, "a &&\n    ^"),
        ("a\tb", 2, "a b\n  ^"),
        ("'日本' b", 5, "'日本' b\n       ^"),
        ("'e\u0301' b", 5, "'e\u0301' b\n    ^"),
        ("\x1b[2J\u202e", 1, "\ufffd[2J\ufffd\n ^"),
        ("x" * 200, 3, "x" * WIDEST + "…\n   ^"),
        ("x" * 200, 200, "…" + "x" * WIDEST + "\n" + " " * (WIDEST + 1) + "^"),
        ("x" * 99 + "!" + "y" * 100, 99, f"…{'x' * 48}!{'y' * 27}…\n{' ' * 49}^"),
    ],
)
def test_the_caret_stands_under_the_place(text: str, at: int, shown: str) -> None:
    assert pointed(text, at) == shown


@given(texts)
def test_any_text_can_be_reviewed(text: str) -> None:
    found = review(text)
    assert found.valid == (found.shown is None)
    assert found.shown is None or "\x1b" not in found.shown


# --- Cost ---

WALKS = [
    ("{} == {}", 1),
    ("{} != {}", 1),
    ("1 in {}", 1),
    ("{} in {}", 1),
    ("{} in [{}, {}, 1]", 2),
    ("[{}, {}] == [{}, {}]", 2),
    ("{{'k': {}}} == {}", 1),
    ("{} + {} == {} + {} + {}", 5),
    ("size({} + 'x') == 1", 1),
    ("{}.k[0] == {}['k']", 1),
    ("({} == 1 ? {} : {} + {}) == {}", 2),
    ("(true in [true in [1 in {}]])", 1),
]
CHEAP = [
    "{} == 1",
    "{} in [1, 2, 'x']",
    "'vip' in {}",
    "{} in {{'a': 1}}",
    "{}.k == 'x'",
    "{} < {}",
    "{}.contains({})",
    "level == turn_id",
    "platform in [world_id, adventure_id]",
    "size({}) == size({})",
    "{} + 1 == 2",
]


def rule_of(part: str, times: int) -> str:
    return " || ".join([part.format(*"lm" * 4)] * times)


@pytest.mark.parametrize(("part", "walks"), WALKS)
def test_walks_through_values_of_the_context_are_bounded(part: str, walks: int) -> None:
    times = MOST_WALKS // walks
    check_rule(rule_of(part, times))
    with pytest.raises(RuleError, match=f"what the context holds {MOST_WALKS} times"):
        check_rule(rule_of(part, times + 1))


@pytest.mark.parametrize("part", CHEAP)
def test_what_goes_through_nothing_is_not_counted(part: str) -> None:
    check_rule(rule_of(part, 2 * MOST_WALKS), DECLARED | {"l": "dyn", "m": "dyn"})


def test_a_rule_has_so_many_parts_and_no_more() -> None:
    check_rule("||".join(["a"] * (MOST_PARTS - 1)))
    refused = review("||".join(["a"] * MOST_PARTS))
    assert refused.detail == f"a rule has at most {MOST_PARTS} values and operators"
    assert refused.at == len("a||") * (MOST_PARTS - 1)


def test_a_walk_too_many_is_pointed_at() -> None:
    found = review(rule_of("{} == {}", MOST_WALKS + 1))
    assert found.at == len("l == m || ") * MOST_WALKS + 2


def test_lists_in_one_another_are_weighed_once() -> None:
    begin = time.perf_counter()
    check_rule("true in [" * 30 + "true" + "]" * 30)
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize(("part", "walks"), WALKS)
def test_the_dearest_rule_answers_of_long_lists_within_a_millisecond(part: str, walks: int) -> None:
    rule = check_rule(rule_of(f"({part}) && false", MOST_WALKS // walks))
    same, other = list(range(100)), [*range(99), -1]
    bindings: dict[str, object] = {"l": same, "m": other}
    assert min(_duration(rule, bindings) for _ in range(20)) < 1e-3


def _duration(rule: Rule, bindings: dict[str, object]) -> float:
    begin = time.perf_counter()
    with suppress(EvaluationError):
        rule.matches(bindings)
    return time.perf_counter() - begin


def test_what_authors_try_out_is_not_remembered() -> None:
    assert check_rule("level == 3") is not check_rule("level == 3")
