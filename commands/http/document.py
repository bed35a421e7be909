"""The OpenAPI document: FastAPI's, and in it what every operation shares, said of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from commands.http.answers import Config, ConfigHistory, ConfigOutcome, ProblemDetails
from commands.http.experiment_answers import ExperimentDetail, ExperimentOutcome
from commands.http.problems import MEDIA_TYPE

Json = Any

_REF = "#/components/schemas/"
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": f"{_REF}{ProblemDetails.__name__}"}}}
_TAGGED = {
    f"{_REF}{answer.__name__}"
    for answer in (Config, ConfigHistory, ConfigOutcome, ExperimentDetail, ExperimentOutcome)
}
_POSITION = {
    "Ledger-Position": {
        "description": "The position in the ledger that the answer takes account of.",
        "schema": {"type": "integer"},
    }
}
_ETAG = {
    "ETag": {
        "description": "What If-Match is to name: a config's newest revision, or the position of "
        "an experiment's last event, quoted.",
        "schema": {"type": "string"},
    }
}
_RETRY = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}}}
_WHY = {
    400: "The request cannot be read: broken JSON, a header in no known form.",
    401: "No bearer token, or one that is not valid here.",
    404: "There is no such thing in the ledger.",
    406: "The answer is not available in this format.",
    409: "The state of the ledger does not allow it.",
    412: "What is to be changed has moved on, or the ledger has not reached the position demanded.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The content breaks a rule; `errors` and `violations` list every one.",
    423: "A freeze is in force there; `actor`, `reason` and `since` tell whose.",
    428: "The request must say If-Match.",
    503: "The database is away, or a view has not got there yet: retry.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document what an operation may refuse, beside what all operations may."""
    return {status: _refusal(status) for status in statuses}


def _refusal(status: int) -> dict[str, Any]:
    why = _WHY.get(status, HTTPStatus(status).phrase)
    return {"description": why, "content": _PROBLEM}


class DocumentedApp(FastAPI):
    """An app whose document says what FastAPI cannot know."""

    def openapi(self) -> dict[str, Any]:
        """Write the OpenAPI document, once."""
        if self.openapi_schema is None:
            self.openapi_schema = document(super().openapi())
        return self.openapi_schema


def document(written: dict[str, Json]) -> dict[str, Json]:
    """Complete the document that FastAPI wrote."""
    schemas = written["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update(_problem_schemas())
    for operation in _operations(written):
        _complete(operation)
    return written


def _problem_schemas() -> dict[str, Json]:
    schema = ProblemDetails.model_json_schema(
        mode="serialization", by_alias=True, ref_template=_REF + "{model}"
    )
    return {**schema.pop("$defs"), ProblemDetails.__name__: schema}


def _operations(document: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    for path in document["paths"].values():
        yield from path.values()


def _complete(operation: dict[str, Json]) -> None:
    answers = operation["responses"]
    secured = "security" in operation
    for status in _shared(operation) if secured else ():
        # FastAPI's own 422 would promise another body.
        answers[str(status)] = _refusal(status)
    for status, answer in answers.items():
        headers = _headers(operation, int(status)) if secured else {}
        if headers:
            answer["headers"] = {**headers, **answer.get("headers", {})}
    operation["responses"] = dict(sorted(answers.items()))


def _shared(operation: Mapping[str, Json]) -> Iterator[int]:
    """Tell what an operation may refuse by what it takes."""
    yield from (401, 503)
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    if "header" in places or "requestBody" in operation:
        yield 400
    if "requestBody" in operation:
        yield from (413, 415)
    yield 422
    if _takes(operation, "Ledger-Min-Position"):
        yield 412


def _takes(operation: Mapping[str, Json], header: str) -> bool:
    return any(p["name"] == header for p in operation.get("parameters", ()))


def _headers(operation: Mapping[str, Json], status: int) -> dict[str, Json]:
    if status == HTTPStatus.UNAUTHORIZED:
        return _CHALLENGE
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return _RETRY
    if status >= 400:
        return {}
    answer = operation["responses"][str(status)]["content"].get("application/json", {})
    return {**_POSITION, **(_ETAG if answer.get("schema", {}).get("$ref") in _TAGGED else {})}
