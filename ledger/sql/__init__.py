"""The SQL of the ledger: files, read once and handed to the driver as they are.

`queries.sql` holds what the store asks, one statement under each `-- name:` line.
`migrations/NNNN_*.sql` make the schema step by step; `schema.sql` is where they lead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)
_NUMBERED = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; steps are applied in order of their version, from 1."""

    version: int
    name: str
    text: bytes


@cache
def queries() -> Mapping[str, bytes]:
    """Return the statements of queries.sql by name."""
    text = read("queries.sql").decode()
    return {name: statement.strip().encode() for name, statement in _NAMED.findall(text)}


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations, oldest first."""
    names = sorted(entry.name for entry in (files(__name__) / "migrations").iterdir())
    numbered = [match for name in names if (match := _NUMBERED.fullmatch(name))]
    return tuple(
        Migration(int(match[1]), match[0].removesuffix(".sql"), read(f"migrations/{match[0]}"))
        for match in numbered
    )


def read(name: str) -> bytes:
    """Return the text of one file beside this one."""
    return (files(__name__) / name).read_bytes()
