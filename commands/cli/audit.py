"""Verbs of the auditor: the audit trail and the events themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from commands.cli.talk import Desk, by, page, place, progress, table, talking

Json = Any

_FEW = 3
"""So many levers of an entry are named."""


@click.command()
@click.option("--actor", help="Only what this actor did.")
@click.option("--action", help="Only this kind of event, or these: kill,restore.")
@click.option("--lever", help="Only what concerned this lever, also by experiment or catalog.")
@click.option("--scope", help="Only this scope.")
@click.option("--ref", "scope_ref", help="Only this ref.")
@click.option("--config", "config_id", help="Only this config.")
@click.option("--correlation", "correlation_id", help="Only what this one cause led to.")
@click.option("--since", help="From this instant on.")
@click.option("--until", help="Until just before this instant.")
@click.option("--oldest-first", is_flag=True, default=None, help="The oldest entries first.")
@click.option("--limit", type=int, help="At most so many entries.")
@click.option("--cursor", help="Where a page ended: go on behind it.")
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every entry to this file; `-` is standard output.",
)
@click.option("--format", "form", type=click.Choice(["ndjson", "csv"]), help="Of the export.")
@talking
def audit(desk: Desk, file: Path | None, form: str | None, **wanted: Json) -> None:
    """List who did what, when and why."""
    if file is not None:
        _export(desk, file, form or ("csv" if file.suffix.lower() == ".csv" else "ndjson"), wanted)
        return
    if form is not None:
        raise click.UsageError("--format is of an export: name its file by --export")
    desk.answer(
        desk.api.get("/audit", **wanted),
        lambda answer: page(
            answer,
            table(map(_row, answer["entries"]), position="position", when="ts", what="what"),
        ),
    )


def _export(desk: Desk, file: Path, form: str, wanted: Mapping[str, Json]) -> None:
    from commands.download import STANDARD_OUTPUT, Downloaded, download

    narrowed = any(value is not None for name, value in wanted.items() if name != "oldest_first")
    with progress("audit") as show:

        def report(made: Downloaded) -> None:
            show(made.entries, None if narrowed else made.position)

        try:
            done = download(desk.api, "/audit", file, form, query=wanted, report=report)
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written: {error.strerror}") from error
    if file == STANDARD_OUTPUT:
        return
    desk.answer(
        {"file": str(file), "format": form, **done._asdict()},
        lambda answer: Text(
            f"{answer['entries']} entries up to position {answer['position']} are in {file}"
        ),
    )


def _row(entry: Mapping[str, Json]) -> dict[str, Json]:
    through = ", ".join(entry["through"] or ())
    behind = f"through config {through}" if through else None
    lines = [_action(entry), entry["config_id"], behind, by(entry)]
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
