"""Verbs on experiments: start, list, show, change the percentage, stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from commands.cli.places import reason
from commands.cli.talk import Desk, done, given, origin, page, table, talking

Json = Any

experiment_id = click.argument("experiment_id")


@click.group()
def experiment() -> None:
    """Run experiments: who takes part is given one of their variations."""


def _weighted(text: str) -> tuple[str, Json]:
    name, separator, number = text.rpartition("=")
    if not separator:
        return text, 1
    try:
        return name, int(number)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not NAME=WEIGHT") from error


def _held_out(text: str) -> dict[str, Json]:
    name, _, percentage = text.rpartition("=")
    try:
        return {"name": name, "percentage": float(percentage)}
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not NAME=PERCENTAGE") from error


@experiment.command()
@experiment_id
@click.option(
    "--variation",
    "variations",
    multiple=True,
    required=True,
    metavar="NAME[=WEIGHT]",
    help="One arm, and what it weighs among all of them, 1 if not said; repeatable.",
)
@click.option("--percentage", type=float, help="How many units take part; all if not said.")
@click.option("--unit", help="What is counted: session_id if not said.")
@click.option("--group", help="Experiments of one group share no unit.")
@click.option("--holdout", metavar="NAME=PERCENTAGE", help="Units kept out of all that name it.")
@click.option("--description", help="What it is about.")
@reason
@talking
def start(
    desk: Desk,
    experiment_id: str,
    variations: tuple[str, ...],
    holdout: str | None,
    **named: Json,
) -> None:
    """Run an experiment."""
    arms = [{"name": name, "weight": weight} for name, weight in map(_weighted, variations)]
    body = {"experiment_id": experiment_id, "variations": arms, **given(named)}
    body |= {} if holdout is None else {"holdout": _held_out(holdout)}
    desk.answer(desk.api.post("/experiments", body), _outcome)


@experiment.command()
@experiment_id
@click.argument("percentage", type=float)
@reason
@talking
def percentage(desk: Desk, experiment_id: str, percentage: float, reason: str | None) -> None:
    """Let a running experiment enrol more units, or fewer."""
    body = given({"reason": reason}) | {"percentage": percentage}
    desk.answer(desk.api.post(f"{_path(experiment_id)}/percentage", body), _outcome)


@experiment.command()
@experiment_id
@reason
@talking
def stop(desk: Desk, experiment_id: str, reason: str | None) -> None:
    """End a running experiment."""
    body = given({"reason": reason})
    desk.answer(desk.api.post(f"{_path(experiment_id)}/stop", body), _outcome)


@experiment.command("list")
@click.option("--status", help="running or stopped.")
@click.option("--group", help="Only this group.")
@click.option("--cursor", help="Go on behind a page: what it said at its end.")
@talking
def list_experiments(desk: Desk, **wanted: Json) -> None:
    """List experiments, the newest in front."""
    desk.answer(
        desk.api.get("/experiments", **wanted),
        lambda answer: page(
            answer,
            table(
                map(_row, answer["experiments"]),
                experiment="experiment_id",
                status="status",
                enrols="enrols",
                variations="variations",
                since="since",
            ),
        ),
    )


@experiment.command()
@experiment_id
@talking
def show(desk: Desk, experiment_id: str) -> None:
    """Show an experiment as it stands, and the times that it ran before."""
    desk.answer(desk.api.get(_path(experiment_id)), _shown)


# --- On paper ---


def _path(experiment_id: str) -> str:
    return f"/experiments/{quote(experiment_id, safe='')}"


def _outcome(answer: Mapping[str, Json]) -> Text:
    kept = answer["experiment"]
    enrols = "" if kept is None else f" · {_enrols(kept)}"
    lead = f"experiment {answer['experiment_id']} · {answer['status']}{enrols}\n"
    return Text.assemble(lead, done(answer))


def _enrols(kept: Mapping[str, Json]) -> str:
    group = "" if kept["group"] is None else f", group {kept['group']}"
    return f"{kept['percentage']} % by {kept['unit']}{group}"


def _row(kept: Mapping[str, Json]) -> dict[str, Json]:
    arms = "\n".join(f"{arm['name']} {arm['weight']}" for arm in kept["variations"])
    since = (kept["stopped"] or kept["started"])["recorded_at"]
    return {**kept, "variations": arms, "since": since[:19] + "Z", "enrols": _enrols(kept)}


def _shown(kept: Mapping[str, Json]) -> Group:
    members = Table(box=None, show_header=False, pad_edge=False)
    members.add_column(style="bold")
    members.add_column(overflow="fold")
    for name, text in _members(kept):
        members.add_row(name, Text(text))
    arms = table(_arms(kept), variation="name", weight="weight", of_all_units="share", ref="ref")
    runs = [Text(f"\nRan before\n{_times(run)}") for run in kept["earlier"]]
    return Group(members, Text(), arms, *runs)


def _members(kept: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    yield "experiment", kept["experiment_id"]
    yield "status", kept["status"]
    yield "enrols", _enrols(kept)
    if kept["ranges"] is not None:
        yield "buckets", ", ".join(f"{begin} to {end - 1}" for begin, end in kept["ranges"])
    if kept["holdout"] is not None:
        yield "holdout", f"{kept['holdout']['name']}, {kept['holdout']['percentage']} %"
    if kept["description"]:
        yield "about", kept["description"]
    yield from _events(kept)


def _events(run: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for name in ("started", "changed", "stopped"):
        if run[name] is not None:
            yield name, origin(run[name])


def _times(run: Mapping[str, Json]) -> str:
    return "\n".join([_enrols(run), *(f"{name} {text}" for name, text in _events(run))])


def _arms(kept: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    total = sum(arm["weight"] for arm in kept["variations"])
    for arm in kept["variations"]:
        share = f"{kept['percentage'] * arm['weight'] / total:.3g} %"
        yield {**arm, "share": share, "ref": f"{kept['experiment_id']}:{arm['name']}"}
