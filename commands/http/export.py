"""A part of the log to take away and check elsewhere."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from commands.export import export
from commands.http.answers import POSITION_HEADER
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.formats import MEDIA_TYPES, Format
from commands.http.orders import AtLedger
from commands.http.problems import naming
from commands.http.proof import await_checkpoint
from commands.http.requests import LedgerRoute
from commands.models import LAST_POSITION, LONGEST_TOKEN
from commands.questions import DamagedToken
from ledger.bundle import Repeat
from ledger.errors import NotFound

router = APIRouter(tags=["proof"], route_class=LedgerRoute)

NDJSON = MEDIA_TYPES[Format.NDJSON]


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses=refusals(400, 404) | {200: {"content": {NDJSON: {}}}},
    summary="Export a bundle",
)
def export_bundle(
    desk: AtLedger,
    upto: Annotated[
        int | None,
        Query(ge=1, le=LAST_POSITION, description="no further than the checkpoint that covers it"),
    ] = None,
    token: Annotated[
        str | None, Query(min_length=1, max_length=LONGEST_TOKEN, description="of an answer")
    ] = None,
) -> StreamingResponse:
    """Export the signed events from the first one on, with all that proves them, as one file.

    Without `upto`, up to the newest checkpoint; with the `token` of an answer, the answer as well,
    so that whoever has the bundle can repeat it. `liveops verify` checks a bundle, without this
    server; `docs/reference/bundle.md` tells how anybody else can.
    """
    with naming("query", {NotFound: "/upto"}):
        _refuse_beyond_head(desk, upto)
    with naming("query", {NotFound: "/token", DamagedToken: "/token"}):
        answer = None if token is None else desk.questions.repeat(token)
    if upto is not None and answer is not None:
        upto = max(upto, answer.position)
    await_checkpoint(desk, upto or (answer.position if answer is not None else 0))
    repeat = None if token is None or answer is None else Repeat(token, answer.body)
    exported = export(desk.views.connection, desk.ledger.store, upto=upto, repeat=repeat)
    headers = {
        POSITION_HEADER: str(exported.size),
        "Content-Disposition": f'attachment; filename="ledger-{exported.size}.ndjson"',
    }
    return StreamingResponse(exported.pieces, 200, headers, NDJSON)


def _refuse_beyond_head(desk: Desk, upto: int | None) -> None:
    head = desk.ledger.store.head().position
    if upto is not None and upto > head:
        raise NotFound(f"the ledger has no position {upto}: its head is {head}")
