"""The OpenAPI document: complete, consistent, and its own examples work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from commands.client import BASE
from ledger.store import LedgerStore
from tests.integration.calling import PROBLEM, Api, serving

Json = Any


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def test_every_reference_leads_somewhere(api: Api) -> None:
    written = api.document.written
    named = set(re.findall(r"#/components/schemas/([^\"]+)", orjson.dumps(written).decode()))
    assert named == set(written["components"]["schemas"])
    assert not any("-" in name for name in named), "two models have one name"


def test_every_operation_says_what_it_is_and_what_it_refuses(api: Api) -> None:
    names = [operation["operationId"] for _, _, operation in api.document.operations()]
    assert len(set(names)) == len(names)
    for _, path, operation in api.document.operations():
        assert operation["summary"], path
        assert len(operation["description"]) > 10, path
        for status, answer in operation["responses"].items():
            kinds = set(answer["content"])
            assert (PROBLEM in kinds) == (status >= "400"), (path, status)


def test_commands_and_only_they_take_an_idempotency_key(api: Api) -> None:
    asking = {"resolve", "validate_content", "clear_cache", "forget_snapshots"}
    for method, path, operation in api.document.operations():
        taken = {parameter["name"] for parameter in operation.get("parameters", ())}
        commands = method != "GET" and operation["operationId"] not in asking
        assert ("Idempotency-Key" in taken) == commands, path
        existing = commands and path.startswith((f"{BASE}/configs/", f"{BASE}/experiments/"))
        assert ("If-Match" in taken) == existing, path


def test_examples_of_bodies_are_right(api: Api) -> None:
    shown = 0
    for _, _, operation in api.document.operations():
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            named = api.document.written["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            for example in named.get("examples", ()):
                api.document.fits(schema, example)
                shown += 1
    assert shown >= 6


def test_the_examples_of_configs_and_questions_work(api: Api) -> None:
    schemas = api.document.written["components"]["schemas"]
    for example in schemas["ConfigBody"]["examples"]:
        assert api.post("/configs", example).status_code == 201
    for example in schemas["ValidateBody"]["examples"]:
        assert api.post("/validate", example).json()["valid"] is True
    assert api.post("/resolve", schemas["ResolveBody"]["examples"][0]).status_code == 200
