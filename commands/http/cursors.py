"""Cursors of paged lists: a position in the ledger, opaque to the caller."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from commands.http.problems import MALFORMED, Problem
from commands.models import LAST_POSITION

LONGEST = 64


def cursor(kind: str, position: int) -> str:
    """Write the cursor of the page behind a position."""
    return urlsafe_b64encode(f"{kind}:{position}".encode()).decode().rstrip("=")


def read_cursor(kind: str, text: str) -> int:
    """Read a cursor of this kind of list; raises a malformed Problem."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        position = int(raw.decode("ascii").removeprefix(f"{kind}:"))
    except ValueError:
        position = -1
    if not 0 <= position <= LAST_POSITION or cursor(kind, position) != text:
        raise Problem.at(MALFORMED, "query", "/cursor", "This is not the cursor of a page")
    return position
