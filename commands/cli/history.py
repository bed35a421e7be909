"""Verbs on the past: history of a lever, blame, diff of two points, what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
import orjson
from rich.console import Group
from rich.table import Table
from rich.text import Text

from commands.cli.configs import setting
from commands.cli.talk import Desk, by, given, page, place, shown, table, talking

Json = Any
Verb = Callable[..., None]

_EDGES = {
    "window_open": "its window opened",
    "window_close": "its window closed",
    "ramp_step": "its ramp stepped",
    "rule": "its rule compares the time",
}


def _who(*, required: bool) -> Callable[[Verb], Verb]:
    """Give a verb the options that say who asks."""
    needed = "" if required else " Then also its levers."
    options = (
        click.option(
            "--session", "session_id", required=required, help=f"The session that asks.{needed}"
        ),
        click.option("--turn", "turn_id", type=int, help="Its turn."),
        click.option("--world", "world_id", help="Its world."),
        click.option("--adventure", "adventure_id", help="Its adventure."),
        click.option("--experiment", "experiment_id", help="Its experiment."),
        click.option("--variation", help="Its variation of the experiment."),
        click.option(
            "--attribute",
            "attributes",
            multiple=True,
            metavar="NAME=VALUE",
            help="What else is known of it, as JSON or text; repeatable.",
        ),
    )

    def give(verb: Verb) -> Verb:
        for option in reversed(options):
            verb = option(verb)
        return verb

    return give


def _query(asked: Mapping[str, Json], attributes: tuple[str, ...]) -> dict[str, Json]:
    named = {
        f"attributes.{name}": orjson.dumps(value).decode()
        for name, value in map(setting, attributes)
    }
    return {**given(asked), **named}


# --- One lever ---


@click.command()
@click.argument("lever")
@_who(required=True)
@click.option("--from", "since", help="Changes after this instant; else from the beginning.")
@click.option("--to", "until", help="Until this instant, also one to come; else until now.")
@click.option("--limit", type=int, help="At most so many changes.")
@click.option("--cursor", help="Where a page ended: go on behind it.")
@talking
def history(
    desk: Desk,
    lever: str,
    *,
    since: str | None,
    until: str | None,
    attributes: tuple[str, ...],
    **asked: Json,
) -> None:
    """List when a lever's value changed for a context, and what changed it."""
    query = {**_query(asked, attributes), **given({"from": since, "to": until})}
    desk.answer(desk.api.get(f"/history/{lever}", **query), _history)


def _history(answer: Mapping[str, Json]) -> Group:
    heading = Text(f"{answer['lever']} was {shown(answer['value'])} at {answer['since']}\n")
    rows = table(map(_change, answer["changes"]), at="at", value="after", cause="cause")
    doubts = [
        Text(f"\nChanges by this rule of {rule['config']} may be missing: {rule['rule']}", "yellow")
        for rule in answer["inexact"]
    ]
    return Group(heading, page(answer, rows), *doubts)


def _change(change: Mapping[str, Json]) -> dict[str, Json]:
    also = [_cause(each) for each in change["also"]]
    return {**change, "cause": "\n".join([_cause(change["cause"]), *also])}


def _cause(cause: Mapping[str, Json]) -> str:
    kind = cause["kind"]
    where = f" ({place(cause)})" if "scope" in cause else ""
    if kind in _EDGES:
        return f"{cause['config']}{where}: {_EDGES[kind]}; position {cause['position']}"
    what = cause.get("config") or cause.get("experiment_id") or cause.get("lever") or ""
    named = f" {what}" if what else ""
    return f"{kind.replace('_', ' ')}{named}{where} {by(cause)}; position {cause['position']}"


# --- Who ---


@click.command()
@click.argument("levers", nargs=-1, metavar="[LEVER]...")
@_who(required=True)
@click.option("--at", help="The instant it is resolved for; now if not said.")
@click.option("--as-of", help="By what the ledger held at this instant.")
@click.option("--position", type=int, help="By what the ledger held at this position.")
@talking
def blame(
    desk: Desk, *, levers: tuple[str, ...], attributes: tuple[str, ...], **asked: Json
) -> None:
    """Tell who set each value of a context, or of some levers, when and why.

    Without levers, those that are at the catalog's default are left out.
    """
    answer = desk.api.get("/blame", **_query(asked, attributes))
    unknown = [lever for lever in levers if lever not in answer["levers"]]
    if unknown:
        raise click.BadParameter(f"the catalog has no lever {unknown[0]}")
    desk.answer(answer, lambda found: _blame(found["levers"], levers))


def _blame(entries: Mapping[str, Json], levers: tuple[str, ...]) -> Table | Text:
    wanted = levers or tuple(
        lever for lever, entry in entries.items() if entry["position"] is not None
    )
    if not wanted:
        return Text("Every lever is at the catalog's default.")
    rows = ({"lever": lever, **_blamed(entries[lever])} for lever in wanted)
    return table(rows, lever="lever", value="value", _from="from", who="who", since="since")


def _blamed(entry: Mapping[str, Json]) -> dict[str, Json]:
    told = {"value": entry["value"], "since": entry.get("in_force_since")}
    if entry["position"] is None:
        return {**told, "from": "the catalog"}
    if entry.get("killed"):
        return {**told, "from": "the kill switch", "who": f"killed {by(entry)}"}
    said = [f"set {by(entry)}"]
    if entry["written"] is not None and entry["written"]["actor"] != entry["actor"]:
        said.append(f"written {by(entry['written'])}")
    source = f"{place(entry)}\n{entry['config']}, revision {entry['revision']}"
    return {**told, "from": source, "who": "\n".join(said)}


# --- What changed ---


def _points(verb: Verb, *names: str) -> Verb:
    since, until = names
    verb = click.option(until, "until", help="A position or an instant; else now.")(verb)
    return click.option(since, "since", required=True, help="A position or an instant.")(verb)


_scope = click.option("--scope", help="Only one place: global, world, adventure, session …")
_ref = click.option("--ref", "scope_ref", help="Which one, e.g. world.forest_glade.")


def _diff(verb: Verb) -> Verb:
    return _points(_who(required=False)(_scope(_ref(talking(verb)))), "--from", "--to")


@click.command()
@_diff
def diff(
    desk: Desk,
    *,
    since: str,
    until: str | None,
    attributes: tuple[str, ...],
    **asked: Json,
) -> None:
    """Show what differs between two points: levers of a context, what is in force, events."""
    query = {**_query(asked, attributes), **given({"from": since, "to": until})}
    desk.answer(desk.api.get("/diff", **query), _differences)


def _differences(answer: Mapping[str, Json]) -> Group:
    laid: list[Text | Table] = [Text(_between(answer))]
    for title, rows in (("levers", _lever_rows(answer)), ("things", _thing_rows(answer))):
        found = list(rows)
        if found:
            columns = {title: "name", "before": "before", "after": "after", "by_whom": "who"}
            laid += [Text(), table(found, **columns)]
    events = answer["events"]
    counts = ", ".join(f"{count} {action}" for action, count in events["by_action"].items())
    return Group(*laid, Text(f"\n{events['count']} events{': ' if counts else ''}{counts}"))


def _between(answer: Mapping[str, Json]) -> str:
    since, until = (
        f"position {point['position']} at {point['at']}" for point in (answer["from"], answer["to"])
    )
    return f"from {since}\nto   {until}"


def _lever_rows(answer: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    for lever, both in answer.get("levers", {}).items():
        before, after = (None if both[side] is None else _blamed(both[side]) for side in _SIDES)
        values = [None if each is None else each["value"] for each in (before, after)]
        who = None if after is None else after.get("who", after["from"])
        yield {"name": lever, "before": values[0], "after": values[1], "who": who}


_SIDES = ("before", "after")


def _thing_rows(answer: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    for each in answer["differences"]:
        before, after = (_state(each["what"], each[side]) for side in _SIDES)
        where = f"\n{place(each)}" if each["what"] == "config" else ""
        known = each["after"] or each["before"] or {}
        name = f"{each['what']} {known.get('config', each['name'])}{where}"
        who = None if each["by"] is None else by(each["by"])
        yield {"name": name, "before": before, "after": after, "who": who}


def _state(what: str, state: Mapping[str, Json] | None) -> str | None:
    if state is None:
        return None
    if what == "config":
        share = "" if state["percentage"] is None else f", {state['percentage']} %"
        window = "" if state["in_window"] else ", outside its window"
        return f"revision {state['revision']}{share}{window}"
    if what == "experiment":
        return f"runs, {state['percentage']} %"
    if what == "catalog":
        return ", ".join(f"{len(levers)} {each}" for each, levers in state.items())
    return "in force"


def _changes(verb: Verb) -> Verb:
    return _points(_scope(_ref(talking(verb))), "--since", "--until")


@click.command()
@_changes
def changes(desk: Desk, *, since: str, until: str | None, **asked: Json) -> None:
    """Say in sentences what changed since an instant or position, at one place or anywhere."""
    query = given({**asked, "from": since, "to": until})
    desk.answer(desk.api.get("/diff", **query), lambda answer: Text("\n".join(answer["words"])))


COMMANDS: tuple[click.Command, ...] = (history, blame, diff, changes)
