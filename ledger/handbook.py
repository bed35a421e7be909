"""The reference page of a catalog's levers, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from ledger.catalog import Catalog
from ledger.levers import Lever, LeverType, Shape

Json = Any

_INTRODUCTION = """\
# Levers

Written from the shipped catalog, `ledger/catalog.json`; a test fails when this page is not current.
How values are read and what is refused: [lever-values.md](lever-values.md). A game with a catalog
of its own names its file in `LIVEOPS_CATALOG`.
"""


def levers_page(catalog: Catalog) -> str:
    """Write the reference of all levers as Markdown, in the catalog's order."""
    return "\n".join([_INTRODUCTION, *_rules(catalog), *_groups(catalog)])


def _rules(catalog: Catalog) -> Iterator[str]:
    if not catalog.rules:
        return
    yield "## Rules between levers\n"
    for rule in catalog.rules:
        yield f"- `{rule.lower}` is at most `{rule.upper}`."
    yield ""


def _groups(catalog: Catalog) -> Iterator[str]:
    groups: dict[str, list[Lever]] = {}
    for lever in catalog.levers.values():
        groups.setdefault(lever.group, []).append(lever)
    for group, levers in groups.items():
        yield f"## Group `{group}`\n"
        yield "| lever | type | default | bounds | what it does |"
        yield "|---|---|---|---|---|"
        yield from map(_row, levers)
        yield ""


def _row(lever: Lever) -> str:
    name = f"`{lever.name}`" + (" **critical**" if lever.critical else "")
    unit = f" {lever.unit}" if lever.unit else ""
    cells = (name, f"`{lever.type}`", _code(lever.default), _bounds(lever) + unit)
    return "| " + " | ".join(map(_cell, (*cells, lever.description))) + " |"


def _bounds(lever: Lever) -> str:
    if lever.fields is None:
        return _limits(lever)
    return ", ".join(f"{name}: {_limits(field)}" for name, field in lever.fields.items())


def _limits(shape: Shape) -> str:
    if shape.values is not None:
        return ", ".join(map(_code, shape.values))
    return "" if shape.type is LeverType.BOOLEAN else f"{shape.min} to {shape.max}"


def _code(value: Json) -> str:
    return f"`{orjson.dumps(value).decode()}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
