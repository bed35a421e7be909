"""Checking a bundle in a file, and the answer in it: with neither a server nor a database."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson

from commands.questions import DamagedToken, answered, pinned
from ledger.bundle import LONGEST_LINE, TILE, Part, part_of
from ledger.bundle_check import Report, Trust, check
from ledger.bundle_faults import Fault, Kind
from ledger.errors import LedgerError
from ledger.events import decode_envelope
from ledger.state import replay_live

Json = Any
Progress = Callable[[int, int | None], None]
"""Told how many events were read, and of how many."""

_EVERY = 1000
_COMPRESSED = b"\x1f\x8b"


class BundleUnreadable(LedgerError):
    """The file cannot be read."""


def verify(file: Path, trust: Trust, progress: Progress) -> Report:
    """Check a bundle, also a gzipped one, and repeat the answer in it if there is one.

    Raises BundleUnreadable for a file that is not there, NoteRefused for what cannot be trusted.
    """
    lines = _Lines(file, progress)
    report = check(lines, trust, lines.each)
    if lines.damage is not None:
        return replace(report, faults=(lines.damage, *report.faults))
    if report.faults or report.token is None or report.answer is None:
        return report
    words = _unrepeated(file, report.token, report.answer)
    return report if words is None else replace(report, faults=(_of_answer(words, report.size),))


class _Lines:
    """The lines of a file; `damage` is what broke them off, if something did."""

    def __init__(self, file: Path, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._size: int | None = None
        self.damage: Fault | None = None

    def __iter__(self) -> Iterator[bytes]:
        number = 0
        try:
            with _opened(self._file) as opened:
                while line := opened.readline(LONGEST_LINE):
                    number += 1
                    if number == 1:
                        self._size = _size(line)
                    yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            words = f"Behind line {number}: the compressed file is damaged ({error})."
            self.damage = Fault(None, Kind.TRUNCATED, number + 1, words)
        except OSError as error:
            raise BundleUnreadable(f"{self._file} cannot be read: {error.strerror}") from error

    def each(self, number: int, _: bytes) -> None:
        """Tell the progress after some events."""
        if number % _EVERY == 0:
            self._progress(number, self._size)


def _opened(file: Path) -> gzip.GzipFile | IO[bytes]:
    with file.open("rb") as opened:
        compressed = opened.read(len(_COMPRESSED)) == _COMPRESSED
    return gzip.open(file) if compressed else file.open("rb")


def _size(header: bytes) -> int | None:
    try:
        size = orjson.loads(header)["size"]
    except (ValueError, TypeError, KeyError):
        return None
    return size if type(size) is int else None


# --- The answer ---


def _unrepeated(file: Path, token: str, answer: bytes) -> str | None:
    """Fold the events from the first one on; say so if they give another answer."""
    try:
        if _repeated(file, token) == answer:
            return None
    except DamagedToken:
        return "the token is not one that an answer to these events carried"
    except (ValueError, KeyError, LedgerError) as error:
        return f"the answer cannot be repeated: {error}"
    return "the answer is another one than the events give"


def _of_answer(words: str, size: int) -> Fault:
    # Above it are the header, events, lists of hashes, the checkpoint, keys and the token.
    line = 1 + size + -(-size // TILE) + 4
    return Fault(Part.ANSWER, Kind.CHANGED, line, f"Line {line}: {words}.")


def _repeated(file: Path, token: str) -> bytes:
    question = pinned(token)
    with _opened(file) as opened:
        events = (line for line in opened if part_of(line) is Part.EVENT)
        live = replay_live(map(decode_envelope, islice(events, question.position)))
    if live.position != question.position:
        raise DamagedToken
    return answered(question, live).body
