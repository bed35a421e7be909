"""What the views write is what Postgres takes, and every kind of event has its place in them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events import EVENT_TYPES
from projections import sql
from projections.audit import ACTIONS
from projections.catalogue import VIEWS
from projections.configs import configs_statement
from projections.trail import audit_statement
from projections.views import as_json, plain, stamp

Json = Any

texts = st.text(st.sampled_from(["\\", "\0", "u", "0", '"', "é", "\ufffd", "{"]), max_size=8)


@given(texts)
def test_a_text_changes_in_nothing_but_its_nuls(text: str) -> None:
    assert json.loads(as_json(text)) == text.replace("\0", "\ufffd") == plain(text)


@given(st.dictionaries(texts, st.lists(texts | st.integers(-(2**63), 2**63))))
def test_json_never_holds_a_nul(value: Json) -> None:
    assert "\0" not in json.dumps(json.loads(as_json(value)), ensure_ascii=False)


def test_json_takes_ids() -> None:
    assert as_json([UUID(int=1), None]) == f'["{UUID(int=1)}",null]'


@pytest.mark.parametrize(("at", "text"), [(None, None), (0, "1970-01-01T00:00:00.000000Z")])
def test_an_instant_is_written_exactly(at: int | None, text: str | None) -> None:
    assert stamp(at) == text


def test_every_event_has_an_action_of_its_own() -> None:
    assert set(ACTIONS) == set(EVENT_TYPES.values())
    assert len(set(ACTIONS.values())) == len(ACTIONS)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_makes_and_protects_all_its_tables(view: Any) -> None:
    text = view.schema.decode()
    assert view.name == view.tables[0]
    for table in view.tables:
        assert f"CREATE TABLE {table} (" in text
        assert f"liveops_protect('{table}')" in text


def test_a_filter_that_is_not_given_is_not_in_the_statement() -> None:
    given_none = audit_statement({"actor": None, "lever": None})
    assert "%(actor)s" not in given_none.as_string()
    assert "%(actor)s" in audit_statement({"actor": UUID(int=1)}).as_string()
    assert "%(q)s" not in configs_statement({}).as_string()


def test_no_statement_is_lost_between_two_names() -> None:
    text = sql.read("queries.sql").decode()
    assert len(sql.queries()) == text.count("-- name: ")
    assert all(statement.endswith(b";") for statement in sql.queries().values())
