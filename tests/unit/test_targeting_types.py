"""What a rule's author is told before any context has asked it."""

from __future__ import annotations

import pytest

from ledger.errors import RuleError
from ledger.targeting import CONTEXT_NAMES, check_rule, compile_rule, read_type

DECLARED = {
    "platform": "string",
    "level": "int",
    "score": "double",
    "premium": "bool",
    "tags": "list(string)",
    "bag": "list",
    "player": "map(string, map(string, int))",
    "extra": "dyn",
    "blob": "map",
}

ACCEPTED = [
    "platform == 'ios' && level >= 20 && world_id in ['w1', 'w2']",
    "premium",
    "extra",
    "extra.deep[0] == 1 && extra + 1 > 2",
    "level == 1.0 && score == 1 && level < score",
    "score * 2.0 > 1.0",
    "'vip' in tags && tags[0] == 'x' && size(tags) > 1",
    "tags + ['x'] == tags",
    "tags == []",
    "bag[0] == 'x' && 1 in bag",
    "bag + tags == bag",
    "player.stats.strength > 3 && has(player.stats)",
    "player['stats']['strength'] == 3",
    "'stats' in player",
    "blob.a.b == 'x'",
    "at >= timestamp('2026-01-01T00:00:00Z')",
    "turn_id % 2 == 0",
    "-level < 0 && !premium",
    "(premium ? level : 2) == 1",
    "(premium ? extra : 'x') == 1",
    "(extra ? premium : extra)",
    "platform.startsWith('i') || session_id.endsWith(platform)",
    "[1, 'a'][0] == true",
    "{'a': 1, 'b': 'x'}[platform] == 1",
    "true < premium",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_a_sound_rule_is_accepted(text: str) -> None:
    assert check_rule(text, DECLARED).names == compile_rule(text).names


REFUSED = [
    ("platfrom == 'ios'", 0, "unknown name 'platfrom'; did you mean 'platform'?"),
    ("true || Level == 1", 8, "unknown name 'Level'; did you mean 'level'?"),
    ("world == 'w1'", 0, "unknown name 'world'; did you mean 'world_id'?"),
    ("premium == True", 11, "unknown name 'True'; did you mean 'true'?"),
    ("qqq == 1", 0, "unknown name 'qqq'"),
    ("has(guild.name)", 4, "unknown name 'guild'"),
    ("level", 0, "a rule must be bool, this one is int"),
    ("tags", 0, "a rule must be bool, this one is list(string)"),
    ("player", 0, "a rule must be bool, this one is map(string, map(string, int))"),
    ("level == '20'", 6, "== does not take int and string"),
    ("premium == 1", 8, "== does not take bool and int"),
    ("platform != null", 9, "!= does not take string and null"),
    ("tags == [1]", 5, "== does not take list(string) and list(int)"),
    ("level < '3'", 6, "< does not take int and string"),
    ("tags < tags", 5, "< does not take list(string) and list(string)"),
    ("extra < tags", 6, "< does not take dyn and list(string)"),
    ("at > turn_id", 3, "> does not take timestamp and int"),
    ("level + 1.0 == 2.0", 6, "+ does not take int and double"),
    ("level + platform == 'x'", 6, "+ does not take int and string"),
    ("premium + extra == 1", 8, "+ does not take bool and dyn"),
    ("score % 2.0 == 0.0", 6, "% does not take double and double"),
    ("platform * 2 == 'x'", 9, "* does not take string and int"),
    ("at - at == 1", 3, "- does not take timestamp and timestamp"),
    ("-platform == 'x'", 0, "- does not take string"),
    ("!level", 0, "! does not take int"),
    ("1 in tags", 2, "in does not take int and list(string)"),
    ("1 in player", 2, "in does not take int and map(string, map(string, int))"),
    ("'x' in platform", 4, "in does not take string and string"),
    ("tags['0'] == 'x'", 4, "[ ] does not take list(string) and string"),
    ("player[0] == 1", 6, "[ ] does not take map(string, map(string, int)) and int"),
    ("platform[0] == 'i'", 8, "[ ] does not take string and int"),
    ("platform.x == 1", 9, ".x needs a map, not string"),
    ("has(tags.x)", 9, ".x needs a map, not list(string)"),
    ("player.stats.x.y == 1", 15, ".y needs a map, not int"),
    ("size(level) == 1", 0, "size does not take int"),
    ("platform.startsWith(level)", 9, "startsWith does not take string and int"),
    ("tags.contains('x')", 5, "contains does not take list(string) and string"),
    ("premium && level", 11, "&& needs bool, not int"),
    ("platform || premium", 0, "|| needs bool, not string"),
    ("level ? true : false", 0, "?: needs bool, not int"),
    (
        "premium ? 1 : 'a'",
        8,
        "?: chooses between int and string; they must be of one type",
    ),
    ("1 +", 3, "the end of the rule stands where a value should"),
]


@pytest.mark.parametrize(("text", "position", "reason"), REFUSED)
def test_an_unsound_rule_is_refused(text: str, position: int, reason: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_rule(text, DECLARED)
    assert (caught.value.position, caught.value.reason) == (position, reason)


def test_without_declarations_any_attribute_may_exist() -> None:
    rule = check_rule("anything.at[0] == 'all' && world_id == 'w1'", None)
    assert rule.names == {"anything", "world_id"}


def test_without_declarations_too_a_constant_of_another_language_is_no_attribute() -> None:
    with pytest.raises(RuleError, match="unknown name 'None'; did you mean 'null'"):
        check_rule("guild != None", None)
    assert check_rule("True", {"True": "bool"}).names == {"True"}


def test_the_names_of_the_context_keep_their_types() -> None:
    with pytest.raises(RuleError, match="== does not take int and string"):
        check_rule("turn_id == '3'", None)
    with pytest.raises(RuleError, match="== does not take string and int"):
        check_rule("session_id == 3", {"session_id": "int"})


def test_an_empty_declaration_leaves_the_names_of_the_context() -> None:
    everything = " || ".join(f"{name} == {name}" for name in CONTEXT_NAMES)
    assert check_rule(everything, {}).names == set(CONTEXT_NAMES)
    with pytest.raises(RuleError, match="unknown name 'level'"):
        check_rule("level == 1", {})


@pytest.mark.parametrize(
    "text", ["bool", "int", "double", "string", "dyn", "list(int)", "map(string, list(dyn))"]
)
def test_a_type_is_read_and_written_alike(text: str) -> None:
    assert str(read_type(f" {text} ")) == text


@pytest.mark.parametrize("text", ["list", "map"])
def test_a_bare_container_holds_dyn(text: str) -> None:
    assert "dyn" in str(read_type(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "number",
        "list()",
        "list(number)",
        "map(int, string)",
        "timestamp",
        "list(" * 20 + ")" * 20,
    ],
)
def test_an_unknown_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a type"):
        read_type(text)
