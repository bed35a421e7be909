"""Verbs of the auditor: the audit trail and the events themselves."""

from __future__ import annotations

from typing import Any

import click

from commands.cli.talk import Desk, table, talking

Json = Any


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
            answer["entries"],
            position="position",
            when="ts",
            action="action",
            by="actor",
            config="config_id",
            why="reason",
        ),
    )


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
