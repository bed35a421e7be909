"""Request models: closed, strict, bounded on all sides, and true to the ledger's own forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel, ValidationError

from commands.models import (
    ActivateBody,
    Body,
    ConfigBody,
    ContextBody,
    FreezeBody,
    RollBackBody,
    RolloutChangeBody,
    ValidateBody,
)
from ledger.clock import format_instant, parse_instant
from ledger.errors import Invalid
from ledger.rollout import Rollout
from ledger.schedule import Window
from ledger.scopes import EVERYWHERE, Place, Scope
from tests.strategies import rollouts

Json = Any

DROPS: Json = {
    "name": "Drops",
    "scope": "world",
    "scope_ref": "w",
    "payload": {"DROP_RATE_RARE_MULTIPLIER": 2.0},
}
NOON, ONE = "2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z"


def bodies(of: type[BaseModel] = Body) -> Iterator[type[BaseModel]]:
    for body in of.__subclasses__():
        yield body
        yield from bodies(body)


def parts(schema: Json, where: str) -> Iterator[tuple[str, Json]]:
    """Yield every schema inside a schema that has a type, and where it is."""
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield where, schema
        for name, inner in schema.items():
            if name not in {"examples", "default", "const", "enum"}:
                yield from parts(inner, f"{where}/{name}")
    elif isinstance(schema, list):
        for index, inner in enumerate(schema):
            yield from parts(inner, f"{where}/{index}")


def bounded(schema: Mapping[str, object]) -> bool:
    match schema["type"]:
        case "string":
            return "maxLength" in schema or "enum" in schema or schema.get("format") == "date-time"
        case "integer" | "number":
            return {"minimum", "maximum"} <= schema.keys()
        case "array":
            return "maxItems" in schema
        case "object":
            return schema.get("additionalProperties") is False or "maxProperties" in schema
    return True


@pytest.mark.parametrize("body", set(bodies()), ids=lambda body: body.__name__)
def test_nothing_in_a_body_is_open_or_without_bounds(body: type[BaseModel]) -> None:
    open_parts = [where for where, part in parts(body.model_json_schema(), "") if not bounded(part)]
    assert open_parts == []
    assert body.model_config["strict"]
    assert body.model_config["extra"] == "forbid"


def test_a_config_body_is_the_ledgers_content() -> None:
    body = ConfigBody.model_validate(
        {
            **DROPS,
            "valid_from": "2026-01-31T14:00:00+02:00",
            "targeting": {"include": "true"},
            "rollout": {"percentage": 12.5, "unit": "world_id"},
            "priority": -1,
            "labels": {"team": "economy"},
        }
    )
    content = body.content()
    assert content.window == Window(parse_instant(NOON), None)
    assert content.rollout == Rollout(12_500, "world_id")
    assert content.place == Place(Scope.WORLD, "w")
    assert content.to_json()["labels"] == {"team": "economy"}


@pytest.mark.parametrize(
    "members",
    [
        {"name": " "},
        {"name": "a\nb"},
        {"name": "a\x7f"},
        {"name": "a\u2028b"},
        {"scope_ref": "a\tb"},
        {"labels": {"a\nb": "x"}},
        {"labels": {"": "x"}},
        {"labels": {"x" * 101: "x"}},
    ],
)
def test_names_are_one_line(members: Json) -> None:
    with pytest.raises(ValidationError):
        ConfigBody.model_validate({**DROPS, **members})


@pytest.mark.parametrize("name", ["Zauber für alle", "ドロップ率", "👩‍🚀 crew", "a" * 200])
def test_names_may_be_in_any_script(name: str) -> None:
    assert ConfigBody.model_validate({**DROPS, "name": name}).content().name == name


@pytest.mark.parametrize("scope_ref", [" w", "w ", "global "])
def test_a_ref_has_no_white_space_at_its_ends(scope_ref: str) -> None:
    body = ConfigBody.model_validate({**DROPS, "scope_ref": scope_ref})
    with pytest.raises(Invalid) as refused:
        body.content()
    assert refused.value.errors[0]["pointer"] == "/scope_ref"


@pytest.mark.parametrize(
    ("body", "window"),
    [
        ({}, None),
        ({"immediate": True}, None),
        ({"valid_to": None}, Window()),
        ({"valid_from": NOON}, Window(parse_instant(NOON), None)),
        ({"valid_from": NOON, "valid_to": ONE}, Window(parse_instant(NOON), parse_instant(ONE))),
    ],
)
def test_a_window_counts_when_either_side_is_named(body: Json, window: Window | None) -> None:
    assert ActivateBody.model_validate(body).window() == window


@given(rollouts())
def test_a_rollout_change_keeps_unit_and_salt_and_nothing_else(present: Rollout) -> None:
    changed = RolloutChangeBody.model_validate({"percentage": 33.333}).onto(present)
    assert changed == Rollout(33_333, present.unit, present.salt)


@given(rollouts())
def test_a_rollout_reads_as_it_is_written(rollout: Rollout) -> None:
    body = ConfigBody.model_validate({**DROPS, "rollout": rollout.to_json()})
    assert body.content().rollout == rollout


def test_a_freeze_is_of_everything_unless_a_place_is_named() -> None:
    assert FreezeBody().place() == EVERYWHERE
    assert FreezeBody.model_validate({"scope": "world", "scope_ref": "w"}).place().ref == "w"
    with pytest.raises(Invalid):
        FreezeBody.model_validate({"scope": "global", "scope_ref": "w"}).place()


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, None),
        ({"scope": "global"}, EVERYWHERE),
        ({"scope": "world", "scope_ref": "w"}, Place(Scope.WORLD, "w")),
    ],
)
def test_a_rollback_is_of_everything_unless_a_place_is_named(body: Json, place: Json) -> None:
    assert RollBackBody.model_validate({"position": 1, **body}).place() == place


def test_a_context_reads_as_it_is_written() -> None:
    written = {
        "session_id": "s",
        "turn_id": 0,
        "experiments": {"drops": "b", "other": None},
        "attributes": {"tier": "gold", "tags": [1, 2.0]},
    }
    assert ContextBody.model_validate(written).context().to_json() == written


def test_validation_names_everything_that_is_wrong_at_once() -> None:
    body = ValidateBody.model_validate(
        {
            "scope": "global",
            "scope_ref": "w",
            "rollout": {"percentage": 0.0001},
            "valid_from": ONE,
            "valid_to": NOON,
        }
    )
    pointers = [fault["pointer"] for fault in body.faults()]
    assert pointers == ["/scope_ref", "/rollout/percentage", "/valid_to"]


def test_instants_are_kept_to_the_microsecond() -> None:
    at = "2026-01-31T12:00:00.123456Z"
    body = ActivateBody.model_validate({"valid_from": at})
    assert body.valid_from is not None
    assert format_instant(body.valid_from) == at
