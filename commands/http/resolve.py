"""What is in force for whom: resolution, by a body or by a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError

from commands.http.answers import Resolved, written
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.orders import AtLedger
from commands.http.problems import invalid_query, naming
from commands.http.requests import ContextRoute, LedgerRoute
from commands.models import LONGEST_TOKEN, ContextBody, Moment, Position, Ref, ResolveBody
from commands.questions import DamagedToken, Question
from ledger.errors import FutureInstant, Invalid, NotFound

Json = Any

router = APIRouter(tags=["resolution"], route_class=LedgerRoute)
preview_router = APIRouter(tags=["resolution"], route_class=ContextRoute)

_ANSWERS = refusals(400, 404, 422)
_TIMES = {FutureInstant: "/as_of", NotFound: "/position", DamagedToken: "/token"}


@router.post("/resolve", response_model=Resolved, responses=_ANSWERS, summary="Resolve")
def resolve(desk: AtLedger, body: ResolveBody) -> Response:
    """Resolve every lever for a context: now, as of an instant or position, or for a time to come.

    A `token` alone repeats an earlier answer byte for byte.
    """
    with naming("body", _TIMES):
        return _answer(desk, body)


def _answer(desk: Desk, body: ResolveBody) -> Response:
    body.refuse_contradictions()
    if body.context is None:
        answer = desk.questions.repeat(body.token or "")
    else:
        question = Question(
            body.context,
            body.at,
            body.as_of,
            body.position,
            explain=body.explain,
            shadow=body.shadow,
        )
        answer = desk.questions.ask(question)
    return written(answer.body, position=answer.position)


class PreviewQuery(BaseModel):
    """A question as a query. Attributes are named `attributes.<name>`.

    Their values are JSON where they read as a JSON scalar, else text; a variation of an
    experiment is named `experiments.<experiment>`.
    """

    session_id: Ref | None = Field(None, examples=["test"])
    turn_id: int | None = Field(None, ge=0, le=2**31 - 1)
    world_id: Ref | None = Field(None, examples=["world.forest_glade"])
    adventure_id: Ref | None = None
    experiment_id: Ref | None = None
    variation: Ref | None = None
    at: Moment | None = Field(None, description="the instant it is resolved for")
    as_of: Moment | None = Field(None, description="what was known at this instant")
    position: Position | None = Field(None, description="what was known at this position")
    explain: bool = Field(False, description="true: tell where each value comes from")
    shadow: bool = Field(False, description="true: tell what the configs in shadow would change")
    token: str | None = Field(None, max_length=LONGEST_TOKEN)

    def body(self, query: Mapping[str, str]) -> ResolveBody:
        """Make it the question that a body asks; raises Invalid or ValidationError."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        who = {name: named.pop(name) for name in _WHO if name in named}
        attributes = _family(query, "attributes.")
        if attributes:
            who["attributes"] = {name: _scalar(text) for name, text in attributes.items()}
        if experiments := _family(query, "experiments."):
            who["experiments"] = {name: text or None for name, text in experiments.items()}
        context = ContextBody.model_validate(who) if who or self.token is None else None
        # The instants are read already, so the members are put in as they are.
        return ResolveBody.model_construct(
            {*named, *(["context"] if context else [])}, context=context, **named
        )


_WHO = ("session_id", "turn_id", "world_id", "adventure_id", "experiment_id", "variation")


def _family(query: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): text for name, text in query.items() if name.startswith(prefix)
    }


def _scalar(text: str) -> Json:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return text if isinstance(value, dict | list) else value


@preview_router.get(
    "/resolve/preview",
    response_model=Resolved,
    responses=_ANSWERS,
    summary="Preview",
    openapi_extra={
        "parameters": [
            {
                "name": f"{family}.*",
                "in": "query",
                "required": False,
                "schema": {"type": "string"},
                "description": f"Any number of parameters `{family}.<name>`: {meaning}.",
            }
            for family, meaning in (
                ("attributes", "an attribute, JSON where it reads as a JSON scalar, else text"),
                ("experiments", "the variation that the context has in an experiment"),
            )
        ]
    },
)
def preview(request: Request, desk: AtLedger, asked: Annotated[PreviewQuery, Query()]) -> Response:
    """Resolve every lever for the context that the query names."""
    try:
        with naming("query", _TIMES):
            return _answer(desk, asked.body(request.query_params))
    except (ValidationError, Invalid) as error:
        raise invalid_query(error) from error
