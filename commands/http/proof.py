"""Proof: signed heads of the log, its tree in tiles, and proofs of events, growth and answers."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from commands import proof
from commands.http.answers import POSITION_HEADER, Answer, Moment, respond, written
from commands.http.cursors import LONGEST, cursor, read_cursor
from commands.http.desk import Desk
from commands.http.document import refusals
from commands.http.orders import AtLedger
from commands.http.problems import BEHIND, RETRY_AFTER_SECONDS, Problem, naming
from commands.http.requests import LedgerRoute
from commands.models import LAST_POSITION, LONGEST_TOKEN
from commands.questions import DamagedToken
from ledger.clock import format_instant
from ledger.errors import NotFound
from ledger.tiles import TILE_WIDTH, Entries, Tile, TileRefused, pack_entries, parse_path
from projections import checkpoints, tree

router = APIRouter(prefix="/proof", tags=["proof"], route_class=LedgerRoute)

PAGES = "checkpoints"
NOTE = "text/plain"
TILE = "application/octet-stream"
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
PATIENCE_SECONDS = 3.0
POLL_SECONDS = 0.1

_Hash = Annotated[str, Field(description="32 bytes in base64")]
_Size = Annotated[int, Query(ge=1, le=LAST_POSITION, description="so many events")]


# --- Answers ---


class SignedCheckpoint(Answer):
    """A signed head of the log."""

    size: int
    root: _Hash
    note: str
    signed_at: Moment


class CheckpointList(Answer):
    """Checkpoints, the oldest first."""

    checkpoints: list[SignedCheckpoint]
    next: str | None


class LogKeys(Answer):
    """What the log is called, and the public keys that have signed it."""

    origin: str | None
    keys: list[str]


class ProvedEvent(Answer):
    """An event, its leaf, and what stands beside its way up to the root."""

    position: int
    envelope: str = Field(description="the event's bytes, of which the leaf is the hash")
    leaf: _Hash
    proof: list[_Hash]


class InclusionProof(ProvedEvent):
    """That an event is in the log."""

    size: int
    root: _Hash
    checkpoint: str | None = Field(description="the signed note of this size, if there is one")


class ConsistencyProof(Answer):
    """That a longer log begins with a shorter one."""

    old: int
    old_root: _Hash
    old_checkpoint: str | None
    new: int
    new_root: _Hash
    checkpoint: str | None = Field(description="the signed note of the longer one, if there is one")
    proof: list[_Hash]


class Supplier(ProvedEvent):
    """An event that supplied something of an answer."""

    supplies: list[str] = Field(description="`lever:NAME`, `kill:NAME`, `experiment:ID`, …")


class AnswerProof(Answer):
    """What an answer rests on, proved."""

    answer: str = Field(description="the answer's bytes, repeated")
    position: int = Field(description="the answer rests on the events from 1 to this one")
    position_root: _Hash = Field(description="root of the tree of just these events")
    consistency: list[_Hash] = Field(description="that they are how the signed log begins")
    events: list[Supplier]
    size: int
    root: _Hash
    checkpoint: str


# --- The signed log ---


@router.get(
    "/checkpoint",
    response_class=Response,
    responses=refusals(404) | {200: {"content": {NOTE: {}}}},
    summary="Newest checkpoint",
)
def read_checkpoint(desk: AtLedger) -> Response:
    """Read the newest signed head of the log, as a signed note (C2SP tlog-checkpoint)."""
    with desk.views.connection() as connection:
        head = proof.newest(connection)
    return written(head.note.encode(), position=head.size, media_type=NOTE)


@router.get(
    "/checkpoints",
    response_model=CheckpointList,
    responses=refusals(400),
    summary="List checkpoints",
)
def list_checkpoints(
    desk: AtLedger,
    cursor_: Annotated[str | None, Query(alias="cursor", max_length=LONGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List all signed heads of the log, the oldest first."""
    after = 0 if cursor_ is None else read_cursor(PAGES, cursor_)
    with desk.views.connection() as connection:
        page = checkpoints.after(connection, after, limit)
    listed = [
        SignedCheckpoint(
            size=head.size,
            root=proof.text_of(head.root),
            note=head.note,
            signed_at=format_instant(head.signed_at),
        )
        for head in page
    ]
    following = cursor(PAGES, page[-1].size) if len(page) == limit else None
    answer = CheckpointList(checkpoints=listed, next=following)
    return respond(answer, position=page[-1].size if page else after)


@router.get("/keys", response_model=LogKeys, summary="Public keys")
def read_keys(desk: AtLedger) -> Response:
    """Read the name of the log and the public keys that have signed it.

    To trust a checkpoint, take the key from somebody you trust, not from the server it is about.
    """
    with desk.views.connection() as connection:
        origin = desk.settings.log_origin or checkpoints.origin_of(connection)
        answer = LogKeys(origin=origin, keys=checkpoints.log_keys(connection))
        return respond(answer, position=tree.size(connection))


@router.get(
    "/tile/{path:path}",
    response_class=Response,
    responses=refusals(404, 422) | {200: {"content": {TILE: {}}}},
    summary="Tile",
)
def read_tile(path: str, desk: AtLedger) -> Response:
    """Read a tile of the tree, or a bundle of events, by its path (C2SP tlog-tiles).

    `0/000` is the first tile of hashes and `entries/000` the events under it; `.p/5` behind either
    is its first five. What a path names never changes.
    """
    wanted = parse_path(path)
    with desk.views.connection() as connection:
        size = tree.size(connection)
        hashes = tree.tile(connection, wanted) if isinstance(wanted, Tile) else b""
    if isinstance(wanted, Entries):
        content = _entries(desk, wanted, size)
    elif hashes is not None:
        content = hashes
    else:
        raise TileRefused(f"The tree of {size} events has no tile {path}.")
    return Response(content, 200, {POSITION_HEADER: str(size), **FOR_EVER}, TILE)


def _entries(desk: Desk, wanted: Entries, size: int) -> bytes:
    first = wanted.number * TILE_WIDTH
    if first + wanted.width > size:
        raise TileRefused(f"The log of {size} events has no {wanted.path}.")
    events = desk.ledger.store.read(after=first, limit=wanted.width)
    return pack_entries(stored.envelope() for stored in events)


# --- Proofs ---


@router.get(
    "/inclusion",
    response_model=InclusionProof,
    responses=refusals(404),
    summary="Prove an event",
)
def prove_inclusion(
    desk: AtLedger,
    position: Annotated[int, Query(ge=1, le=LAST_POSITION, description="the event")],
    size: _Size | None = None,
) -> Response:
    """Prove that an event is in the log, whose first `size` events have this root.

    Without `size`: of the newest checkpoint.
    """
    with naming("query", {NotFound: "/position"}), desk.views.connection() as connection:
        proved = proof.inclusion(connection, desk.ledger.store, position, size)
    return respond(InclusionProof.model_validate(proved), position=proved["size"])


@router.get(
    "/consistency",
    response_model=ConsistencyProof,
    responses=refusals(404),
    summary="Prove growth",
)
def prove_consistency(desk: AtLedger, old: _Size, new: _Size | None = None) -> Response:
    """Prove that the log of `new` events begins with that of `old` ones: nothing was rewritten.

    Without `new`: the log of the newest checkpoint.
    """
    with naming("query", {NotFound: "/old"}), desk.views.connection() as connection:
        proved = proof.consistency(connection, old, new)
    return respond(ConsistencyProof.model_validate(proved), position=proved["new"])


@router.get(
    "/answer",
    response_model=AnswerProof,
    responses=refusals(400, 404),
    summary="Prove an answer",
)
def prove_answer(
    desk: AtLedger, token: Annotated[str, Query(min_length=1, max_length=LONGEST_TOKEN)]
) -> Response:
    """Repeat the answer that carried a token, with proof of what it rests on.

    Every event that supplied something of it, each proved to be in the signed log; and proof that
    the events up to the answer's position are just those with which the signed log begins.
    """
    with naming("query", {NotFound: "/token", DamagedToken: "/token"}):
        basis = desk.questions.basis(token)
    await_checkpoint(desk, basis.answer.position)
    with desk.views.connection() as connection:
        proved = proof.of_answer(connection, desk.ledger.store, basis)
    return respond(AnswerProof.model_validate(proved), position=proved["size"])


def await_checkpoint(desk: Desk, position: int) -> None:
    """Wait a moment for a checkpoint that holds a position; raises a behind Problem, NotSigned."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (size := _signed(desk)) < position:
        if time.monotonic() > deadline:
            detail = f"the log is signed up to position {size}, not yet to {position}"
            raise Problem(BEHIND, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
        time.sleep(POLL_SECONDS)


def _signed(desk: Desk) -> int:
    with desk.views.connection() as connection:
        return proof.newest(connection).size
