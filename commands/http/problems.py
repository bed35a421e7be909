"""Every refusal of the API as RFC 9457 problem details, each kind with a stable `type`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from commands.proof import NotSigned
from commands.questions import DamagedToken
from ledger import errors as ledger_errors
from ledger.errors import Invalid, LedgerError, Refused, escaped
from ledger.tiles import EntryTooLong, TileRefused

Json = Any

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:liveops:problem:"
RETRY_AFTER_SECONDS = 1
MOST_ERRORS = 100

_LONGEST_POINTER = 300
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its slug is the end of its `type`, its title never changes."""

    slug: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The URN that clients tell problems apart by."""
        return TYPE_PREFIX + self.slug


MALFORMED = Kind("malformed", 400, "The request cannot be read")
UNAUTHORIZED = Kind("unauthorized", 401, "A valid bearer token is needed")
NO_SUCH_ROUTE = Kind("no-such-route", 404, "The API has no such path")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The path does not take this method")
NOT_ACCEPTABLE = Kind("not-acceptable", 406, "The answer is not available in this format")
NOT_REACHED = Kind("not-reached", 412, "The ledger has not reached the position that was demanded")
TOO_LARGE = Kind("too-large", 413, "The request body is too large")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported-media-type", 415, "The request body must be JSON")
PRECONDITION_REQUIRED = Kind("precondition-required", 428, "The request must say If-Match")
BEHIND = Kind("behind", 503, "The view has not reached the position that was demanded yet")
INTERNAL = Kind("internal", 500, "The server failed")

_OWN = (
    MALFORMED,
    UNAUTHORIZED,
    NO_SUCH_ROUTE,
    METHOD_NOT_ALLOWED,
    NOT_ACCEPTABLE,
    NOT_REACHED,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    PRECONDITION_REQUIRED,
    BEHIND,
    INTERNAL,
)
_BY_STATUS = {404: NO_SUCH_ROUTE, 405: METHOD_NOT_ALLOWED}


def _title(error: type[LedgerError]) -> str:
    first_line = (error.__doc__ or "").strip().splitlines()[0]
    return first_line.rstrip(".")


def _kinds() -> dict[str, Kind]:
    kinds = {kind.slug: kind for kind in _OWN}
    for error in (
        *vars(ledger_errors).values(),
        DamagedToken,
        NotSigned,
        TileRefused,
        EntryTooLong,
    ):
        if isinstance(error, type) and issubclass(error, LedgerError):
            kinds.setdefault(error.slug, Kind(error.slug, error.status, _title(error)))
    return kinds


KINDS: Mapping[str, Kind] = _kinds()
"""Every kind of problem by slug. They are part of the interface: add, never rename."""


class Problem(HTTPException):
    """A request that is refused before it comes to the ledger.

    `errors` names what is wrong: each has a `detail`, a JSON `pointer` and what it points `in`.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.status, detail or kind.title, dict(headers or {}))
        self.kind = kind
        self.errors = tuple(errors)

    @classmethod
    def at(cls, kind: Kind, where: str, pointer: str, detail: str) -> Problem:
        """Refuse one part of the request: `where` is body, query, path or header."""
        return cls(kind, detail, errors=[fault(where, pointer, detail)])


def fault(where: str, pointer: str, detail: str) -> dict[str, str]:
    """Name one thing that is wrong with a request."""
    return {"detail": detail, "pointer": pointer[:_LONGEST_POINTER], "in": where}


def pointer(steps: Iterable[str | int]) -> str:
    """Write a JSON pointer (RFC 6901)."""
    return "".join(f"/{escaped(str(step))}" for step in steps)


def problem_response(
    kind: Kind,
    detail: str,
    *,
    members: Mapping[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Write problem details."""
    body = {
        **(members or {}),
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }
    return Response(orjson.dumps(body), kind.status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every refusal and failure of an app be answered with problem details."""
    app.add_exception_handler(LedgerError, _of_ledger)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_failure)


async def _of_ledger(request: Request, error: Exception) -> Response:
    assert isinstance(error, LedgerError)  # noqa: S101 - what it is installed for
    if error.status >= 500:
        # One line: while the database is away there is one for each request.
        _logger.error("%s %s: %s", request.method, request.url.path, error.__cause__ or error)
    return problem_response(
        KINDS[error.slug],
        error.message,
        members=dict(_ledger_members(error)),
        headers=_ledger_headers(request, error),
    )


def _ledger_members(error: LedgerError) -> dict[str, Json]:
    members: dict[str, Json] = dict(error.details)
    if isinstance(error, Invalid):
        members["errors"] = [{**named, "in": "body"} for named in error.errors[:MOST_ERRORS]]
        members["violations"] = [violation.to_json() for violation in error.violations]
    return members


def _ledger_headers(request: Request, error: LedgerError) -> dict[str, str]:
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if isinstance(error, Refused):
        return {"Ledger-Position": str(request.app.state.desk.ledger.position())}
    return {}


async def _of_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is installed for
    errors = [_named(each) for each in error.errors()[:MOST_ERRORS]]
    detail = "; ".join(_told(each) for each in errors[:3])
    return problem_response(KINDS["invalid"], detail, members={"errors": errors})


def _named(error: Mapping[str, Json]) -> dict[str, str]:
    where, *steps = error["loc"]
    steps = [str(step)[:128] for step in steps if step != "[key]"]
    detail = error["msg"].removeprefix("Value error, ")
    return fault(where, pointer(steps), _DETAILS.get(error["type"], detail))


@contextmanager
def naming(where: str, pointers: Mapping[type[LedgerError], str]) -> Iterator[None]:
    """Say of an error of the ledger which member of the request it comes from."""
    try:
        yield
    except tuple(pointers) as error:
        error.details["errors"] = [fault(where, pointers[type(error)], error.message)]
        raise


def invalid_query(error: ValidationError | Invalid) -> Problem:
    """Refuse a query by what is wrong with the question that its parameters make up."""
    named = error.errors if isinstance(error, Invalid) else map(_named_in_query, error.errors())
    errors = [{**each, "pointer": _parameter(each["pointer"]), "in": "query"} for each in named]
    detail = "; ".join(_told(each) for each in errors[:3])
    return Problem(KINDS["invalid"], detail, errors=errors[:MOST_ERRORS])


def _named_in_query(error: ErrorDetails) -> dict[str, str]:
    return _named({**error, "loc": ("query", *error["loc"])})


def _parameter(pointer: str) -> str:
    # A query has the context's members among its own. Only a token goes with none of them.
    member = pointer.removeprefix("/context").lstrip("/") or "token"
    return "/" + member.replace("/", ".")


_DETAILS = {
    "missing": "is required",
    "extra_forbidden": "is not a member of this request",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
}


def _told(error: Mapping[str, str]) -> str:
    return f"{error['pointer'] or error['in']}: {error['detail']}"


async def _of_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is installed for
    if isinstance(error, Problem):
        members = {"errors": list(error.errors)} if error.errors else {}
        return problem_response(error.kind, error.detail, members=members, headers=error.headers)
    kind = _BY_STATUS.get(error.status_code, replace(MALFORMED, status=error.status_code))
    return problem_response(kind, error.detail, headers=error.headers)


async def _of_failure(request: Request, error: Exception) -> Response:
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(INTERNAL, "The failure was logged; nothing is said of it here.")
