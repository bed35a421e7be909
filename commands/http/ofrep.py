"""OFREP 0.3.0: every lever as a flag, for OpenFeature's remote providers in any language.

The protocol has an OpenAPI document of its own, so ours does not repeat it; what the protocol
leaves open is said in `docs/reference/ofrep.md`. Errors have the protocol's shape, not ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from commands.http.answers import POSITION_HEADER
from commands.http.desk import Desk
from commands.http.orders import AtLedger
from commands.http.problems import MALFORMED, RETRY_AFTER_SECONDS, Problem
from commands.http.requests import StrictRequest
from ledger.errors import LedgerError, NotFound
from ledger.evaluation_context import InvalidContext, NoTargetingKey, context_of
from ledger.flags import Flag, flag, flags
from ledger.resolve import Resolution
from ledger.scopes import Context

Json = Any

PREFIX = "/ofrep/v1"

_COMMON = "ledger_position"
_TAG_DIGITS = 32
_logger = logging.getLogger(__name__)


class EvaluationRoute(APIRoute):
    """A route whose caller is known first, whose body is read next, and which answers as OFREP."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put what both routes do around FastAPI's own handling."""
        handle = super().get_route_handler()

        async def answering(request: Request) -> Response:
            try:
                desk: Desk = request.app.state.desk
                desk.authority.actor(_credentials(request))
                request.state.asked = await StrictRequest(request.scope, request.receive).json()
                return await handle(request)
            except Exception as error:
                return _failure(request, error).response(request.path_params.get("key"))

        return answering


router = APIRouter(
    prefix=f"{PREFIX}/evaluate/flags", route_class=EvaluationRoute, include_in_schema=False
)


@router.post("")
def evaluate_all(request: Request, desk: AtLedger) -> Response:
    """Evaluate every lever for one context; 304 when the client has this very answer."""
    context, resolution = _evaluated(request, desk)
    evaluated = [_one_of_all(each) for each in flags(resolution, context).values()]
    body = orjson.dumps({"flags": evaluated, "metadata": {"version": resolution.position}})
    tag = _tag(request.state.asked["context"], body)
    headers = {"ETag": tag, POSITION_HEADER: str(resolution.position)}
    if tag in _known_tags(request):
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")


@router.post("/{key:path}")
def evaluate(request: Request, desk: AtLedger, key: str) -> Response:
    """Evaluate one lever for one context."""
    context, resolution = _evaluated(request, desk)
    body = orjson.dumps(_written(flag(resolution, context, key)))
    headers = {POSITION_HEADER: str(resolution.position)}
    return Response(body, 200, headers, "application/json")


def _credentials(request: Request) -> list[str]:
    """Give the Authorization headers; a key in X-API-Key, which OFREP knows too, is as good."""
    keys = request.headers.getlist("x-api-key")
    return request.headers.getlist("authorization") or [f"Bearer {key}" for key in keys]


def _evaluated(request: Request, desk: Desk) -> tuple[Context, Resolution]:
    context = _context(request.state.asked)
    return context, desk.questions.now(context)


def _context(asked: Json) -> Context:
    # A provider that was given no context sends {}: what it lacks is the targeting key.
    given = asked.get("context", {}) if isinstance(asked, dict) else None
    if not isinstance(given, dict):
        raise InvalidContext('the body must be an object like {"context": {"targetingKey": "…"}}')
    attributes = {name: value for name, value in given.items() if name != "targetingKey"}
    return context_of(given.get("targetingKey"), attributes)


def _written(evaluated: Flag) -> dict[str, Json]:
    return {
        "key": evaluated.key,
        "value": evaluated.value,
        "reason": evaluated.reason.value,
        "variant": evaluated.variant,
        "metadata": evaluated.metadata,
    }


def _one_of_all(evaluated: Flag) -> dict[str, Json]:
    # Clients compare each flag, metadata and all, to tell which have changed: the position that
    # is common to all of them must not be in it.
    metadata = {name: evaluated.metadata[name] for name in evaluated.metadata if name != _COMMON}
    return {**_written(evaluated), "metadata": metadata}


# --- Entity tags ---


def _tag(context: Json, body: bytes) -> str:
    """Name an answer: by its bytes, for time alone can change them, and by whom it is for."""
    answered = orjson.dumps(context, option=orjson.OPT_SORT_KEYS) + b"\n" + body
    return f'"{sha256(answered).hexdigest()[:_TAG_DIGITS]}"'


def _known_tags(request: Request) -> set[str]:
    """Read If-None-Match, which weighs tags weakly; the protocol's own examples lack the quotes."""
    named = ",".join(request.headers.getlist("if-none-match")).split(",")
    return {'"{}"'.format(tag.strip().removeprefix("W/").strip('"')) for tag in named}


# --- Failures ---


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a client is told in place of a value."""

    status: int
    code: str
    details: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, key: str | None) -> Response:
        named = {} if key is None else {"key": key}
        body = orjson.dumps({**named, "errorCode": self.code, "errorDetails": self.details})
        return Response(body, self.status, dict(self.headers), "application/json")


def _failure(request: Request, error: Exception) -> _Failure:
    match error:
        case NoTargetingKey():
            return _Failure(400, "TARGETING_KEY_MISSING", error.message)
        case InvalidContext():
            return _Failure(400, "INVALID_CONTEXT", error.message)
        case NotFound():
            return _Failure(404, "FLAG_NOT_FOUND", error.message, _position(request))
        case LedgerError():
            return _of_ledger(request, error)
        case HTTPException():
            return _of_request(error)
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _Failure(500, "GENERAL", "The server failed; the failure was logged.")


def _position(request: Request) -> dict[str, str]:
    return {POSITION_HEADER: str(request.app.state.desk.ledger.position())}


def _of_ledger(request: Request, error: LedgerError) -> _Failure:
    _logger.error("%s %s: %s", request.method, request.url.path, error.__cause__ or error)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if error.status == 503 else {}
    return _Failure(error.status, "GENERAL", error.message, headers)


def _of_request(error: HTTPException) -> _Failure:
    headers = error.headers or {}
    if error.status_code == 422:
        return _Failure(400, "INVALID_CONTEXT", error.detail, headers)
    unread = isinstance(error, Problem) and error.kind is MALFORMED
    return _Failure(
        error.status_code, "PARSE_ERROR" if unread else "GENERAL", error.detail, headers
    )
