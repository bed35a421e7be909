"""Long lists of the API, written to a file as they stream in; whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from commands.client import Api

Json = Any

ACCEPT = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
STANDARD_OUTPUT = Path("-")


class Downloaded(NamedTuple):
    """What was written: how many entries, and up to which position of the ledger."""

    entries: int
    position: int


Report = Callable[[Downloaded], None]


def download(
    api: Api, path: str, file: Path, form: str, *, query: Mapping[str, Json], report: Report
) -> Downloaded:
    """Write a list to a file as `ndjson` or `csv`, as the server sends it; `-` is standard output.

    The file has its name only once it is complete: what breaks off leaves nothing behind. `report`
    is called after every piece.
    """
    count = _Rows() if form == "csv" else _Lines()
    with (
        api.streamed(path, accept=ACCEPT[form], **query) as answer,
        whole(file) as output,
    ):
        position = int(answer.headers.get("ledger-position", 0))
        for piece in answer.iter_bytes():
            output.write(piece)
            count.take(piece)
            report(Downloaded(count.entries, position))
    return Downloaded(count.entries, position)


@contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name, and the place of one that has it, when all went well."""
    if file == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as output:
            yield output
            output.flush()
            os.fsync(output.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


class _Lines:
    """Counts entries of NDJSON."""

    def __init__(self) -> None:
        self.entries = 0

    def take(self, piece: bytes) -> None:
        """Go on by a piece of the body."""
        self.entries += piece.count(b"\n")


class _Rows:
    """Counts entries of CSV: a line that ends inside quotes is no row; headings are none."""

    def __init__(self) -> None:
        self._lines = 0
        self._quotes = 0

    @property
    def entries(self) -> int:
        """How many rows there were, without the headings."""
        return max(self._lines - 1, 0)

    def take(self, piece: bytes) -> None:
        """Go on by a piece of the body."""
        first, *others = piece.split(b"\n")
        self._quotes += first.count(b'"')
        for line in others:
            self._lines += self._quotes % 2 == 0
            self._quotes += line.count(b'"')
