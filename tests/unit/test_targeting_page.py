"""docs/reference/targeting.md says what the language does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ledger.errors import RuleError
from ledger.targeting import CONTEXT_NAMES, check_rule
from ledger.targeting.cost import MOST_PARTS, MOST_WALKS
from ledger.targeting.grammar import DEEPEST, FUNCTIONS, LONGEST_LIST, METHODS
from ledger.targeting.lexer import LONGEST_RULE
from ledger.targeting.operators import LARGEST_BUILT

_PAGE = (Path(__file__).parents[2] / "docs/reference/targeting.md").read_text(encoding="utf-8")
_EXAMPLES = [
    line
    for block in re.findall(r"```cel\n(.*?)```", _PAGE, re.DOTALL)
    for line in block.split("\n")
]
_REFUSED = re.findall(r"^\| `([^|]+)` \| `(.+)` at (\d+) \|$", _PAGE, re.MULTILINE)


@pytest.mark.parametrize("text", [line for line in _EXAMPLES if line])
def test_an_example_is_a_rule(text: str) -> None:
    assert check_rule(text).names


@pytest.mark.parametrize(("text", "reason", "position"), _REFUSED)
def test_an_example_of_a_refusal_is_refused_so(text: str, reason: str, position: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_rule(text)
    assert (caught.value.reason, caught.value.position) == (reason, int(position))


def test_the_page_has_examples() -> None:
    assert len(_EXAMPLES) >= 6
    assert len(_REFUSED) >= 4


@pytest.mark.parametrize("name", [*CONTEXT_NAMES, *FUNCTIONS, *METHODS])
def test_a_name_is_on_the_page(name: str) -> None:
    assert re.search(rf"`(a\.)?{name}\b", _PAGE)


@pytest.mark.parametrize(
    "limit", [LONGEST_RULE, DEEPEST, LONGEST_LIST, MOST_PARTS, MOST_WALKS, LARGEST_BUILT]
)
def test_a_limit_is_on_the_page(limit: int) -> None:
    assert f"| {limit} |\n" in _PAGE
