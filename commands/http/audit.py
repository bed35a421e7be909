"""The audit trail: who did what, where, when and why, and what it changed."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, Field

from commands.http.answers import POSITION_HEADER, AuditList, written
from commands.http.cursors import LONGEST, cursor, read_cursor
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.formats import MEDIA_TYPES, Format, wanted_format
from commands.http.headers import MinPosition
from commands.http.orders import AtLedger
from commands.http.problems import BEHIND, RETRY_AFTER_SECONDS, Problem
from commands.http.requests import LedgerRoute
from commands.models import Moment
from ledger.scopes import Scope
from projections.audit import ACTIONS
from projections.trail import Audited, list_audit
from projections.views import Page

Json = Any

router = APIRouter(tags=["the ledger"], route_class=LedgerRoute)

VIEW = "liveops_audit"
PAGES = "audit"
STREAMED_PAGE = 500
PATIENCE_SECONDS = 2.0
POLL_SECONDS = 0.05

_COLUMNS = tuple(field.name for field in fields(Audited))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _known_actions(text: str) -> str:
    if not set(_listed(text)) <= set(ACTIONS.values()):
        raise ValueError(f"must be of {', '.join(ACTIONS.values())}; several with commas between")
    return text


def _listed(actions: str) -> list[str]:
    return [action.strip() for action in actions.split(",")]


Actions = Annotated[
    str,
    AfterValidator(_known_actions),
    Field(
        max_length=400,
        description=f"one of {', '.join(ACTIONS.values())}; or several, with commas between",
    ),
]


class AuditFilter(BaseModel):
    """Which entries to list, which page of them, and in which order."""

    actor: UUID | None = None
    action: Actions | None = None
    lever: str | None = Field(
        None,
        max_length=200,
        description="also what concerns it through an experiment, a catalog or a rule",
    )
    scope: Scope | None = None
    scope_ref: str | None = Field(None, max_length=256)
    config_id: UUID | None = None
    correlation_id: UUID | None = Field(None, description="all that one cause led to")
    since: Moment | None = Field(None, description="recorded at this instant or later")
    until: Moment | None = Field(None, description="recorded before this instant")
    oldest_first: bool = False
    cursor: str | None = Field(None, max_length=LONGEST, description="`next` of the page before")
    limit: int | None = Field(None, ge=1, le=10_000, description="JSON: 50 unless told")
    format: Format | None = Field(None, description="instead of an Accept header")

    def page(
        self, desk: Desk, after: int | None, limit: int, upto: int | None = None
    ) -> Page[Audited]:
        """Read a page of the view, up to a position."""
        own = {"cursor", "limit", "format", "action"}
        wanted = {name: value for name, value in self if name not in own}
        wanted["actions"] = None if self.action is None else _listed(self.action)
        with desk.views.connection() as connection:
            return list_audit(connection, **wanted, upto=upto, after=after, limit=limit)


@router.get(
    "/audit",
    response_model=AuditList,
    responses=refusals(400, 406)
    | {200: {"content": {MEDIA_TYPES[each]: {} for each in (Format.NDJSON, Format.CSV)}}},
    summary="Read the audit trail",
)
def read_audit(
    request: Request, desk: AtLedger, wanted: Annotated[AuditFilter, Query()], least: MinPosition
) -> Response:
    """Read the audit trail, the newest entries first unless told otherwise.

    As JSON a page; as NDJSON or CSV every entry up to Ledger-Position, streamed, unless there is a
    limit. It is read from a view, which may be a moment behind the ledger: Ledger-Position tells
    where it is. In CSV a text that a spreadsheet would take for a formula begins with an
    apostrophe. `through` names, of an experiment's entry that a lever led to, the configs that
    set the lever in it.
    """
    chosen = wanted_format(request, wanted.format, *Format)
    position = _position(desk, least)
    after = None if wanted.cursor is None else read_cursor(PAGES, wanted.cursor)
    if chosen is Format.JSON:
        page = wanted.page(desk, after, wanted.limit or desk.settings.preview_max_docs)
        following = None if page.next is None else cursor(PAGES, page.next)
        answer = {"entries": [entry.to_json() for entry in page.rows], "next": following}
        return written(orjson.dumps(answer), position=position)
    pages = _all(desk, wanted, after, position)
    lines = _lines(pages) if chosen is Format.NDJSON else _rows(pages)
    headers = {POSITION_HEADER: str(position)}
    return StreamingResponse(lines, 200, headers, MEDIA_TYPES[chosen])


def _position(desk: Desk, least: int) -> int:
    """Wait a moment for the view to reach a position; raises a behind Problem."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (position := desk.views.position(VIEW)) < least:
        if time.monotonic() > deadline:
            detail = f"the view is at position {position}, not yet at {least}"
            raise Problem(BEHIND, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
        time.sleep(POLL_SECONDS)
    return position


Pages = Iterator[Page[Audited]]


def _all(desk: Desk, wanted: AuditFilter, after: int | None, upto: int) -> Pages:
    """Read page after page. The first is read at once, while a failure can still be told."""
    left = wanted.limit
    first = wanted.page(desk, after, min(left or STREAMED_PAGE, STREAMED_PAGE), upto)
    return _following(desk, wanted, first, left, upto)


def _following(
    desk: Desk, wanted: AuditFilter, page: Page[Audited], left: int | None, upto: int
) -> Pages:
    while True:
        yield page
        left = None if left is None else left - len(page.rows)
        if page.next is None or left == 0:
            return
        page = wanted.page(desk, page.next, min(left or STREAMED_PAGE, STREAMED_PAGE), upto)


# A page at a time, as each piece of a stream is fetched by another thread.
def _lines(pages: Pages) -> Iterator[bytes]:
    for page in pages:
        yield b"".join(
            orjson.dumps(entry.to_json(), option=orjson.OPT_APPEND_NEWLINE) for entry in page.rows
        )


def _rows(pages: Pages) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for page in pages:
        for entry in page.rows:
            values = entry.to_json()
            writer.writerow([_cell(values[name]) for name in _COLUMNS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cell(value: Json) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    return f"'{value}" if value.startswith(_FORMULA) else value
