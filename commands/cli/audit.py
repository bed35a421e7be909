"""Verbs of the auditor: the audit trail and the events themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from commands.cli.talk import Desk, by, place, table, talking

Json = Any

_FEW = 3
"""So many levers of an entry are named."""


@click.command()
@click.option("--actor", help="Only what this actor did.")
@click.option("--action", help="Only this kind of event.")
@click.option("--lever", help="Only what concerned this lever.")
@click.option("--scope", help="Only this scope.")
@click.option("--ref", "scope_ref", help="Only this ref.")
@click.option("--config", "config_id", help="Only this config.")
@click.option("--since", help="From this instant on.")
@click.option("--until", help="Until just before this instant.")
@click.option("--limit", type=int, help="At most so many entries.")
@talking
def audit(desk: Desk, **wanted: Json) -> None:
    """List who did what, when and why."""
    desk.answer(
        desk.api.get("/audit", **wanted),
        lambda answer: table(
            map(_row, answer["entries"]), position="position", when="ts", what="what"
        ),
    )


def _row(entry: Mapping[str, Json]) -> dict[str, Json]:
    lines = [_action(entry), entry["config_id"], by(entry)]
    return {**entry, "what": "\n".join(line for line in lines if line)}


def _action(entry: Mapping[str, Json]) -> str:
    action = str(entry["action"]).replace("_", " ")
    if entry["config_id"] is None and entry["scope"] is not None:
        return f"{action}: {place(entry)}".replace("experiment: experiment", "experiment")
    few = 0 < len(entry["levers"]) <= _FEW
    return f"{action}: {', '.join(entry['levers'])}" if few else action


@click.command()
@click.option("--after", type=int, default=0, help="Only events behind this position.")
@click.option("--limit", type=int, default=100, help="At most so many.")
@talking
def events(desk: Desk, after: int, limit: int) -> None:
    """List events as they are recorded."""
    desk.answer(
        desk.api.get("/events", after=after, limit=limit),
        lambda answer: table(
            answer["events"], position="position", when="recorded_at", event="type", why="reason"
        ),
    )


COMMANDS: tuple[click.Command, ...] = (audit, events)
