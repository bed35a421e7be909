"""Verbs that ask what is in force: resolve, cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group

from commands.cli.configs import setting
from commands.cli.explanation import explained, heading
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
    "levers",
    multiple=True,
    metavar="LEVER",
    help="Where a lever's value comes from, and what lost; repeatable.",
)
@click.option("--explain-all", is_flag=True, help="The same for every lever.")
@talking
def resolve(
    desk: Desk,
    *,
    at: str | None,
    as_of: str | None,
    position: int | None,
    levers: tuple[str, ...],
    explain_all: bool,
    attributes: tuple[str, ...],
    **context: Json,
) -> None:
    """Resolve every lever for a context."""
    who = given(context) | given({"attributes": dict(map(setting, attributes)) or None})
    body = {"context": who, "explain": explain_all or bool(levers)}
    body |= given({"at": at, "as_of": as_of, "position": position})
    answer = desk.api.post("/resolve", body)
    desk.answer(answer, lambda found: _shown(found, () if explain_all else levers))


def _shown(answer: Mapping[str, Json], levers: tuple[str, ...]) -> Group:
    if "explanation" not in answer:
        return _values(answer)
    explanation = answer["explanation"]
    unknown = [lever for lever in levers if lever not in explanation]
    if unknown:
        raise click.BadParameter(f"the catalog has no lever {unknown[0]}")
    return Group(heading(answer), explained(explanation, levers or tuple(explanation)))


def _values(answer: Mapping[str, Json]) -> Group:
    rows = ({"lever": lever, "value": value} for lever, value in answer["values"].items())
    return Group(heading(answer), table(rows, lever="lever", value="value"))


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


COMMANDS: tuple[click.Command, ...] = (resolve, cache)
