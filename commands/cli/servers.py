"""Verbs that run something: the whole system, or one program of it."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr, ValidationError
from rich.console import Console

from commands.cli.talk import left_by_up
from commands.settings import SUPERUSER_FILE, Settings

Json = Any
Verb = Callable[..., None]


def running(verb: Verb) -> Verb:
    """Give a verb the settings, and turn what a person can mend into a message."""

    @functools.wraps(verb)
    def run(**options: Json) -> None:
        from commands.embedded.errors import EmbeddedServerError
        from commands.programs import NotConfigured
        from commands.supervisor import exit_with_parent
        from commands.tour import TourFailed
        from ledger.errors import LedgerError

        exit_with_parent()
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        try:
            verb(Settings(), **options)
        except ValidationError as error:
            for wrong in error.errors():
                name = "LIVEOPS_" + "_".join(map(str, wrong["loc"])).upper()
                click.echo(f"{name}: {wrong['msg']}", err=True)
            sys.exit(2)
        except (NotConfigured, EmbeddedServerError, LedgerError, TourFailed) as error:
            because = " ".join(str(error.__cause__ or "").split())
            click.echo(f"liveops: {error}" + (f"\n    {because}" if because else ""), err=True)
            sys.exit(1)

    return run


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the embedded servers' data; LIVEOPS_HOME.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port of the API; 0 for any. If not said: LIVEOPS_PORT if free, else any.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written once everything serves: url, token, database_url, kafka_bootstrap.",
)
@click.option("--tour", is_flag=True, help="Play the guided tour once everything serves.")
@running
def up(
    settings: Settings,
    *,
    home: Path | None,
    port: int | None,
    ready_file: Path | None,
    tour: bool,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C.

    PostgreSQL and Kafka are embedded ones unless LIVEOPS_DATABASE_URL and LIVEOPS_KAFKA_BOOTSTRAP
    name real ones.
    """
    from commands.up import up as start

    if home is not None:
        settings = settings.model_copy(update={"home": home.expanduser().absolute()})
    start(settings, port=port, ready_file=ready_file, tour=tour, console=Console())


@click.command()
@running
def migrate(settings: Settings) -> None:
    """Bring the database to this version's schema and adopt the lever catalog."""
    from commands.programs import migrate as bring

    for line in bring(settings) or ["nothing to do"]:
        click.echo(line)


@click.command()
@click.option("--host", help="Address to listen on; LIVEOPS_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; LIVEOPS_PORT.")
@running
def serve(settings: Settings, host: str | None, port: int | None) -> None:
    """Serve the HTTP API."""
    from commands.programs import serve as run

    named = {"host": host, "port": port}
    chosen = {name: value for name, value in named.items() if value is not None}
    run(settings.model_copy(update=chosen))


@click.command()
@running
def project(settings: Settings) -> None:
    """Keep the views in Postgres up with the ledger."""
    from commands.programs import project as run

    run(settings)


@click.command()
@click.option("--supervised", is_flag=True, hidden=True)
@running
def publish(settings: Settings, *, supervised: bool) -> None:
    """Keep the topics in Kafka up with the ledger."""
    from commands.programs import publish as run

    run(settings, supervised=supervised)


@click.command()
@click.argument("views", nargs=-1)
@running
def rebuild(settings: Settings, views: tuple[str, ...]) -> None:
    """Build views anew beside the live ones and swap them in; all of them if none is named.

    Needs a login that may become liveops_owner; that of a running `liveops up` is found in its
    home.
    """
    from commands.programs import rebuild as run

    embedded = settings.home / SUPERUSER_FILE
    if settings.database_url is None and embedded.exists():
        url = SecretStr(embedded.read_text(encoding="utf-8"))
        settings = settings.model_copy(update={"database_url": url})
    run(settings, views, Console())


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def game(arguments: tuple[str, ...]) -> None:
    """Play turns as a demo game service, fed by Kafka alone; see `liveops game --help`."""
    from consumers.game import main

    if "--bootstrap" not in arguments and (bootstrap := left_by_up().get("kafka_bootstrap")):
        arguments = ("--bootstrap", bootstrap, *arguments)
    sys.exit(main(arguments))


COMMANDS: tuple[click.Command, ...] = (up, migrate, serve, project, publish, rebuild, game)
