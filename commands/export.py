"""Bundles of the signed log: what an auditor takes away, to be checked without this program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from commands.proof import NotSigned
from ledger.bundle import TILE, Contents, Repeat, write
from ledger.errors import LedgerUnavailable
from ledger.notes import Checkpoint, NoteRefused, Verifier, read_note, signers_of
from ledger.store import LedgerStore
from ledger.tiles import Tile
from projections import checkpoints, tree
from projections.checkpoints import SignedHead
from projections.views import Connection

Reading = Callable[[], AbstractContextManager[Connection]]
"""Lends a connection to the views."""


class Export(NamedTuple):
    """A bundle on its way: of how many events, and its pieces."""

    size: int
    pieces: Iterator[bytes]


def export(
    reading: Reading, store: LedgerStore, *, upto: int | None = None, repeat: Repeat | None = None
) -> Export:
    """Begin a bundle: up to the newest checkpoint, or the earliest one that covers `upto`.

    Raises NotSigned where there is none. A tile of events is held at a time, and a connection only
    while a tile is read. The hashes are the tree's, made when the events were recorded: of an
    event that was changed in the database since, the bundle tells.
    """
    with reading() as connection:
        head = checkpoints.covering(connection, upto) if upto else checkpoints.head(connection)
        if head is None:
            raise NotSigned
        if tree.size(connection) < head.size:
            raise LedgerUnavailable("the tree is being built anew: retry in a while")
        keys = _signed_by(head, checkpoints.log_keys(connection))
    contents = Contents(
        origin=Checkpoint.parse(read_note(head.note)[0]).origin,
        size=head.size,
        events=(stored.envelope() for stored in store.stream(upto=head.size, batch=4 * TILE)),
        tile=lambda first, width: _tile(reading, first, width),
        checkpoint=head.note,
        keys=keys,
        repeat=repeat,
    )
    return Export(head.size, write(contents))


def _signed_by(head: SignedHead, keys: list[str]) -> list[str]:
    """Choose, of all keys that ever signed, those that signed this head."""
    try:
        signers = signers_of(head.note, map(Verifier.parse, keys))[1]
    except NoteRefused:
        # It was tampered with: whoever checks the bundle is to see by which keys.
        return keys
    return [verifier.text() for verifier in signers]


def _tile(reading: Reading, first: int, width: int) -> bytes:
    with reading() as connection:
        return tree.tile(connection, Tile(0, first // TILE, width)) or b""
