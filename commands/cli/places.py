"""Verbs on a whole place: freeze, unfreeze, roll back, and the status of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.table import Table

from commands.cli.talk import (
    Desk,
    given,
    members,
    outcome,
    place,
    table,
    talking,
)

Json = Any

scope = click.option("--scope", help="global, world, adventure, experiment or session.")
ref = click.option("--ref", "scope_ref", help="Which one, e.g. world.forest_glade.")
reason = click.option("--reason", help="Why; kept with the event.")
break_glass = click.option(
    "--break-glass", is_flag=True, help="Do it in spite of a freeze; needs --reason."
)


@click.command()
@scope
@ref
@reason
@talking
def freeze(desk: Desk, scope: str | None, scope_ref: str | None, reason: str | None) -> None:
    """Refuse every change, everywhere or in one place, until it is unfrozen."""
    desk.change("/freeze", {"scope": scope, "scope_ref": scope_ref, "reason": reason})


@click.command()
@scope
@ref
@reason
@talking
def unfreeze(desk: Desk, scope: str | None, scope_ref: str | None, reason: str | None) -> None:
    """Lift a freeze."""
    desk.change("/unfreeze", {"scope": scope, "scope_ref": scope_ref, "reason": reason})


@click.command()
@click.option("--position", type=int, help="Back to how it was at this position.")
@click.option("--timestamp", help="Back to how it was at this instant.")
@scope
@ref
@reason
@break_glass
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--plan", is_flag=True, help="Only show what would change.")
@talking
def rollback(desk: Desk, *, yes: bool, plan: bool, **wanted: Json) -> None:
    """Make what is in force equal to an earlier point, everywhere or in one place."""
    body = given(wanted)
    planned = desk.api.post("/rollback", {**body, "plan": True})
    if plan or not (planned["changes"] or planned["experiments"]):
        desk.answer(planned, _plan)
        return
    if not yes:
        desk.console.print(_plan(planned))
        click.confirm("Roll back?", abort=True)
    desk.answer(desk.api.post("/rollback", body), outcome)


def _plan(planned: Mapping[str, Json]) -> Table | str:
    rows = [*map(_config, planned["changes"]), *map(_experiment, planned["experiments"])]
    if not rows:
        return "Nothing would change."
    return table(rows, change="action", what="what")


def _config(change: Mapping[str, Json]) -> dict[str, Json]:
    what = f"config {change['name']}, {place(change)}\n{', '.join(change['levers'])}"
    return {"action": change["action"], "what": what}


def _experiment(change: Mapping[str, Json]) -> dict[str, Json]:
    sides = [change[side] and f"{change[side]['percentage']} %" for side in ("now", "then")]
    what = f"experiment {change['experiment_id']}, {sides[0] or '-'} → {sides[1] or '-'}"
    return {"action": change["action"], "what": what}


@click.command()
@talking
def status(desk: Desk) -> None:
    """Show the ledger's head, and what is frozen, killed, in shadow and in force."""
    desk.answer(desk.api.get("/status"), _status)


def _status(answer: Mapping[str, Json]) -> Table:
    freezes = {place(freeze): freeze["origin"] for freeze in answer["freezes"]}
    counts = ", ".join(f"{count} {stage}" for stage, count in answer["configs"].items() if count)
    views = answer["views"] and {
        name: f"position {view['position']}, {view['behind']} behind"
        for name, view in answer["views"].items()
    }
    told = {"freezes": freezes, "configs": counts, "views": views}
    return members({**answer, **told})


COMMANDS: tuple[click.Command, ...] = (freeze, unfreeze, rollback, status)
