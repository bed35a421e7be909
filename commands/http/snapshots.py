"""Snapshots: what games said they were given, whether the ledger says the same, and forgetting."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from psycopg.errors import InsufficientPrivilege

from commands.http.answers import POSITION_HEADER, Forgotten, SnapshotList, written
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.formats import MEDIA_TYPES, Format
from commands.http.orders import AtLedger
from commands.http.problems import MALFORMED, Problem
from commands.http.requests import LedgerRoute
from commands.models import LAST_POSITION
from ledger.errors import LedgerUnavailable
from projections.snapshots import (
    After,
    Snapshot,
    count_snapshots,
    forget,
    list_snapshots,
    told,
    verify,
)

Json = Any

router = APIRouter(tags=["the ledger"], route_class=LedgerRoute)

COUNT_HEADER = "Snapshot-Count"
CHECKED_PAGE = 200
_KIND = "snapshots"

Session = Annotated[str | None, Query(max_length=256, description="of one session only")]


@router.get("/snapshots", response_model=SnapshotList, summary="List snapshots")
def read_snapshots(
    desk: AtLedger,
    session_id: Session = None,
    cursor: Annotated[str | None, Query(max_length=128)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """List what games sampled of what they were given, by the position that it is as of.

    `count` is how many there are on all pages.
    """
    after = None if cursor is None else _read_cursor(cursor)
    with desk.views.connection() as connection:
        rows, following = list_snapshots(
            connection, after=after, session_id=session_id, limit=limit
        )
        count = count_snapshots(connection, session_id)
    answer = {
        "snapshots": [row.to_json() for row in rows],
        "count": count,
        "next": None if following is None else _cursor(following),
    }
    return written(orjson.dumps(answer), position=desk.ledger.position())


@router.get(
    "/snapshots/verdicts",
    response_class=StreamingResponse,
    responses={200: {"content": {MEDIA_TYPES[Format.NDJSON]: {}}}},
    summary="Verify snapshots",
)
def verify_snapshots(desk: AtLedger, session_id: Session = None) -> StreamingResponse:
    """Resolve every snapshot again, and tell of each whether the ledger says the same.

    A line of JSON for each: `agrees`, `differs` (by lever `sampled` and `resolved`), `unverified`
    (levers of which the ledger alone cannot tell, and why) and `problem` (why nothing could be
    compared). Snapshot-Count tells how many lines there will be, unless more come meanwhile.
    """
    with desk.views.connection() as connection:
        count = count_snapshots(connection, session_id)
    headers = {POSITION_HEADER: str(desk.ledger.position()), COUNT_HEADER: str(count)}
    return StreamingResponse(_verdicts(desk, session_id), 200, headers, MEDIA_TYPES[Format.NDJSON])


def _verdicts(desk: Desk, session_id: str | None) -> Iterator[bytes]:
    for page in _pages(desk, session_id):
        verdicts = verify(page, desk.questions.prefixes.at)
        yield b"".join(
            orjson.dumps(told(verdict), option=orjson.OPT_APPEND_NEWLINE) for verdict in verdicts
        )


def _pages(desk: Desk, session_id: str | None) -> Iterator[list[Snapshot]]:
    after: After | None = After()
    while after is not None:
        with desk.views.connection() as connection:
            page, after = list_snapshots(
                connection, after=after, session_id=session_id, limit=CHECKED_PAGE
            )
        yield page


@router.delete(
    "/snapshots",
    response_model=Forgotten,
    responses=refusals(503),
    summary="Forget a session's snapshots",
)
def forget_snapshots(
    desk: AtLedger, session_id: Annotated[str, Query(min_length=1, max_length=256)]
) -> Response:
    """Delete all snapshots of a session, and refuse those of it that are still on their way."""
    with desk.views.connection() as connection:
        try:
            forgotten = forget(connection, session_id)
        except InsufficientPrivilege as error:
            raise LedgerUnavailable(
                "this server's login may not become liveops_projector, who deletes snapshots"
            ) from error
    return written(orjson.dumps({"forgotten": forgotten}), position=desk.ledger.position())


def _cursor(after: After) -> str:
    return urlsafe_b64encode(f"{_KIND}:{after.position}:{after.id}".encode()).decode().rstrip("=")


def _read_cursor(text: str) -> After:
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("ascii")
        kind, position, last = raw.split(":")
        after = After(int(position), UUID(last))
    except ValueError:
        after, kind = After(-1), ""
    if kind != _KIND or not 0 <= after.position <= LAST_POSITION or _cursor(after) != text:
        raise Problem.at(MALFORMED, "query", "/cursor", "This is not the cursor of a page")
    return after
