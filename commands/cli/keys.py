"""Verbs of the keys that sign the log."""

from __future__ import annotations

from pathlib import Path

import click

from commands.cli.servers import running
from commands.settings import SIGNING_KEY_FILE, Settings


@click.group()
def keys() -> None:
    """Make and show the keys that sign the log."""


@keys.command("generate")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the key; if not said, that of the log.")
@running
def generate_key(settings: Settings, file: Path, name: str | None) -> None:
    """Make a key in a new FILE that only you can read, and print its public half.

    The name of the log is LIVEOPS_LOG_ORIGIN, or else in the ledger that LIVEOPS_DATABASE_URL
    names. Sign with the key by LIVEOPS_SIGNING_KEYS=FILE.
    """
    from commands.keys import make_key
    from commands.programs import log_origin

    signer = make_key(file, name or log_origin(settings))
    click.echo(signer.verifier.text())


@keys.command("show")
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@running
def show_keys(settings: Settings, files: tuple[Path, ...]) -> None:
    """Print the public halves of keys, which is what an auditor needs.

    Without FILES: of those in LIVEOPS_SIGNING_KEYS, or else in the home folder of `liveops up`.
    """
    from commands.keys import read_keys

    for signer in read_keys(files or settings.signing_keys or (settings.home / SIGNING_KEY_FILE,)):
        click.echo(signer.verifier.text())
