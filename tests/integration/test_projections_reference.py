"""docs/reference/tables.md names every table and column, with its type."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from projections.audit import ACTIONS
from projections.catalogue import install

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "tables.md").read_text()


def told(page: str) -> dict[str, list[tuple[str, str]]]:
    """Read the page: for each table its columns and their types, in order."""
    sections = re.split(r"^## `(\w+)`$", page, flags=re.MULTILINE)[1:]
    return {
        name: re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, flags=re.MULTILINE)
        for name, text in zip(sections[::2], sections[1::2], strict=True)
    }


def test_the_page_tells_every_column(database: str) -> None:
    install(database)
    there: dict[str, list[tuple[str, str]]] = {}
    with psycopg.connect(database) as connection:
        for table, column, kind in connection.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relkind = 'r' AND c.relforcerowsecurity ORDER BY 1, a.attnum"
        ):
            there.setdefault(table, []).append((column, kind))
    assert told(PAGE) == there


def test_the_page_tells_every_action() -> None:
    listed = re.search(r"`action` is the verb of the command: ([^.]+)\.", PAGE)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == list(ACTIONS.values())
