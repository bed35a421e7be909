"""The events themselves, byte for byte as they are on every surface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from commands.http.answers import EventList, written
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.formats import MEDIA_TYPES, Format, wanted_format
from commands.http.orders import AtLedger
from commands.http.requests import LedgerRoute
from commands.models import LAST_POSITION
from ledger.store import Stored

router = APIRouter(tags=["the ledger"], route_class=LedgerRoute)

MOST = 1000
LARGEST_PAGE = 8 << 20
BATCH = 50

After = Annotated[int, Query(ge=0, le=LAST_POSITION, description="events behind this position")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="at most so many, fewer if they are large")]


@router.get(
    "/events",
    response_model=EventList,
    responses=refusals(406) | {200: {"content": {MEDIA_TYPES[Format.NDJSON]: {}}}},
    summary="Read events",
)
def read_events(
    request: Request,
    desk: AtLedger,
    after: After = 0,
    limit: Limit = 100,
    format_: Annotated[Format | None, Query(alias="format")] = None,
) -> Response:
    """Read the events behind a position, in ledger order.

    As JSON a page, whose `next` is the `after` of the page behind it; as NDJSON a line for each
    of the page's events.
    """
    chosen = wanted_format(request, format_, Format.JSON, Format.NDJSON)
    page = list(_events(desk, after, limit))
    head = desk.ledger.store.head().position
    envelopes = [stored.envelope() for stored in page]
    if chosen is Format.NDJSON:
        lines = b"".join(envelope + b"\n" for envelope in envelopes)
        return written(lines, position=head, media_type=MEDIA_TYPES[chosen])
    last = page[-1].position if page else after
    content = b'{"events":[%s],"next":%d,"head":%d}' % (b",".join(envelopes), last, head)
    return written(content, position=head)


def _events(desk: Desk, after: int, limit: int) -> Iterator[Stored]:
    """Yield events until there are `limit`, or more bytes than a page should have."""
    size = 0
    while limit and size < LARGEST_PAGE:
        batch = desk.ledger.store.read(after=after, limit=min(limit, BATCH))
        yield from batch
        if len(batch) < min(limit, BATCH):
            return
        size += sum(len(stored.state) for stored in batch)
        limit -= len(batch)
        after = batch[-1].position
