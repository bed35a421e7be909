"""The log's signed heads as they are published: each once, in order, after the events it is about.

Where to go on is read from the topic, like all of the publisher. What stands there must be of this
very log: a ledger that was restored to an earlier point, and went on from there differently, is
found out by the heads that were published before.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import psycopg

from ledger.cloudevents import Record
from ledger.errors import LedgerError
from ledger.merkle import root
from ledger.notes import Checkpoint, NoteRefused
from ledger.notes import read_note as note_parts
from projections import checkpoints, sql, tree
from projections.checkpoints import SignedHead
from projections.views import Connection

MOST = 500
"""Heads in one transaction."""


class AnotherLog(Exception):
    """A published checkpoint is not of this log: the ledger was changed, or another one restored.

    Compare it with a backup (`liveops replay --verify`), or publish under another prefix.
    """


def read_note(value: bytes) -> Checkpoint | None:
    """Read a checkpoint from what a record holds; None if it is none. Nothing is verified."""
    try:
        return Checkpoint.parse(note_parts(value)[0])
    except NoteRefused:
        return None


class SignedHeads:
    """The checkpoints of one ledger, and how far they are published. Use as a context."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._newest: Checkpoint | None = None
        self._compared = True

    def __enter__(self) -> Self:
        self._connection: Connection = psycopg.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="liveops publisher"
        )
        try:
            self._connection.execute(sql.queries()["heads_session"])
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def resume(self, note: bytes | None) -> None:
        """Go on behind the newest note in the topic, which is compared before anything follows."""
        self._newest = None if note is None else read_note(note)
        self._compared = self._newest is None

    def due(self, position: int) -> list[Record]:
        """List what is to be published next, when the events up to a position are.

        Raises AnotherLog when what was published before is not of this log.
        """
        if not self._installed() or not (self._compared or self._compare()):
            return []
        after = 0 if self._newest is None else self._newest.size
        found = checkpoints.after(self._connection, after, MOST)
        return [_record(head) for head in found if head.size <= position]

    def published(self, records: Sequence[Record]) -> None:
        """Take note of what is in the topic now."""
        self._newest = read_note(records[-1].value or b"")

    def _installed(self) -> bool:
        parameters = {"tables": ["liveops_checkpoints", "liveops_tree"]}
        row = self._connection.execute(sql.queries()["tables_exist"], parameters).fetchone()
        return row == (True,)

    def _compare(self) -> bool:
        """See that the log had the newest published head; False while its tree is behind that."""
        newest = self._newest
        size = tree.size(self._connection)
        if newest is None or size < newest.size:
            return newest is None
        if root(newest.size, tree.nodes(self._connection, size)) != newest.root:
            raise AnotherLog(
                f"the published checkpoint of {newest.size} events is of another history: see that "
                "this ledger was not changed, or publish under another prefix"
            )
        self._compared = True
        return True


def _record(head: SignedHead) -> Record:
    checkpoint = read_note(head.note.encode())
    if checkpoint is None or checkpoint.size != head.size:
        raise LedgerError(f"the checkpoint of {head.size} events is damaged")
    origin = checkpoint.origin.encode()
    headers = [("content-type", b"text/plain; charset=utf-8")]
    return Record(origin, head.note.encode(), headers, head.signed_at // 1000)
