"""Who asks, as a value: copied, compared and sent to another process."""

from __future__ import annotations

import pickle
from copy import deepcopy

import pytest

from ledger.scopes import Context

PLAIN = Context("s1")
FULL = Context("s1", 7, "w", "a", "x", "b", {"y": None}, {"tags": ["new"]})


@pytest.mark.parametrize("context", [PLAIN, FULL])
def test_a_context_can_be_sent_and_copied(context: Context) -> None:
    assert pickle.loads(pickle.dumps(context)) == context
    assert deepcopy(context) == context
    assert deepcopy(context).attributes is not context.attributes


def test_a_context_that_names_nothing_more_equals_one_with_empty_parts() -> None:
    assert Context("s1", experiments={}, attributes={}) == PLAIN
    assert PLAIN.to_json() == {"session_id": "s1"}


def test_contexts_without_attributes_share_nothing_that_can_be_changed() -> None:
    with pytest.raises(TypeError):
        PLAIN.attributes["level"] = 5  # type: ignore[index]
    assert Context("s2").attributes == {}
