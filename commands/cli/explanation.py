"""An explained answer on paper: per lever what supplied its value, and all that did not, and why.

It fits 80 columns, and is not wider than people can read where there are more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from commands.cli.talk import by, place, shown

Json = Any
Entry = Mapping[str, Json]

WIDEST = 120


def explained(explanation: Mapping[str, Entry], levers: Sequence[str]) -> Constrain:
    """Lay out the explanation of some levers, those that nothing touches last and in short."""
    touched = [lever for lever in levers if _touched(explanation[lever]) or len(levers) == 1]
    ladders = [_ladder(lever, explanation[lever], headed=lever == touched[0]) for lever in touched]
    untouched = {lever: explanation[lever] for lever in levers if lever not in touched}
    rest = [_untouched(untouched)] if untouched else []
    return Constrain(Group(*ladders, *rest), WIDEST)


def shadowed(shadow: Mapping[str, Json]) -> RenderableType:
    """Lay out the levers that would be others, and the configs that would supply them."""
    if not shadow["differs"]:
        return Text("No config in shadow would change a lever of this context.")
    laid = Table(box=None, header_style="bold", expand=True, padding=(0, 2, 0, 0), pad_edge=False)
    laid.add_column("lever", overflow="fold", ratio=1)
    laid.add_column("live", overflow="fold", width=15)
    laid.add_column("in shadow", overflow="fold", width=15)
    for lever, values in shadow["differs"].items():
        source = Text.assemble((lever, "bold"), "\n", _named(shadow["explanation"][lever]))
        laid.add_row(source, Text(shown(values["live"])), Text(shown(values["shadow"])))
    return Constrain(laid, WIDEST)


def _touched(entry: Entry) -> bool:
    return bool(entry["candidates"]) or entry["position"] is not None


def _untouched(entries: Mapping[str, Entry]) -> Group:
    rest = Table("lever", "value", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for lever, entry in entries.items():
        value = entry["value"]
        rest.add_row(Text(lever), Text(_line(value) if isinstance(value, dict) else shown(value)))
    return Group(Text("Catalog defaults that no config of this context says anything of\n"), rest)


# --- One lever ---


def _ladder(lever: str, entry: Entry, *, headed: bool) -> Group:
    rungs = Table(box=None, show_header=headed, expand=True, padding=(0, 2, 0, 0), pad_edge=False)
    rungs.add_column("", width=1)
    rungs.add_column("value", width=15, overflow="fold")
    rungs.add_column("from", ratio=1, overflow="fold")
    rungs.add_column("why", ratio=1, overflow="fold")
    for value, source, why in _winners(entry):
        rungs.add_row(Text("→", "green"), Text(value), _named(source), why)
    for candidate in entry["candidates"]:
        supplied = Text(shown(candidate["value"]))
        rungs.add_row("", supplied, _named(candidate), _lost(candidate), style="dim")
    return Group(_title(lever, entry["value"]), rungs, Text())


def _title(lever: str, value: Json) -> Text:
    whole = f" = {_line(value)}" if isinstance(value, dict) else ""
    return Text.assemble((lever, "bold"), whole)


def _line(value: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} {shown(inner)}" for name, inner in value.items())


def _winners(entry: Entry) -> Iterator[tuple[str, Entry, Text]]:
    """Yield what supplied the value: of an object each source with its fields, by position."""
    value, fields = entry["value"], entry.get("fields", {})
    if not fields:
        yield shown(value), entry, _won(entry)
        return
    sources = {source["position"]: source for source in fields.values()}
    for position, source in sorted(sources.items()):
        own = {name: value[name] for name in value if _is_from(fields.get(name), position)}
        yield shown(own), source, _won(source)
    if left := {name: value[name] for name in value if name not in fields}:
        yield shown(left), _CATALOG, _won(_CATALOG)


_CATALOG: Entry = {"scope": None, "position": None}


def _is_from(source: Entry | None, position: int) -> bool:
    return source is not None and source["position"] == position


def _named(source: Entry) -> Text:
    if source.get("killed"):
        return Text(f"the kill switch\nposition {source['position']}")
    if source["scope"] is None:
        return Text("the catalog")
    event = f"revision {source['revision']}, position {source['position']}"
    return Text(f"{place(source)}\n{source['config']}\n{event}")


def _won(source: Entry) -> Text:
    if source["position"] is None:
        return Text("default")
    verb = "killed" if source.get("killed") else "set"
    return Text(f"{verb} {by(source)}")


def _lost(candidate: Entry) -> Text:
    why, detail = candidate["why"], candidate["detail"]
    if not detail or detail.startswith(why):
        return Text(detail or why)
    return Text(f"{why} {detail}" if detail.startswith("by ") else f"{why}: {detail}")


# --- What stands above ---


def heading(answer: Mapping[str, Json]) -> RenderableType:
    """Say of when and where an answer is, and which experiments its context is in."""
    lines = [f"at {answer['at']} on position {answer['position']} ({answer['reason']})"]
    lines += _experiments(answer.get("experiments", {}).items())
    return Text("\n".join([*lines, ""]))


def _experiments(variations: Iterable[tuple[str, str]]) -> Iterator[str]:
    told = ", ".join(f"{experiment}: {variation}" for experiment, variation in variations)
    if told:
        yield f"in experiments {told}"
