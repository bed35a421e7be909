"""The past of levers: how a value came to be what it is, and who is behind each."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError

from commands.history import Histories, Stretch
from commands.http.answers import Blamed, History, written
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.orders import AtLedger
from commands.http.problems import MALFORMED, Problem, invalid_query, naming
from commands.http.requests import ContextRoute
from commands.http.resolve import PreviewQuery
from commands.models import ContextBody, Moment, Position, Ref
from commands.questions import Question
from ledger.clock import format_instant
from ledger.errors import FutureInstant, Invalid, NotFound
from ledger.live import Live

Json = Any

router = APIRouter(tags=["history"], route_class=ContextRoute)

_WHO = ("session_id", "turn_id", "world_id", "adventure_id", "experiment_id", "variation")
_CURSOR = re.compile(r"history:(-?[0-9]{1,19}):(-?[0-9]{1,19}):(-?[0-9]{1,19}):([0-9]{1,19})")
_FAMILIES = {
    "parameters": [
        {
            "name": f"{family}.*",
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": f"As in /resolve/preview: any number of `{family}.<name>`.",
        }
        for family in ("attributes", "experiments")
    ]
}


class WhoQuery(BaseModel):
    """A context as a query, as /resolve/preview takes it."""

    session_id: Ref = Field(examples=["test"])
    turn_id: int | None = Field(None, ge=0, le=2**31 - 1)
    world_id: Ref | None = Field(None, examples=["world.forest_glade"])
    adventure_id: Ref | None = None
    experiment_id: Ref | None = None
    variation: Ref | None = None

    def body(self, query: Mapping[str, str]) -> ContextBody:
        """Read the context; raises a Problem where it is none."""
        named = {name: value for name, value in self if name in _WHO and value is not None}
        return read_context(named, query)


def read_context(named: Mapping[str, Json], query: Mapping[str, str]) -> ContextBody:
    """Read a context from a query; raises a Problem where it is none."""
    try:
        asked = PreviewQuery.model_validate(dict(named)).body(query)
        assert asked.context is not None  # noqa: S101 - a session is named
        asked.context.context()
    except (ValidationError, Invalid) as error:
        raise invalid_query(error) from error
    return asked.context


class HistoryQuery(WhoQuery):
    """Whose value, over which interval, and which page of its changes."""

    from_: Moment | None = Field(
        None, alias="from", description="changes after this instant; else from the first event on"
    )
    to: Moment | None = Field(
        None, description="until this instant, also one to come, as is planned; else until now"
    )
    cursor: str | None = Field(None, max_length=128, description="`next` of the page before")
    limit: int = Field(50, ge=1, le=1000)


@router.get(
    "/history/{lever}",
    response_model=History,
    responses=refusals(400, 404, 422),
    summary="History of a lever",
    openapi_extra=_FAMILIES,
)
def lever_history(
    request: Request,
    desk: AtLedger,
    lever: Annotated[str, Path(max_length=200)],
    asked: Annotated[HistoryQuery, Query()],
) -> Response:
    """List every instant at which a lever's value for a context changed, and what changed it.

    The value at an instant is what `as_of` that instant gives. `value` is the one at `from`, the
    changes are those after it until `to`. Events and the edges of windows, ramps and rules are
    causes; `also` names what else happened in the same microsecond. A page may hold fewer than
    `limit` changes and still have a `next`. `exact` is false where rules in `inexact` read `at`
    otherwise than by comparing it with an instant: their changes may be missing.
    """
    context = asked.body(request.query_params).context()
    told = histories(desk)
    with naming("query", {FutureInstant: "/to"}), naming("path", {NotFound: "/lever"}):
        beginning = None
        stretch = told.stretch(asked.from_, asked.to)
        if asked.cursor is not None:
            beginning, stretch = _read_cursor(asked.cursor)
        page = told.page(lever, context, stretch, asked.limit)
    first = stretch.first if beginning is None else beginning
    following = None
    if page.next is not None:
        following = _cursor(first, stretch._replace(first=page.next))
    answer = {
        "lever": lever,
        "from": format_instant(first),
        "to": format_instant(stretch.last),
        "since": format_instant(stretch.first),
        "value": page.value,
        "changes": page.changes,
        "exact": not page.inexact,
        "inexact": page.inexact,
        "next": following,
    }
    return written(orjson.dumps(answer), position=stretch.position)


def histories(desk: Desk) -> Histories:
    """Open what answers questions about the past of a desk's ledger."""
    return Histories(desk.ledger, desk.questions.prefixes, desk.views)


def _cursor(beginning: int, stretch: Stretch) -> str:
    said = f"history:{beginning}:{stretch.first}:{stretch.last}:{stretch.position}"
    return urlsafe_b64encode(said.encode()).decode().rstrip("=")


def _read_cursor(text: str) -> tuple[int, Stretch]:
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("ascii")
        found = _CURSOR.fullmatch(raw)
    except ValueError:
        found = None
    if found is not None:
        beginning, first, last, position = map(int, found.groups())
        stretch = Stretch(first, last, position)
        if beginning <= first <= last and _cursor(beginning, stretch) == text:
            return beginning, stretch
    raise Problem.at(MALFORMED, "query", "/cursor", "This is not the cursor of a page")


class BlameQuery(WhoQuery):
    """Whose values, and of when."""

    at: Moment | None = Field(None, description="the instant it is resolved for")
    as_of: Moment | None = Field(None, description="what was known at this instant")
    position: Position | None = Field(None, description="what was known at this position")


@router.get(
    "/blame",
    response_model=Blamed,
    responses=refusals(400, 404, 422),
    summary="Blame",
    openapi_extra=_FAMILIES,
)
def blame(request: Request, desk: AtLedger, asked: Annotated[BlameQuery, Query()]) -> Response:
    """Tell of every effective value who set it, when and why, and since when it is in force.

    `actor`, `reason` and `recorded_at` are of the event that put it in force, `written` of the
    one that wrote its revision. `in_force_since` is when that event was recorded or, if later,
    when its window opened. A lever at its default has none of these.
    """
    if asked.as_of is not None and asked.position is not None:
        raise Problem.at(MALFORMED, "query", "/as_of", "Name as_of or position, not both")
    body = asked.body(request.query_params)
    with naming("query", {FutureInstant: "/as_of", NotFound: "/position"}):
        return _blame(desk, Question(body, asked.at, asked.as_of, asked.position, explain=True))


def _blame(desk: Desk, question: Question) -> Response:
    found = orjson.loads(desk.questions.ask(question).body)
    levers = found.get("explanation") or {}
    live = desk.questions.prefixes.at(found["position"], question.context.context())
    answer = {
        **{name: found[name] for name in ("position", "at", "token")},
        "levers": blamed(desk, live, levers),
    }
    return written(orjson.dumps(answer), position=found["position"])


def blamed(desk: Desk, live: Live, explanation: Mapping[str, Json]) -> Json:
    """Tell who is behind each of explained values."""
    return histories(desk).blame(live, explanation)
