"""Verbs that check what somebody wrote before it reaches the ledger: validate, rule."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Group, RenderableType
from rich.markup import escape

from commands.cli.configs import setting
from commands.cli.talk import REFUSED, Desk, talking
from commands.cli.talk import table as laid_out
from ledger.catalog import Catalog, shipped_catalog
from ledger.clock import parse_instant
from ledger.errors import CatalogError
from ledger.targeting import EvaluationError, Timestamp, compile_rule
from ledger.targeting.review import review

Json = Any


@click.command()
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--rule", help="A targeting rule to check in place of a file.")
@talking
def validate(desk: Desk, file: Path | None, rule: str | None) -> None:
    """Check a config's content, from a JSON file, without storing it.

    Exit code 1 when it could not be drafted.
    """
    if (file is None) == (rule is None):
        raise click.UsageError("give a file or --rule, one of the two")
    content = {"targeting": {"include": rule}} if file is None else _read(file)
    answer = desk.api.post("/validate", content)
    desk.answer(answer, lambda checked: Group(*_shown(checked)))
    if not answer["valid"]:
        sys.exit(REFUSED)


def _read(file: Path) -> Json:
    try:
        return orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"{file} is not JSON: {error}") from error


def _shown(answer: Mapping[str, Json]) -> Iterator[RenderableType]:
    for member, checked in answer["targeting"].items():
        yield _rule_shown(checked, f"{member}: ")
    if answer["violations"]:
        yield laid_out(
            answer["violations"], lever="lever", value="value", severity="severity", what="message"
        )
    yield from (f"{error['pointer']}: {escape(error['detail'])}" for error in answer["errors"])
    if not answer["valid"]:
        yield "[red]not valid[/]"
    elif answer["activatable"]:
        yield "[green]valid[/]"
    else:
        yield "[yellow]valid as a draft, but it cannot be activated[/]"


def _rule_shown(checked: Mapping[str, Json], heading: str = "") -> str:
    if not checked["valid"]:
        return f"{heading}{escape(checked['detail'])} (at {checked['at']})\n{_caret(checked)}"
    reads = ", ".join(f"{name} ({kind})" for name, kind in checked["types"].items())
    return f"{heading}[green]valid[/], reads {reads or 'nothing'}"


def _caret(checked: Mapping[str, Json]) -> str:
    return "\n".join(f"    {escape(line)}" for line in checked["shown"].split("\n"))


@click.command()
@click.argument("text")
@click.option(
    "--catalog",
    envvar="LIVEOPS_CATALOG",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A lever catalog, whose attributes are those that may be read; else the shipped one.",
)
@click.option(
    "--with",
    "names",
    multiple=True,
    metavar="NAME=VALUE",
    help="What a context has, as JSON or text; repeatable. Tells whether the rule holds for it.",
)
@click.option("--at", help="The instant that it is asked for.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def rule(
    text: str, *, catalog: Path | None, names: tuple[str, ...], at: str | None, as_json: bool
) -> None:
    """Check a targeting rule, without a server: what it reads, or where it is wrong.

    Exit code 1 when it cannot be used.
    """
    known = shipped_catalog() if catalog is None else _catalog(catalog)
    checked = review(text, known.attributes).to_json()
    if checked["valid"] and (names or at):
        checked["answer"] = _answer(text, known, dict(map(setting, names)), at)
    if as_json:
        click.echo(orjson.dumps(checked, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(checked)
    if not checked["valid"]:
        sys.exit(REFUSED)


def _print(checked: Mapping[str, Json]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(_rule_shown(checked))
    if "answer" in checked:
        console.print(escape(_says(checked["answer"])))


def _says(answer: bool | str) -> str:
    if isinstance(answer, str):
        return f"an error, so a config with it does not apply: {answer}"
    return "it holds" if answer else "it does not hold"


def _answer(text: str, catalog: Catalog, names: Mapping[str, Json], at: str | None) -> bool | str:
    bindings = dict(catalog.read_attributes(names))
    if at is not None:
        bindings["at"] = Timestamp(_instant(at))
    try:
        return compile_rule(text).matches(bindings)
    except EvaluationError as error:
        return str(error)


def _instant(text: str) -> int:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from error


def _catalog(file: Path) -> Catalog:
    try:
        return Catalog.from_json(_read(file))
    except CatalogError as error:
        raise click.BadParameter(f"{file}: {error}", param_hint="--catalog") from error


COMMANDS: tuple[click.Command, ...] = (validate, rule)
