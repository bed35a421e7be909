"""Whatever is wrong with a request is refused with a problem that names it; nothing is appended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.store import LedgerStore
from tests.integration.calling import Api, serving
from tests.integration.spoiling import Schemas, Spoilt, wrong_values
from tests.strategies import json_values

Json = Any

SOME_ID = str(UUID(int=7))
WITH_BODY = [
    "create_config",
    "revise_config",
    "activate_config",
    "deactivate_config",
    "archive_config",
    "roll_back_config",
    "change_rollout",
    "start_shadow",
    "stop_shadow",
    "start_experiment",
    "change_percentage",
    "stop_experiment",
    "freeze",
    "unfreeze",
    "kill_lever",
    "restore_lever",
    "roll_back",
    "resolve",
    "validate_content",
]
WITH_QUERY = [
    "blame",
    "diff",
    "export_bundle",
    "forget_snapshots",
    "lever_history",
    "list_checkpoints",
    "list_configs",
    "list_experiments",
    "preview",
    "prove_answer",
    "prove_consistency",
    "prove_inclusion",
    "read_audit",
    "read_events",
    "read_snapshots",
    "verify_snapshots",
]


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def operation(api: Api, name: str) -> tuple[str, str, Json]:
    for method, path, written in api.document.operations():
        if written["operationId"] == name:
            lever = {"name": "DIALOGUE_GATE", "lever": "DIALOGUE_GATE"}
            named = {"config_id": SOME_ID, "experiment_id": "x", **lever}
            return method, path.format(**named), written
    raise AssertionError(name)


def schemas(api: Api) -> Schemas:
    return Schemas(api.document.written["components"]["schemas"])


def body_schema(written: Json) -> Json:
    return written["requestBody"]["content"]["application/json"]["schema"]


def parameters(written: Json) -> list[Json]:
    return [each for each in written["parameters"] if each["in"] == "query"]


def test_every_operation_that_takes_something_is_spoilt_below(api: Api) -> None:
    bodies, queries = set(), set()
    for _, _, written in api.document.operations():
        name = written["operationId"]
        bodies |= {name} if "requestBody" in written else set()
        queries |= (
            {name} if any(p["in"] == "query" for p in written.get("parameters", ())) else set()
        )
    assert (bodies, queries) == (set(WITH_BODY), set(WITH_QUERY))


@pytest.mark.parametrize("name", WITH_BODY)
def test_the_unspoilt_body_is_well_formed(api: Api, name: str) -> None:
    """Else a refusal would prove nothing: what is wrong then is not the form."""
    method, path, written = operation(api, name)
    body = schemas(api).sample(body_schema(written))
    api.document.fits(body_schema(written), body)
    answer = api.call(method, path, body, headers={"If-Match": "*"})
    for error in answer.json().get("errors", ()):
        assert "Input should be" not in error["detail"], error


@pytest.mark.parametrize("name", WITH_BODY)
def test_every_spoilt_body_is_refused_and_the_place_named(api: Api, name: str) -> None:
    method, path, written = operation(api, name)
    head, missed = api.head(), []
    spoilt = list(schemas(api).spoilt(body_schema(written)))
    for each in spoilt:
        answer = api.call(method, path, content=as_bytes(each.body), headers=JSON)
        if not names(answer.json(), answer.status_code, each):
            missed.append(f"{each}: {answer.status_code} {answer.text[:200]}")
    assert missed == []
    assert len(spoilt) > 10
    assert api.head() == head


def names(told: Json, status: int, spoilt: Spoilt) -> bool:
    """Tell whether an answer is a refusal of the place that is wrong, or of a part of it."""
    if not 400 <= status < 500:
        return False
    there = spoilt.pointer
    pointers = [error["pointer"] for error in told.get("errors", ())]
    return any(p == there or p.startswith(f"{there}/") or not there for p in pointers)


@pytest.mark.parametrize("name", WITH_QUERY)
def test_every_spoilt_query_is_refused_and_the_parameter_named(api: Api, name: str) -> None:
    method, path, written = operation(api, name)
    missed = []
    for parameter, how, value in spoilt_queries(api, written):
        answer = api.call(method, path, params={parameter: value})
        pointers = [error["pointer"] for error in answer.json().get("errors", ())]
        if not 400 <= answer.status_code < 500 or f"/{parameter}" not in pointers:
            missed.append(f"{parameter} {how} {value!r}: {answer.status_code} {answer.text[:200]}")
    assert missed == []


def spoilt_queries(api: Api, written: Json) -> Iterator[tuple[str, str, Json]]:
    for parameter in parameters(written):
        name = parameter["name"].replace("*", "x")
        plain = schemas(api).plain(parameter["schema"])
        for how, value in wrong_values(plain, nullable=True):
            # In a query everything is text, and a request line is not as long as a body.
            if isinstance(value, str) and value != "1" and len(value) < 10_000:
                yield name, how, value
            elif isinstance(value, int | float) and how.endswith(("small", "large")):
                yield name, how, str(value)
        yield name, "twice", ["1", "1"]
    yield "unknown", "an unknown parameter", "1"


@pytest.mark.parametrize("name", WITH_BODY)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_body_whatever_makes_the_api_fail(api: Api, name: str, data: st.DataObject) -> None:
    method, path, written = operation(api, name)
    whole = schemas(api).sample(body_schema(written))
    members = st.sampled_from([*whole, "unknown"])
    noise = data.draw(st.dictionaries(members, json_values, max_size=3) | json_values)
    body = {**whole, **noise} if isinstance(noise, dict) else noise
    answer = api.call(method, path, content=as_bytes(body), headers=JSON)
    assert answer.status_code < 500, answer.text


JSON = {"Content-Type": "application/json", "If-Match": "*"}


def as_bytes(body: Json) -> bytes:
    """Write what no writer of JSON should: NaN, lone surrogates, numbers without end."""
    return json.dumps(body).encode()
