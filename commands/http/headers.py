"""The request headers of the API, each read strictly, and the answer headers that go with them."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from commands.http.problems import MALFORMED, PRECONDITION_REQUIRED, Problem
from commands.models import LAST_POSITION

_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"', re.ASCII)
_ENTITY_TAG = re.compile(r'"([1-9][0-9]{0,17})"', re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


def _one(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise Problem.at(MALFORMED, "header", f"/{name}", f"{name} is repeated")
    return values[0].strip() if values else None


async def idempotency_key(
    request: Request,
    _: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="A quoted string of the caller's choice; a repeated request with the same "
            "key gets the first outcome and changes nothing.",
            examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
        ),
    ] = None,
) -> str | None:
    """Read the key; raises a malformed Problem unless it is a structured-field string."""
    given = _one(request, "Idempotency-Key")
    if given is None:
        return None
    found = _QUOTED.fullmatch(given)
    if found is None:
        detail = 'Idempotency-Key must be a quoted string of 1 to 255 characters, like "k1"'
        raise Problem.at(MALFORMED, "header", "/Idempotency-Key", detail)
    return re.sub(r"\\(.)", r"\1", found[1])


async def if_match(
    request: Request,
    _: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="The config's newest revision as the caller knows it, quoted: the ETag "
            "of earlier answers. `*` means whichever.",
            examples=['"1"'],
        ),
    ] = None,
) -> int | None:
    """Read the expected revision; raises a malformed Problem."""
    given = _one(request, "If-Match")
    if given is None or given == "*":
        return None
    found = _ENTITY_TAG.fullmatch(given)
    if found is None:
        detail = 'If-Match must be the ETag of an earlier answer, like "3", or *'
        raise Problem.at(MALFORMED, "header", "/If-Match", detail)
    return int(found[1])


async def if_match_position(
    request: Request,
    _: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="The position of the experiment's last event as the caller knows it, "
            "quoted: the ETag of earlier answers. `*` means whichever.",
            examples=['"42"'],
        ),
    ] = None,
) -> int | None:
    """Read the expected position; raises a malformed Problem."""
    return await if_match(request)


async def required_if_match(
    request: Request, revision: Annotated[int | None, Depends(if_match)]
) -> int | None:
    """Read the expected revision of a request that must name it, if only as `*`."""
    if "if-match" not in request.headers:
        detail = 'Say which revision this is to replace: If-Match: "<revision>"'
        raise Problem.at(PRECONDITION_REQUIRED, "header", "/If-Match", detail)
    return revision


async def min_position(
    request: Request,
    _: Annotated[
        str | None,
        Header(
            alias="Ledger-Min-Position",
            description="The answer must take account of the ledger up to this position, the "
            "Ledger-Position of an earlier answer: read your writes.",
            examples=["42"],
        ),
    ] = None,
) -> int:
    """Read the position that the answer must have reached, 0 for none."""
    given = _one(request, "Ledger-Min-Position")
    if given is None:
        return 0
    if not _NUMBER.fullmatch(given) or int(given) > LAST_POSITION:
        detail = "Ledger-Min-Position must be a position, like 42"
        raise Problem.at(MALFORMED, "header", "/Ledger-Min-Position", detail)
    return int(given)


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
ExpectedRevision = Annotated[int | None, Depends(if_match)]
ExpectedPosition = Annotated[int | None, Depends(if_match_position)]
RequiredRevision = Annotated[int | None, Depends(required_if_match)]
MinPosition = Annotated[int, Depends(min_position)]
