"""Verbs on configs: create, revise, list, show, activate and the rest of their life."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from commands.cli.places import break_glass, reason
from commands.cli.talk import Desk, by, given, members, outcome, page, place, table, talking

Json = Any

config_id = click.argument("config_id")


@click.group()
def config() -> None:
    """Draft configs and put them in force."""


def setting(text: str) -> tuple[str, Json]:
    """Read NAME=VALUE, the value as JSON where it is JSON, else as text."""
    lever, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not LEVER=VALUE")
    try:
        return lever, orjson.loads(value)
    except orjson.JSONDecodeError:
        return lever, value


def _content(file: Path | None, settings: tuple[str, ...], named: Mapping[str, Json]) -> Json:
    try:
        written = {} if file is None else orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"{file} is not JSON: {error}") from error
    payload = {**written.get("payload", {}), **dict(map(setting, settings))}
    return {**written, **given(named), "payload": payload}


content = (
    click.option(
        "--file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The content as JSON; the other options add to it.",
    ),
    click.option("--name", help="What the config is called."),
    click.option("--scope", help="global, world, adventure, experiment or session."),
    click.option("--ref", "scope_ref", help="Which one; `global` for the global scope."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="LEVER=VALUE",
        help="A lever's value, as JSON or text; repeatable.",
    ),
    click.option("--from", "valid_from", help="The window's beginning, RFC 3339."),
    click.option("--to", "valid_to", help="The window's end, RFC 3339."),
    click.option("--priority", type=int, help="Higher wins within one scope."),
    reason,
)


def _with_content(verb: Json) -> Json:
    for option in reversed(content):
        verb = option(verb)
    return verb


@config.command()
@_with_content
@talking
def create(desk: Desk, file: Path | None, settings: tuple[str, ...], **named: Json) -> None:
    """Draft a config."""
    desk.answer(desk.api.post("/configs", _content(file, settings, named)), outcome)


@config.command()
@config_id
@click.option("--if-revision", type=int, required=True, help="The revision that you read.")
@_with_content
@talking
def revise(
    desk: Desk,
    config_id: str,
    if_revision: int,
    file: Path | None,
    settings: tuple[str, ...],
    **named: Json,
) -> None:
    """Draft a further revision: the whole content, not only what changes."""
    body = _content(file, settings, named)
    desk.answer(desk.api.put(f"/configs/{config_id}", body, revision=if_revision), outcome)


@config.command("list")
@click.option("--scope", help="Only this scope.")
@click.option("--ref", "scope_ref", help="Only this ref.")
@click.option("--status", help="draft, scheduled, active, expired, inactive or archived.")
@click.option("--lever", help="Only configs that set this lever.")
@click.option("--search", "q", help="Only configs whose name has this text.")
@click.option("--shadow", is_flag=True, default=None, help="Only configs in shadow.")
@click.option("--cursor", help="Go on behind a page: what it said at its end.")
@talking
def list_configs(desk: Desk, **wanted: Json) -> None:
    """List configs, the newest in front."""
    desk.answer(
        desk.api.get("/configs", **wanted),
        lambda answer: page(
            answer,
            table(
                map(_row, answer["configs"]), config="config_id", name_and_place="what", is_="is"
            ),
        ),
    )


def _row(listed: Mapping[str, Json]) -> dict[str, Json]:
    stages = [listed["status"], f"revision {listed['revision']}"]
    stages += ["in shadow"] if listed["shadow"] is not None else []
    what = f"{listed['name']}\n{place(listed)}"
    return {"config_id": listed["config_id"], "what": what, "is": "\n".join(stages)}


@config.command()
@config_id
@talking
def show(desk: Desk, config_id: str) -> None:
    """Show a config as it stands."""
    desk.answer(desk.api.get(f"/configs/{config_id}"), members)


@config.command()
@config_id
@talking
def history(desk: Desk, config_id: str) -> None:
    """List everything that happened to a config."""
    desk.answer(
        desk.api.get(f"/configs/{config_id}/history"),
        lambda answer: table(
            map(_told, answer["events"]), position="position", when="recorded_at", what="what"
        ),
    )


def _told(event: Mapping[str, Json]) -> dict[str, Json]:
    return {**event, "what": f"{event['type']}\n{by(event)}"}


@config.command()
@config_id
@click.option("--immediate", is_flag=True, help="From now on, whatever the window says.")
@click.option("--revision", type=int, help="Which revision; the newest if not said.")
@click.option("--from", "valid_from", help="The window's beginning, RFC 3339.")
@click.option("--to", "valid_to", help="The window's end, RFC 3339.")
@reason
@talking
def activate(desk: Desk, config_id: str, **wanted: Json) -> None:
    """Put a revision in force."""
    desk.change(f"/configs/{config_id}/activate", wanted)


@config.command()
@config_id
@reason
@talking
def deactivate(desk: Desk, config_id: str, reason: str | None) -> None:
    """End a config's activation."""
    desk.change(f"/configs/{config_id}/deactivate", {"reason": reason})


@config.command()
@config_id
@reason
@talking
def archive(desk: Desk, config_id: str, reason: str | None) -> None:
    """Put a config away, ending its activation."""
    desk.change(f"/configs/{config_id}/archive", {"reason": reason})


@config.command()
@config_id
@click.option("--revision", type=int, help="The last activation of this revision.")
@reason
@break_glass
@talking
def rollback(desk: Desk, config_id: str, **wanted: Json) -> None:
    """Put the activation before the present one in force again."""
    desk.change(f"/configs/{config_id}/rollback", wanted)


@config.command()
@config_id
@click.option("--revision", type=int, help="Which revision; the newest if not said.")
@reason
@talking
def shadow(desk: Desk, config_id: str, **wanted: Json) -> None:
    """Evaluate a revision beside what is in force; see `liveops resolve --shadow`."""
    desk.change(f"/configs/{config_id}/shadow", wanted)


@config.command()
@config_id
@reason
@talking
def unshadow(desk: Desk, config_id: str, reason: str | None) -> None:
    """End a config's shadow."""
    desk.change(f"/configs/{config_id}/unshadow", {"reason": reason})


@config.command()
@config_id
@click.option("--percentage", type=float, help="0 to 100, in steps of 0.001.")
@click.option(
    "--step",
    "steps",
    multiple=True,
    metavar="INSTANT=PERCENTAGE",
    help="A step of a ramp; repeatable, ascending.",
)
@reason
@talking
def rollout(
    desk: Desk,
    config_id: str,
    percentage: float | None,
    steps: tuple[str, ...],
    reason: str | None,
) -> None:
    """Change how many units a live config reaches."""
    body: dict[str, Json] = given({"reason": reason})
    if percentage is not None:
        body["percentage"] = percentage
    if steps:
        body["ramp"] = [
            {"at": instant, "percentage": value} for instant, value in map(setting, steps)
        ]
    desk.answer(desk.api.post(f"/configs/{config_id}/rollout", body), outcome)
