"""OFREP's published OpenAPI document, to hold answers against."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.integration.evaluating import FLAGS

Json = Any

DOCUMENT = Path(__file__).parents[3] / "shared" / "peers" / "ofrep" / "openapi.yaml"
VERSION = "0.3.0"


def published() -> dict[str, Json]:
    """Read the document as it was published; skips the test where it is not at hand."""
    if not DOCUMENT.exists():
        pytest.skip(f"OFREP's document is not beside the project: {DOCUMENT}")
    read: dict[str, Json] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    assert read["info"]["version"] == VERSION
    return read


def patched(document: Mapping[str, Json]) -> dict[str, Json]:
    """Mend what the published schemas cannot mean.

    A flag without a value has a schema that every flag fits, and a whole number is a number too:
    with `oneOf` beside them every answer that has a value is refused. `DEFAULT` is a reason of
    OpenFeature's that the list lacks. A structure of OpenFeature's may be a list.
    """
    mended = copy.deepcopy(dict(document))
    schemas = mended["components"]["schemas"]
    said, valued = schemas["evaluationSuccess"]["allOf"]
    said["properties"]["reason"]["enum"].append("DEFAULT")
    valued["anyOf"] = valued.pop("oneOf")
    schemas["codeDefaultFlag"]["not"] = {"required": ["value"]}
    schemas["objectFlag"]["properties"]["value"]["type"] = ["object", "array"]
    return mended


@dataclass(frozen=True, slots=True)
class Protocol:
    """What the document says of answers."""

    document: Mapping[str, Json]

    def faults(self, answer: Any) -> list[str]:
        """List what is wrong with an answer to an evaluation: its status, headers and body."""
        path = "/ofrep/v1/evaluate/flags"
        operation = self.document["paths"][path if _of_all(answer) else f"{path}/{{key}}"]["post"]
        foreseen = operation["responses"].get(str(answer.status_code))
        if foreseen is None:
            return [f"{answer.status_code} is no status of {operation['operationId']}"]
        missing = [name for name in foreseen.get("headers", ()) if name not in answer.headers]
        content = foreseen.get("content", {}).get("application/json")
        return missing + ([] if content is None else self._misfits(content["schema"], answer))

    def _misfits(self, schema: Mapping[str, Json], answer: Any) -> list[str]:
        if answer.headers["content-type"].partition(";")[0] != "application/json":
            return [answer.headers["content-type"]]
        whole = {**schema, "components": self.document["components"]}
        return [
            str(error)[:600] for error in Draft202012Validator(whole).iter_errors(answer.json())
        ]


def _of_all(answer: Any) -> bool:
    return str(answer.request.url.path) == FLAGS
