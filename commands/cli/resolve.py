"""Verbs that ask what is in force: resolve, cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group
from rich.table import Table

from commands.cli.configs import setting
from commands.cli.explanation import explained, heading, shadowed
from commands.cli.talk import Desk, given, members, table, talking

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
@click.option("--shadow", is_flag=True, help="What the configs in shadow would change.")
@talking
def resolve(
    desk: Desk,
    *,
    levers: tuple[str, ...],
    explain_all: bool,
    shadow: bool,
    attributes: tuple[str, ...],
    **asked: Json,
) -> None:
    """Resolve every lever for a context."""
    when = {name: asked.pop(name) for name in ("at", "as_of", "position")}
    who = given(asked) | given({"attributes": dict(map(setting, attributes)) or None})
    explain = explain_all or bool(levers)
    # On paper a shadow's values are shown with the configs that they would come from.
    body = {"context": who, "explain": explain or (shadow and not desk.as_json)}
    answer = desk.api.post("/resolve", body | given({**when, "shadow": shadow}))
    if explain or not shadow:
        desk.answer(answer, lambda found: _shown(found, None if explain_all else levers))
    else:
        desk.answer(answer, lambda found: Group(heading(found), shadowed(found["shadow"])))


def _shown(answer: Mapping[str, Json], levers: tuple[str, ...] | None) -> Group:
    """Lay out an answer: its values, or the explanation of some levers, or of all for None."""
    if levers == ():
        return _values(answer)
    explanation = answer["explanation"]
    wanted = tuple(explanation) if levers is None else levers
    unknown = [lever for lever in wanted if lever not in explanation]
    if unknown:
        raise click.BadParameter(f"the catalog has no lever {unknown[0]}")
    beside = [shadowed(answer["shadow"])] if "shadow" in answer else []
    return Group(heading(answer), explained(explanation, wanted), *beside)


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
    desk.answer(desk.api.get("/cache"), _cache)


def _cache(answer: Mapping[str, Json]) -> Table:
    rate, age = answer["hit_rate"], answer["oldest_age_seconds"]
    return members(
        {
            "kept": f"{answer['size']} of at most {answer['limit']} past states of the ledger",
            "positions": answer["positions"],
            "hit rate": "nothing was asked yet" if rate is None else f"{rate:.1%}",
            "hits": answer["hits"],
            "misses": answer["misses"],
            "oldest": "-" if age is None else f"{age:.0f} s",
            "forgotten": f"after {answer['ttl_seconds']:.0f} s unasked",
        }
    )


COMMANDS: tuple[click.Command, ...] = (resolve, cache)
