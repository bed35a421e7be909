"""Requests as the API takes them: who calls first, then a bounded body, then strict JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from commands.http.desk import Desk
from commands.http.problems import (
    KINDS,
    MALFORMED,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
    pointer,
)

Json = Any

LARGEST_BODY = 1 << 20
DEEPEST_BODY = 32

_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


class StrictRequest(Request):
    """A request whose body is bounded while it is read, and is one JSON text without doubt."""

    async def body(self) -> bytes:
        """Read the body; raises a too-large Problem as soon as it is too long."""
        if not hasattr(self, "_body"):
            declared = self.headers.get("content-length", "")
            size = int(declared) if _NUMBER.fullmatch(declared) else 0
            read = bytearray()
            if size <= LARGEST_BODY:
                async for chunk in self.stream():
                    read += chunk
                    size = len(read)
                    if size > LARGEST_BODY:
                        break
            if size > LARGEST_BODY:
                raise Problem(TOO_LARGE, f"A body may have {LARGEST_BODY} bytes.")
            self._body = bytes(read)
        return self._body

    async def json(self) -> Json:
        """Read the body as JSON; raises a malformed Problem."""
        return strict_json(await self.body())


def strict_json(body: bytes) -> Json:
    """Parse JSON; refuses what is doubtful: repeated members, NUL, NaN, too much depth."""
    try:
        value = orjson.loads(body)
        json.loads(body, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise Problem.at(MALFORMED, "body", "", f"The body is not JSON: {error}") from None
    if not isinstance(value, dict | list):
        return value
    may_hold_nul = b"\\u0000" in body
    for steps, found in _inside(value, (), texts=may_hold_nul):
        if len(steps) > DEEPEST_BODY:
            raise Problem.at(MALFORMED, "body", pointer(steps), "The body is nested too deeply")
        if isinstance(found, str) and "\0" in found:
            raise Problem.at(KINDS["invalid"], "body", pointer(steps), "holds a NUL character")
    return value


def _unique(pairs: list[tuple[str, Json]]) -> None:
    names = Counter(name for name, _ in pairs)
    if len(names) < len(pairs):
        [(repeated, _)] = names.most_common(1)
        raise ValueError(f"the member {repeated[:128]!r} is repeated")


Steps = tuple[str | int, ...]


def _inside(value: Json, steps: Steps, *, texts: bool) -> Iterator[tuple[Steps, Json]]:
    """Yield lists and objects inside a value, and if wanted texts and members' names."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for step, member in members:
        if texts:
            yield (*steps, step), step
        if isinstance(member, dict | list):
            yield (*steps, step), member
            yield from _inside(member, (*steps, step), texts=texts)
        elif texts:
            yield (*steps, step), member


class LedgerRoute(APIRoute):
    """A route whose caller is known before anything of the request is read."""

    families: tuple[str, ...] = ()
    """What names of query parameters that are not declared one by one begin with."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put what every route does before FastAPI's own handling."""
        handle = super().get_route_handler()
        declared = set(_query_names(self.dependant))

        async def strictly(request: Request) -> Response:
            desk: Desk = request.app.state.desk
            authorization = request.headers.getlist("authorization")
            request.state.actor = desk.authority.actor(authorization)
            strict = StrictRequest(request.scope, request.receive)
            self._refuse_doubtful_query(strict, declared)
            await self._refuse_other_media(strict)
            return await handle(strict)

        return strictly

    def _refuse_doubtful_query(self, request: Request, declared: set[str]) -> None:
        seen = set[str]()
        for name, value in request.query_params.multi_items():
            if name not in declared and not name.startswith(self.families):
                detail = "is not a parameter of this path"
            elif name in seen:
                detail = "is repeated"
            elif "\0" in name + value:
                detail = "holds a NUL character"
            else:
                seen.add(name)
                continue
            raise Problem.at(KINDS["invalid"], "query", pointer([name[:128]]), detail)

    async def _refuse_other_media(self, request: StrictRequest) -> None:
        if self.body_field is None or not await request.body():
            return
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            detail = "Send the body as Content-Type: application/json"
            raise Problem(UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept": "application/json"})


def _query_names(dependant: Dependant) -> Iterator[str]:
    for param in dependant.query_params:
        kind = param.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (field.alias or name for name, field in kind.model_fields.items())
        else:
            yield param.alias
    for dependency in dependant.dependencies:
        yield from _query_names(dependency)


class ContextRoute(LedgerRoute):
    """A route whose query says who asks."""

    families = ("attributes.", "experiments.")
