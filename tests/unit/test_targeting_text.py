"""How a targeting rule is written, where it is refused, and what hostile text can do: nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from ledger.errors import RuleError
from ledger.targeting import EvaluationError, Rule, compile_rule
from ledger.targeting.grammar import DEEPEST, LONGEST_LIST, parse
from ledger.targeting.lexer import LONGEST_RULE

STRINGS = [
    ('"a"', "a"),
    ("'a'", "a"),
    ('"a\'b"', "a'b"),
    ("'''it's'''", "it's"),
    ('"""a"b"""', 'a"b'),
    ('"""a\nb"""', "a\nb"),
    ('"""a\r\nb\rc"""', "a\nb\nc"),
    ("r'''a\r\nb'''", "a\nb"),
    (r"r'\n'", "\\n"),
    (r"R'a\\'", "a\\\\"),
    (r'"\a\b\f\n\r\t\v\\\?\"\'\`"', "\a\b\f\n\r\t\v\\?\"'`"),
    (r'"\x41\X42\103\u0044\U00000045"', "ABCDE"),
    (r'"\xff\377"', "ÿÿ"),
    (r'"\x00"', "\0"),
    (r'"\U0010FFFF"', "\U0010ffff"),
    ('"é😀"', "é😀"),
    ('""', ""),
    ("''''''", ""),
    ('"// no comment"', "// no comment"),
]


@pytest.mark.parametrize(("literal", "value"), STRINGS)
def test_a_string_is_read(literal: str, value: str) -> None:
    assert compile_rule(f"s == {literal}").matches({"s": value}) is True


REFUSED = [
    ("", 0, "the rule is empty"),
    (" // nothing", 0, "the rule is empty"),
    ("a ==", 4, "the end of the rule stands where a value should"),
    ("a == = b", 5, "'=' has no meaning here; did you mean '=='?"),
    ("a = 1", 2, "'=' has no meaning here; did you mean '=='?"),
    ("a => 1", 2, "'=' has no meaning here; did you mean '>='?"),
    ("a === 1", 4, "'=' has no meaning here"),
    ("a & b", 2, "'&' has no meaning here; did you mean '&&'?"),
    ("a and b", 2, "'and' stands where an operator or the end should; did you mean '&&'?"),
    ("(a or b)", 3, "'or' stands where ')' should; did you mean '||'?"),
    ("not a", 4, "'a' stands where an operator or the end should; did you mean '!'?"),
    ("a # b", 2, "'#' has no meaning here"),
    ("é == 1", 0, "'é' (LATIN SMALL LETTER E WITH ACUTE) has no meaning here"),
    (
        "a\u00a0== 1",
        1,
        "'\\xa0' (NO-BREAK SPACE) has no meaning here; did you mean ' '?",
    ),
    (
        "a == \u201cb\u201d",
        5,
        "'\u201c' (LEFT DOUBLE QUOTATION MARK) has no meaning here; did you mean '\"'?",
    ),
    ("len(a) == 1", 0, "unknown function 'len'; did you mean 'size'?"),
    ("a <> b", 3, "'>' stands where a value should"),
    ("a b", 2, "'b' stands where an operator or the end should"),
    ("(a", 2, "the end of the rule stands where ')' should"),
    ("a)", 1, "')' stands where an operator or the end should"),
    ("1 == 1 // '''\n§'''", 14, "'§' (SECTION SIGN) has no meaning here"),
    ("()", 1, "')' stands where a value should"),
    ("[1", 2, "the end of the rule stands where ']' should"),
    ("[,]", 1, "',' stands where a value should"),
    ("size([],)", 8, "')' stands where a value should"),
    ("a[]", 2, "']' stands where a value should"),
    ("a.", 2, "the end of the rule stands where a name should"),
    ("a..b", 2, "'.' stands where a name should"),
    ("a.1", 1, "'.1' stands where an operator or the end should"),
    ("a.in", 2, "'in' stands where a name should"),
    ("a.true", 2, "'true' stands where a name should"),
    (".true", 1, "'true' stands where a value should"),
    ("1.", 2, "the end of the rule stands where a name should"),
    ("1abc", 1, "'abc' stands where an operator or the end should"),
    ("1_000", 1, "'_000' stands where an operator or the end should"),
    ("0X10", 1, "'X10' stands where an operator or the end should"),
    ("a ? b", 5, "the end of the rule stands where ':' should"),
    ("a ? b ? c : d : e", 6, "'?' stands where ':' should"),
    ("!-a", 2, "'a' stands where a number should"),
    ("in == 1", 0, "'in' is a reserved word"),
    ("if == 1", 0, "'if' is a reserved word"),
    ("x == while", 5, "'while' is a reserved word"),
    # Literals
    ("9223372036854775808", 0, "an int has at most 64 bits"),
    ("--9223372036854775808", 2, "an int has at most 64 bits"),
    ("-9223372036854775809", 0, "an int has at most 64 bits"),
    ("a == 0x8000000000000000", 5, "an int has at most 64 bits"),
    ("a == " + "9" * 4000, 5, "an int has at most 64 bits"),
    ("1u", 0, "unsigned literals are not part of the language"),
    ("0x1U", 0, "unsigned literals are not part of the language"),
    ("b'x'", 0, "bytes literals are not part of the language"),
    ("'abc", 0, "the string is not closed"),
    ("'a\nb'", 0, "the string is not closed"),
    ("'a\\\nb'", 0, "the string is not closed"),
    ("'a' 'b'", 4, "a string stands where an operator or the end should"),
    (r"r'\'", 0, "a raw string cannot end with a single backslash"),
    (r"'ab\q'", 3, "the backslash begins no escape sequence"),
    (r"'\0'", 1, "the backslash begins no escape sequence"),
    (r"'\400'", 1, "the backslash begins no escape sequence"),
    (r"'\x4'", 1, "the backslash begins no escape sequence"),
    (r"'\ud800'", 1, "\\ud800 is no Unicode character"),
    (r"'\U0000DFFF'", 1, "\\U0000DFFF is no Unicode character"),
    (r"'\U00110000'", 1, "\\U00110000 is no Unicode character"),
    ("a == '\0'", 6, "a rule cannot hold the character NUL"),
    ("a == '\ud800'", 6, "half a surrogate pair is no character"),
    ("{1: 2}", 1, "'1' stands where a string as key should"),
    ("{'a': 1, 'a': 2}", 9, "the key 'a' stands twice in the map"),
    ("a{}", 1, "messages are not part of the language"),
    # Calls
    ("foo(1)", 0, "unknown function 'foo'"),
    ("a.startswith('x')", 2, "unknown function 'startswith'; did you mean 'startsWith'?"),
    ("a.beginsWith('x')", 2, "unknown function 'beginsWith'; did you mean 'endsWith'?"),
    ("sise(a) == 1", 0, "unknown function 'sise'; did you mean 'size'?"),
    ("contains(a, 'x')", 0, "contains is called as text.contains(…)"),
    ("a.has(b)", 2, "has is called as has(…)"),
    ("size() == 1", 0, "size takes 1 argument, not 0"),
    ("size(a, b) == 1", 0, "size takes 1 argument, not 2"),
    ("a.size(b) == 1", 2, "size takes no argument, not 1"),
    ("a.contains()", 2, "contains takes 1 argument, not 0"),
    ("a.matches('x+')", 2, "regular expressions are not part of the language"),
    ("a.all(x, x > 0)", 2, "macros over lists are not part of the language"),
    ("has(a)", 0, "has() takes a field of a map, like has(player.guild)"),
    ("has(a['b'])", 0, "has() takes a field of a map, like has(player.guild)"),
    (".has(a.b)", 1, "unknown function '.has'; has(…) has no dot before it"),
    ("at > timestamp(a)", 5, "timestamp() takes a text that stands in the rule"),
    ("at > timestamp(1)", 5, "timestamp() takes a text that stands in the rule"),
    (
        "at > timestamp('2026-01-01T00:00:00.0000001Z')",
        15,
        "instants have at most six digits behind the second",
    ),
    (
        "at > timestamp('tomorrow')",
        15,
        "'tomorrow' is not an RFC 3339 instant like 2026-01-31T18:05:00Z",
    ),
]


@pytest.mark.parametrize(("text", "position", "reason"), REFUSED)
def test_is_refused_with_position_and_reason(text: str, position: int, reason: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_rule(text)
    assert (caught.value.position, caught.value.reason) == (position, reason)
    assert f"{reason} (at {position})" in caught.value.message


NESTED: list[tuple[str, Callable[[int], str]]] = [
    ("parentheses", lambda n: "(" * n + "a" + ")" * n),
    ("lists", lambda n: "[" * n + "a" + "]" * n + " == b"),
    ("maps", lambda n: "{'k':" * n + "a" + "}" * n + " == b"),
    ("places", lambda n: "a[" * n + "b" + "]" * n + " == b"),
    ("fields", lambda n: "a" + ".b" * n + " == 1"),
    ("calls", lambda n: "size(" * n + "a" + ")" * n + " == 1"),
    ("methods", lambda n: "a" + ".size()" * n + " == 1"),
    ("negations", lambda n: "!(" * n + "a" + ")" * n),
    ("sums", lambda n: "a" + " + a" * n + " == 1"),
    ("comparisons", lambda n: "a" + " == a" * n),
    ("choices", lambda n: "a ? b : " * n + "c"),
    ("logic", lambda n: "(a && b || " * n + "c" + ")" * n),
    ("has", lambda n: "has(" + "a" + ".b" * n + ")"),
    ("signs", lambda n: "-" * n + "a"),
]


@pytest.mark.parametrize(("kind", "nested"), NESTED)
def test_depth_is_bounded(kind: str, nested: Callable[[int], str]) -> None:
    for context in ({}, {"a": True, "b": 1, "c": True}, {"a": "x", "c": False}):
        try:
            compile_rule(nested(DEEPEST // 2 - 2)).matches(context)
        except EvaluationError:
            continue
    with pytest.raises(RuleError, match=f"at most {DEEPEST}"):
        compile_rule(nested(DEEPEST + 1))


@pytest.mark.parametrize(("kind", "nested"), NESTED)
def test_no_recursion_error_escapes_from_a_deep_stack(
    kind: str, nested: Callable[[int], str]
) -> None:
    text = nested(DEEPEST // 2 - 3)
    outcomes = {_with_frames_left(frames, text) for frames in range(20, 420, 7)}
    assert outcomes <= {"refused", "error", "answered"}


def _with_frames_left(frames: int, text: str) -> str:
    stack, depth = sys._getframe(), 0
    while stack.f_back is not None:
        stack, depth = stack.f_back, depth + 1
    return _deep_down(sys.getrecursionlimit() - depth - frames, text)


def _deep_down(levels: int, text: str) -> str:
    """Ask a new rule with nearly no stack left."""
    if levels > 0:
        return _deep_down(levels - 1, text)
    try:
        Rule(text, *parse(text)).matches({"a": True, "b": {}, "c": 1})
    except RuleError:
        return "refused"
    except EvaluationError:
        return "error"
    except RecursionError:
        return "escaped"
    return "answered"


def test_length_is_bounded() -> None:
    whole = "a == '" + "x" * (LONGEST_RULE - 7) + "'"
    assert compile_rule(whole).matches({"a": ""}) is False
    with pytest.raises(RuleError, match="at most 4096 characters"):
        compile_rule(whole + " ")


@pytest.mark.parametrize("item", ["1", "a", "'x'"])
def test_a_list_is_bounded(item: str) -> None:
    items = ",".join([item] * LONGEST_LIST)
    assert compile_rule(f"1 in [{items},]").names <= {"a"}
    with pytest.raises(RuleError, match="at most 256 items"):
        compile_rule(f"1 in [{items},{item}]")


def test_many_conditions_are_no_depth() -> None:
    text = " || ".join(f"n == {n}" for n in range(300))
    assert compile_rule(text).matches({"n": 299}) is True
    assert compile_rule(text).matches({"n": 300}) is False
