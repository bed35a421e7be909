"""The past of levers: how a value came to be what it is, and who is behind each."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError

from commands.differences import counted, point, told, words
from commands.history import Histories, Stretch
from commands.http.answers import Blamed, Diff, History, written
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.orders import AtLedger
from commands.http.problems import KINDS, MALFORMED, Problem, invalid_query, naming
from commands.http.requests import ContextRoute
from commands.http.resolve import PreviewQuery
from commands.models import LAST_POSITION, ContextBody, Moment, Position, Ref
from commands.questions import Question
from ledger.clock import format_instant, parse_instant
from ledger.differences import Point, differences
from ledger.errors import FutureInstant, Invalid, NotFound
from ledger.events import ConfigEvent, Event, Frozen, Unfrozen, decode
from ledger.live import Live
from ledger.resolve import resolve
from ledger.scopes import Context, Place, Scope, place
from projections.audit import ACTIONS
from projections.counts import count_audit
from projections.views import Standing

Json = Any

router = APIRouter(tags=["history"], route_class=ContextRoute)

AUDIT = "liveops_audit"
_NOWHERE = Standing(AUDIT, 0, 0, None)
_POSITION = re.compile(r"[0-9]{1,19}", re.ASCII)
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


class DiffQuery(BaseModel):
    """Two points, and what of them: a context's levers, one place, or everything."""

    from_: str = Field(alias="from", max_length=40, description="a position, or an instant")
    to: str | None = Field(None, max_length=40, description="a position or an instant; else now")
    session_id: Ref | None = Field(None, description="with this, also the levers of a context")
    turn_id: int | None = Field(None, ge=0, le=2**31 - 1)
    world_id: Ref | None = None
    adventure_id: Ref | None = None
    experiment_id: Ref | None = None
    variation: Ref | None = None
    scope: Scope | None = Field(None, description="only what is set or frozen at one place")
    scope_ref: Ref | None = None

    def context(self, query: Mapping[str, str]) -> ContextBody | None:
        """Read the context, if there is one; raises a Problem where it is none."""
        named = {name: value for name, value in self if name in _WHO and value is not None}
        families = any(name.startswith(ContextRoute.families) for name in query)
        return read_context(named, query) if named or families else None

    def place(self) -> Place | None:
        """Read the place, if there is one; raises Invalid."""
        if self.scope is None and self.scope_ref is None:
            return None
        if self.scope is None:
            raise Invalid.at("/scope", "a scope_ref needs its scope")
        return place(self.scope.value, self.scope_ref or "global")


@router.get(
    "/diff",
    response_model=Diff,
    responses=refusals(400, 404, 422),
    summary="What changed between two points",
    openapi_extra=_FAMILIES,
)
def diff(request: Request, desk: AtLedger, asked: Annotated[DiffQuery, Query()]) -> Response:
    """Tell what changed from one point to another: in levers, in force, in events and by whom.

    A point is a position, at the instant of its event, or an instant, with all events until then.
    With a context, `levers` holds those whose values differ, each with who is behind it. `words`
    says all of it in sentences. With `scope` only what is set or frozen there, and its events;
    kills, experiments and catalogs are of no place and always told.
    """
    body = asked.context(request.query_params)
    with naming("query", {FutureInstant: "/to", NotFound: "/to"}):
        later = _point(desk, asked.to, "/to")
    with naming("query", {FutureInstant: "/from", NotFound: "/from"}):
        earlier = _point(desk, asked.from_, "/from")
    if (earlier.live.position, earlier.at) > (later.live.position, later.at):
        raise Problem.at(MALFORMED, "query", "/from", "from must not be after to")
    where = asked.place()
    upto = later.live.position
    found = differences(earlier, later, where)
    answer: dict[str, Json] = {
        "from": point(earlier),
        "to": point(later),
        "differences": [told(desk.ledger, each, upto) for each in found],
        "events": counted(_counts(desk, earlier.live.position, upto, where)),
    }
    if body is not None:
        answer["levers"] = _levers(desk, body.context(), earlier, later)
    answer["words"] = list(words(answer))
    return written(orjson.dumps(answer), position=upto)


def _point(desk: Desk, text: str | None, pointer: str) -> Point:
    prefixes = desk.questions.prefixes
    if text is None:
        live = prefixes.newest()
        return Point(live, desk.ledger.now(live.recorded_at))
    if _POSITION.fullmatch(text):
        live = prefixes.whole(min(int(text), LAST_POSITION))
        return Point(live, live.recorded_at)
    try:
        at = parse_instant(text)
    except ValueError as error:
        raise Problem.at(KINDS["invalid"], "query", pointer, f"no position, and {error}") from None
    return Point(prefixes.whole(desk.ledger.store.close_instant(at).position), at)


def _levers(desk: Desk, context: Context, earlier: Point, later: Point) -> Json:
    was, now = (
        blamed(
            desk,
            each.live,
            resolve(each.live, context, each.at, explain=True).to_json()["explanation"],
        )
        for each in (earlier, later)
    )
    return {
        lever: {"before": was.get(lever), "after": now.get(lever)}
        for lever in dict.fromkeys([*now, *was])
        if was.get(lever, {}).get("value") != now.get(lever, {}).get("value")
    }


def _counts(
    desk: Desk, after: int, upto: int, where: Place | None
) -> Iterator[tuple[str, str, int]]:
    """Count events by the view, and one by one those that it has not come to yet."""
    reached = min((desk.views.standings() or {}).get(AUDIT, _NOWHERE).position, upto)
    if reached > after:
        with desk.views.connection() as connection:
            for action, actor, count in count_audit(connection, after, reached, where):
                yield action, str(actor), count
    for stored in desk.ledger.store.stream(after=max(after, reached), upto=upto):
        recorded = decode(stored.position, stored.recorded_at, stored.state)
        if where is None or _place_of(desk, recorded.event) == where:
            yield ACTIONS[type(recorded.event)], str(recorded.cause.actor), 1


def _place_of(desk: Desk, event: Event) -> Place | None:
    match event:
        case ConfigEvent():
            with desk.ledger.current() as state:
                return state.config(event.config_id).place
        case Frozen() | Unfrozen():
            return event.place
    return None


def blamed(desk: Desk, live: Live, explanation: Mapping[str, Json]) -> Json:
    """Tell who is behind each of explained values."""
    return histories(desk).blame(live, explanation)
