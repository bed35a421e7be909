"""Verbs on levers: list, kill, restore."""

from __future__ import annotations

import click

from commands.cli.places import break_glass, reason
from commands.cli.talk import Desk, table, talking


@click.group()
def lever() -> None:
    """List, kill and restore levers."""


@lever.command("list")
@talking
def list_levers(desk: Desk) -> None:
    """List every lever with its type, default and bounds."""
    desk.answer(
        desk.api.get("/levers"),
        lambda answer: table(
            answer["levers"],
            lever="name",
            group="group",
            type="type",
            default="default",
            min="min",
            max="max",
            unit="unit",
            critical="critical",
        ),
    )


@lever.command()
@click.argument("name")
@reason
@break_glass
@talking
def kill(desk: Desk, name: str, reason: str | None, *, break_glass: bool) -> None:
    """Make a lever resolve to its default (a gate: to off) everywhere, at once."""
    desk.change(f"/levers/{name}/kill", {"reason": reason, "break_glass": break_glass})


@lever.command()
@click.argument("name")
@reason
@break_glass
@talking
def restore(desk: Desk, name: str, reason: str | None, *, break_glass: bool) -> None:
    """Let a killed lever resolve by its configs again."""
    desk.change(f"/levers/{name}/restore", {"reason": reason, "break_glass": break_glass})
