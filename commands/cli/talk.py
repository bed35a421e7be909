"""What all verbs that talk to a server share: where it is, how answers are shown, exit codes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any, NoReturn

import click
import orjson
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from commands.client import Api, ApiProblem, ApiUnreachable
from commands.identity import ADMINISTRATOR, SYSTEM
from commands.settings import READY_FILE, Settings

Json = Any
Verb = Callable[..., None]

WIDTH = 160
"""Columns of what is written to a pipe or file, unless COLUMNS says otherwise."""

_ACTORS = {str(ADMINISTRATOR): "the administrator", str(SYSTEM): "the system"}

_ORIGIN = {"position", "recorded_at", "actor", "reason"}

_IDS = frozenset({"config", "by"})
"""Headings of columns that people copy from: the others make way for them."""

REFUSED, UNREACHABLE, NOT_ALLOWED, NOT_FOUND = 1, 3, 4, 5
_EXITS = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND, 503: UNREACHABLE}


def _paper() -> Console:
    """Open standard output for people: as wide as the terminal, or wide where there is none."""
    console = Console(highlight=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, width=WIDTH)


@dataclass(frozen=True, slots=True)
class Desk:
    """A connection to the server, and the paper that answers are written on."""

    api: Api
    as_json: bool
    console: Console = field(default_factory=_paper)

    def answer(self, answer: Json, show: Callable[[Json], RenderableType]) -> None:
        """Print an answer: as it came for machines, shown for people."""
        if self.as_json:
            click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
        else:
            self.console.print(show(answer))

    def change(self, path: str, body: Mapping[str, Json]) -> None:
        """Give a command and print its outcome."""
        self.answer(self.api.post(path, given(body)), outcome)


def talking(verb: Verb) -> Verb:
    """Give a verb the options of a connection, a Desk, and the exit codes of refusals."""

    @click.option("--url", envvar="LIVEOPS_URL", help="The server's address.")
    @click.option("--token", envvar="LIVEOPS_TOKEN", help="The bearer token.")
    @click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
    @functools.wraps(verb)
    def run(
        *args: Json, url: str | None, token: str | None, as_json: bool, **options: Json
    ) -> None:
        try:
            with Api(*_server(url, token)) as api:
                verb(Desk(api, as_json), *args, **options)
        except ApiProblem as problem:
            _leave(problem, as_json=as_json)
        except ApiUnreachable as away:
            click.echo(f"{away}\nStart a server with `liveops up`, or name one by --url.", err=True)
            sys.exit(UNREACHABLE)

    return run


def _server(url: str | None, token: str | None) -> tuple[str, str]:
    if url and token:
        return url, token
    running = left_by_up()
    url, token = url or running.get("url"), token or running.get("token")
    if not url or not token:
        raise click.UsageError(
            "which server? Start one with `liveops up`, or give --url and --token "
            "(or LIVEOPS_URL and LIVEOPS_TOKEN)"
        )
    return url, token


def left_by_up() -> dict[str, str]:
    """Read what a running `liveops up` says of itself in its home; empty when none runs."""
    try:
        running: dict[str, str] = orjson.loads((Settings().home / READY_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return running


def _leave(refused: ApiProblem, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(orjson.dumps(refused.problem, option=orjson.OPT_INDENT_2).decode(), err=True)
    else:
        click.echo(f"Refused ({refused.status}): {refused}", err=True)
        for error in refused.problem.get("errors", ()):
            click.echo(f"  {error.get('pointer') or '/'}: {error['detail']}", err=True)
    sys.exit(_EXITS.get(refused.status, REFUSED))


def given(members: Mapping[str, Json]) -> dict[str, Json]:
    """Leave out what was not said."""
    return {
        name: value
        for name, value in members.items()
        if value is not None and value is not False and value != ()
    }


def outcome(answer: Mapping[str, Json]) -> Text:
    """Say in a line or a few what a command led to."""
    lines = [done(answer)]
    if "config_id" in answer:
        stage = f"revision {answer['revision']} · {answer['status']}"
        lines.insert(0, Text(f"config {answer['config_id']} · {stage}"))
    for violation in answer.get("violations", ()):
        severity = (f"{violation['severity']} ", "yellow")
        lines.append(Text.assemble(severity, violation["message"]))
    return Text("\n").join(lines)


def done(answer: Mapping[str, Json]) -> Text:
    """Say where in the ledger a command was carried out."""
    where = f" at position {answer['position']}, {answer.get('recorded_at', '')}"
    return Text.assemble(("done", "green"), where)


def by(event: Mapping[str, Json]) -> str:
    """Say of an event by whom and why: the machine's own actors by what they are."""
    why = f": {event['reason']}" if event["reason"] else ""
    return f"by {_ACTORS.get(event['actor'], event['actor'])}{why}"


def origin(event: Mapping[str, Json]) -> str:
    """Say of an event when it was, where, by whom and why."""
    return f"{event['recorded_at']}, position {event['position']}, {by(event)}"


def place(thing: Mapping[str, Json]) -> str:
    """Say where something is set."""
    scope = str(thing["scope"])
    return scope if scope == "global" else f"{scope} {thing['scope_ref']}"


def page(answer: Mapping[str, Json], rows: Table) -> Group:
    """Show a page of a list, and say how to go on behind it."""
    cursor = answer["next"]
    more = [] if cursor is None else [Text(f"\nThere are more: --cursor {cursor}")]
    return Group(rows, *more)


def table(rows: Iterable[Mapping[str, Json]], **columns: str) -> Table:
    """Lay rows out in columns, `heading=member`."""
    laid = Table(box=None, header_style="bold", pad_edge=False)
    for heading in columns:
        laid.add_column(heading.replace("_", " ").strip(), overflow="fold", no_wrap=heading in _IDS)
    for row in rows:
        laid.add_row(*(_cell(row.get(member)) for member in columns.values()))
    return laid


@contextmanager
def progress(task: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show on standard error, if people see it, how far something is; yields what tells it.

    It is told how many are done, and of how many, None where nobody knows.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    paper = Console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=paper, transient=True, disable=not paper.is_terminal
    ) as bar:
        line = bar.add_task(task, total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total)


def members(answer: Mapping[str, Json]) -> Table:
    """Lay out an answer's members, one below the other, those inside a member further in."""
    laid = Table(box=None, show_header=False, pad_edge=False)
    laid.add_column(style="bold")
    laid.add_column(overflow="fold")
    for name, value in answer.items():
        laid.add_row(name.replace("_", " "), _cell(value))
    return laid


def shown(value: Json) -> str:
    """Write a value for people: an object a member a line, a list with commas."""
    if value is None or value in ([], {}):
        return "-"
    match value:
        case str():
            return value
        case dict() if value.keys() == _ORIGIN:
            return origin(value)
        case dict():
            return "\n".join(f"{name} {_further_in(inner)}" for name, inner in value.items())
        case list():
            objects = any(isinstance(each, dict) for each in value)
            return ("\n" if objects else ", ").join(map(shown, value))
    return orjson.dumps(value).decode()


def _further_in(value: Json) -> str:
    text = shown(value)
    inside = isinstance(value, dict) and value and value.keys() != _ORIGIN
    return "\n" + indent(text, "  ") if inside else text


def _cell(value: Json) -> Text:
    # As Text: what people have written may look like the console's markup.
    return Text(shown(value))
