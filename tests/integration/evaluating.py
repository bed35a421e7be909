"""Evaluating flags by OFREP in tests: one context, and what is asked for it."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.integration.calling import Api

Json = Any

FLAGS = "/ofrep/v1/evaluate/flags"
GLADE = {"targetingKey": "s1", "world_id": "world.forest_glade"}


def evaluate(
    api: Api, key: str | None = None, context: Json = GLADE, **headers: str
) -> httpx2.Response:
    """Evaluate one flag, or all; `headers` are named with underscores."""
    path = FLAGS if key is None else f"{FLAGS}/{key}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.post(path, json={"context": context}, headers=named)


def evaluated(api: Api, key: str, context: Json = GLADE) -> Json:
    """Evaluate one flag that is there."""
    answer = evaluate(api, key, context)
    assert answer.status_code == 200, answer.text
    return answer.json()


def failed(answer: httpx2.Response, status: int, code: str) -> str:
    """Assert that an answer is an error as OFREP has it, and return its details."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["errorCode"] == code
    assert told["errorDetails"]
    return str(told["errorDetails"])
