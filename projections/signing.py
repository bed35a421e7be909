"""Signs the head of the tree, at most once a second, and only a tree that continues what it signed.

Before it signs, it looks whether the tree still has, at the size of the last checkpoint, the root
that was signed there. A history that was rewritten, and whose tree was built anew, has another
one: it is never signed, and said loudly until somebody has found out what happened.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Event
from time import monotonic

import psycopg

from ledger.errors import LedgerError
from ledger.merkle import Hash, root
from ledger.notes import (
    Checkpoint,
    NoteRefused,
    Signer,
    Verifier,
    open_checkpoint,
    sign_checkpoint,
    signers_of,
)
from projections import checkpoints, tree
from projections.checkpoints import SignedHead
from projections.views import Connection, close, connect, head

_log = logging.getLogger(__name__)

_BETWEEN_LOOKS = 1.0
_LONGEST_PAUSE = 30.0


class SigningRefused(LedgerError):
    """The tree does not continue what was signed: compare the ledger with a backup."""


def run(url: str, signers: Sequence[Signer], stop: Event, origin: str | None = None) -> None:
    """Sign the tree's head whenever it has moved, until `stop` is set.

    Any number of processes may do so at once: what they sign is the same text. `origin` names the
    log; if not given, its first event does.
    """
    said, pause = "", _BETWEEN_LOOKS
    while not stop.is_set():
        began = monotonic()
        try:
            _follow(url, signers, stop, origin)
        except Exception as error:
            if monotonic() - began > _LONGEST_PAUSE:
                said, pause = "", _BETWEEN_LOOKS
            said = _report(error, said)
            stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _report(error: Exception, before: str) -> str:
    """Log why nothing is signed: a refusal again and again, all else when it is news."""
    words = " ".join(str(error).split())
    if isinstance(error, SigningRefused):
        _log.error("not signing: %s", words)
    elif words != before:
        unexpected = not isinstance(error, LedgerError | psycopg.Error)
        _log.warning("not signing: %s", words, exc_info=unexpected)
    return words


def _follow(url: str, signers: Sequence[Signer], stop: Event, origin: str | None) -> None:
    connection = connect(url)
    try:
        signing = Signing(signers, origin)
        while not stop.is_set():
            signing.look(connection)
            stop.wait(_BETWEEN_LOOKS)
    finally:
        close(connection)


class Signing:
    """What signs, and the head that it has looked at last."""

    def __init__(self, signers: Sequence[Signer], origin: str | None = None) -> None:
        self._signers = signers
        self._origin = origin
        self._seen = 0

    def look(self, connection: Connection) -> int | None:
        """Sign the tree as it is now, if that is not signed by all keys; returns its size then.

        Raises SigningRefused for a tree that does not continue what was signed.
        """
        held = checkpoints.head(connection)
        if self._seen > (0 if held is None else held.size):
            raise SigningRefused(f"the checkpoint of {self._seen} events is gone")
        size = tree.size(connection)
        if size == 0 and held is None:
            return None
        nodes = tree.nodes(connection, size)
        if held is not None and size < held.size:
            self._refuse_lost_end(connection, held)
            return None
        if held is not None:
            self._check(connection, held, root(held.size, nodes))
        if held is not None and held.size == size and self._signed_by_all(held):
            return None
        return self._sign(connection, size, root(size, nodes))

    def _refuse_lost_end(self, connection: Connection, held: SignedHead) -> None:
        """Let a tree catch up that is behind what was signed, unless the ledger itself is."""
        last = head(connection)
        if last < held.size:
            raise SigningRefused(
                f"the ledger ends at position {last}, and one of {held.size} events was signed: "
                "its end is missing"
            )

    def _check(self, connection: Connection, held: SignedHead, found: Hash) -> None:
        self._check_note(connection, held)
        if found != held.root:
            raise SigningRefused(
                f"the first {held.size} events are not those that were signed: their tree has the "
                f"root {found.hex()}, not {held.root.hex()}"
            )
        self._seen = held.size

    def _check_note(self, connection: Connection, held: SignedHead) -> None:
        """See that the row is what its note says, and the note signed by a key of the log."""
        ours = [signer.verifier for signer in self._signers]
        known = {*map(Verifier.parse, checkpoints.log_keys(connection)), *ours}
        try:
            signed = open_checkpoint(held.note, known, self._named(connection))
        except NoteRefused as error:
            raise SigningRefused(f"the checkpoint of {held.size} events: {error}") from error
        if (signed.size, signed.root) != (held.size, held.root):
            raise SigningRefused(f"the checkpoint of {held.size} events says something else")

    def _signed_by_all(self, held: SignedHead) -> bool:
        ours = {signer.verifier for signer in self._signers}
        try:
            _, signed = signers_of(held.note, ours)
        except NoteRefused:
            return False
        return ours.issubset(signed)

    def _sign(self, connection: Connection, size: int, tree_root: Hash) -> int:
        note = sign_checkpoint(Checkpoint(self._named(connection), size, tree_root), self._signers)
        with connection.transaction():
            checkpoints.add(connection, size=size, root=tree_root, note=note)
            vkeys = [signer.verifier.text() for signer in self._signers]
            checkpoints.add_log_keys(connection, vkeys, size)
        self._seen = size
        return size

    def _named(self, connection: Connection) -> str:
        self._origin = self._origin or checkpoints.origin_of(connection)
        if self._origin is None:
            raise SigningRefused("the ledger has no first event to be named after")
        return self._origin
