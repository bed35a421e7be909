"""Right requests made from the OpenAPI document, and wrong ones made from right ones.

Everything here is read from the schemas, so a member that is added to a request is spoiled in
every way that its schema allows without anybody thinking of it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = Any
Schema = Mapping[str, Any]
Steps = tuple[str | int, ...]

NAMED: Mapping[str, Json] = {"scope": "world", "unit": "session_id"}
"""Members for which not every value of the schema will do."""


@dataclass(frozen=True)
class Spoilt:
    """A request body with one thing wrong, where, and what."""

    steps: Steps
    how: str
    body: Json

    @property
    def pointer(self) -> str:
        """Where the API must say that it is wrong."""
        return "".join(f"/{step}" for step in self.steps)

    def __str__(self) -> str:
        return f"{self.pointer or '/'} {self.how}"


@dataclass(frozen=True)
class Schemas:
    """The schemas of a document."""

    components: Mapping[str, Schema]

    def plain(self, schema: Schema) -> Schema:
        """Follow references; of a value or null, give the value's schema."""
        while "$ref" in schema or "anyOf" in schema:
            if "$ref" in schema:
                schema = self.components[schema["$ref"].rpartition("/")[2]]
            else:
                [schema] = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return schema

    def nullable(self, schema: Schema) -> bool:
        """Tell whether null will do."""
        return any(each.get("type") == "null" for each in schema.get("anyOf", ()))

    def sample(self, schema: Schema, name: str = "") -> Json:
        """Make a value with every member that there can be."""
        schema = self.plain(schema)
        if name in NAMED:
            return NAMED[name]
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("format") == "date-time":
            return "2026-01-31T18:05:00Z"
        match schema.get("type"):
            case "object" if "properties" in schema:
                parts = schema["properties"]
                return {name: self.sample(part, name) for name, part in parts.items()}
            case "object":
                inner = schema.get("additionalProperties", True)
                return {} if inner is True else {"some": self.sample(inner)}
            case "array":
                return [self.sample(schema["items"])]
            case "string":
                return "x"
            case "integer" | "number":
                return max(int(schema.get("minimum", 1)), 1)
            case "boolean":
                return True
        return None

    def spoilt(self, schema: Schema) -> Iterator[Spoilt]:
        """Make every wrong body that the schema tells of."""
        whole = self.sample(schema)
        for steps, part in self._parts(schema, whole, ()):
            for how, at, wrong in self._wrong(part):
                body = _replaced(whole, (*steps, *at), wrong)
                yield Spoilt((*steps, *at), how, body)
        for name in self.plain(schema).get("required", ()):
            yield Spoilt((name,), "missing", {k: v for k, v in whole.items() if k != name})

    def _parts(self, schema: Schema, value: Json, steps: Steps) -> Iterator[tuple[Steps, Schema]]:
        yield steps, schema
        plain = self.plain(schema)
        if isinstance(value, dict):
            properties = plain.get("properties", {})
            for name, inner in value.items():
                part = properties.get(name, plain.get("additionalProperties"))
                yield from self._parts(part, inner, (*steps, name))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self._parts(plain["items"], inner, (*steps, index))

    def _wrong(self, schema: Schema) -> Iterator[tuple[str, Steps, Json]]:
        plain = self.plain(schema)
        for how, value in wrong_values(plain, nullable=self.nullable(schema)):
            yield how, (), value
        if plain.get("additionalProperties") is False:
            yield "an unknown member", ("unknown",), 1
        elif plain.get("type") == "object":
            yield "a member's name with NUL", ("a\0b",), 1
            if "maxProperties" in plain:
                many = {f"k{n}": None for n in range(plain["maxProperties"] + 1)}
                yield "too many members", (), many


_KINDS: Mapping[str, Json] = {
    "a text": "text",
    "a number as text": "1",
    "true": True,
    "a number": 1.5,
    "a whole number": 7,
    "a list": [],
    "an object": {},
}
_FIT = {
    "string": {"a text", "a number as text"},
    "integer": {"a whole number"},
    "number": {"a number", "a whole number"},
    "boolean": {"true"},
    "array": {"a list"},
    "object": {"an object"},
}
_NO_INSTANTS = (
    "yesterday",
    "2026-01-31",
    "2026-01-31T18:05:00",
    "2026-02-30T00:00:00Z",
    "2026-01-31T25:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "1769882700",
    "2026-01-31T18:05:00Z ",
)


def wrong_values(schema: Schema, *, nullable: bool) -> Iterator[tuple[str, Json]]:
    """Make values that a plain schema does not take."""
    kind = schema.get("type")
    if kind is None:
        return
    fit = _FIT[kind]
    yield from ((how, value) for how, value in _KINDS.items() if how not in fit)
    if not nullable:
        yield "null", None
    yield from _out_of_range(schema)
    if "enum" in schema:
        yield from (("not of the enum", value) for value in ("other", "", schema["enum"][0] + " "))
    if schema.get("format") == "date-time":
        yield from (("no instant", value) for value in _NO_INSTANTS)
    if kind == "string":
        yield "NUL", "a\0b"


def _out_of_range(schema: Schema) -> Iterator[tuple[str, Json]]:
    if "minimum" in schema:
        yield "too small", int(schema["minimum"]) - 1
        yield "far too small", -(2**70)
    if "maximum" in schema:
        yield "too large", int(schema["maximum"]) + 1
        yield "far too large", 2**70
    if schema.get("minLength"):
        yield "too short", "x" * (schema["minLength"] - 1)
    if "maxLength" in schema:
        yield "too long", "x" * (schema["maxLength"] + 1)
    if schema.get("minItems"):
        yield "too few", []
    if "maxItems" in schema:
        yield "too many", [None] * (schema["maxItems"] + 1)


def _replaced(whole: Json, steps: Steps, value: Json) -> Json:
    if not steps:
        return value
    changed = copy.deepcopy(whole)
    inner = changed
    for step in steps[:-1]:
        inner = inner[step]
    inner[steps[-1]] = value
    return changed
