"""Verbs that ask what is in force: resolve, validate, cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Group
from rich.table import Table

from commands.cli.configs import setting
from commands.cli.talk import Desk, given, table, talking

Json = Any


@click.command()
@click.option("--session", "session_id", required=True, help="The session that asks.")
@click.option("--turn", "turn_id", type=int, help="Its turn.")
@click.option("--world", "world_id", help="Its world.")
@click.option("--adventure", "adventure_id", help="Its adventure.")
@click.option("--experiment", "experiment_id", help="Its experiment.")
@click.option("--variation", help="Its variation of the experiment.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="What else is known of it, as JSON or text; repeatable.",
)
@click.option("--at", help="The instant it is resolved for; now if not said.")
@click.option("--as-of", help="By what the ledger held at this instant.")
@click.option("--position", type=int, help="By what the ledger held at this position.")
@click.option(
    "--explain",
    "explained",
    metavar="LEVER",
    help="Where one lever's value comes from, and what lost; `all` for every lever.",
)
@talking
def resolve(
    desk: Desk,
    *,
    at: str | None,
    as_of: str | None,
    position: int | None,
    explained: str | None,
    attributes: tuple[str, ...],
    **context: Json,
) -> None:
    """Resolve every lever for a context."""
    who = given(context) | given({"attributes": dict(map(setting, attributes)) or None})
    body = {"context": who, "explain": explained is not None}
    body |= given({"at": at, "as_of": as_of, "position": position})
    answer = desk.api.post("/resolve", body)
    desk.answer(answer, lambda found: _explained(found, explained) if explained else _values(found))


def _values(answer: Mapping[str, Json]) -> Group:
    rows = ({"lever": lever, "value": value} for lever, value in answer["values"].items())
    return Group(_heading(answer), table(rows, lever="lever", value="value"))


def _explained(answer: Mapping[str, Json], lever: str) -> Group:
    explanation = answer["explanation"]
    names = explanation if lever == "all" else [lever]
    missing = [name for name in names if name not in explanation]
    if missing:
        raise click.BadParameter(f"the catalog has no lever {missing[0]}")
    return Group(_heading(answer), *(_ladder(name, explanation[name]) for name in names))


def _ladder(lever: str, entry: Mapping[str, Json]) -> Table:
    ladder = Table(
        "",
        "value",
        "scope",
        "config",
        "position",
        "why",
        title=lever,
        box=None,
        title_justify="left",
    )
    ladder.add_row("→", *_rung(entry), _source(entry))
    for candidate in entry["candidates"]:
        ladder.add_row("", *_rung(candidate), f"{candidate['why']} {candidate['detail']}".strip())
    return ladder


def _rung(entry: Mapping[str, Json]) -> tuple[str, str, str, str]:
    place = f"{entry['scope']} {entry['scope_ref']}" if entry.get("scope") else "catalog"
    position = entry.get("position")
    value = orjson.dumps(entry["value"]).decode()
    return value, place, str(entry.get("config") or ""), str(position or "")


def _source(entry: Mapping[str, Json]) -> str:
    if entry.get("killed"):
        return f"killed by {entry['actor']}{_why(entry)}"
    if entry.get("position") is None:
        return "default"
    return f"set by {entry['actor']}{_why(entry)}"


def _why(entry: Mapping[str, Json]) -> str:
    return f": {entry['reason']}" if entry["reason"] else ""


def _heading(answer: Mapping[str, Json]) -> str:
    return f"at {answer['at']} on position {answer['position']} ({answer['reason']})\n"


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@talking
def validate(desk: Desk, file: Path) -> None:
    """Check a config's content, from a JSON file, without storing it."""
    try:
        content = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"{file} is not JSON: {error}") from error
    answer = desk.api.post("/validate", content)
    desk.answer(answer, _violations)


def _violations(answer: Mapping[str, Json]) -> Table | str:
    if not answer["violations"]:
        return "[green]valid[/]"
    return table(
        answer["violations"], lever="lever", value="value", severity="severity", what="message"
    )


@click.command()
@click.option("--clear", is_flag=True, help="Forget everything that is remembered.")
@talking
def cache(desk: Desk, *, clear: bool) -> None:
    """Show how the server's memory of past states serves, or clear it."""
    if clear:
        desk.api.delete("/cache")
    answer = desk.api.get("/cache")
    rows = [{"what": name, "is": value} for name, value in answer.items()]
    desk.answer(answer, lambda _: table(rows, what="what", state="is"))


COMMANDS: tuple[click.Command, ...] = (resolve, validate, cache)
