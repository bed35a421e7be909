"""`liveops replay`: the whole ledger once more, and whether all that was made of it is still so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import SecretStr

from commands.cli.servers import running
from commands.cli.talk import progress
from commands.settings import SUPERUSER_FILE, Settings

if TYPE_CHECKING:
    from projections.verification import Verdict

_MARKS = {True: "as the events make it", False: "DIFFERS", None: "not compared"}


@click.command()
@click.option("--verify", is_flag=True, help="Compare every view and signed checkpoint with it.")
@click.option("--upto", type=click.IntRange(min=0), help="Only the events up to this position.")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A signed checkpoint that you hold: the ledger must continue it.",
)
@click.option("--key", "keys", multiple=True, help="A public key that you trust; repeatable.")
@running
def replay(
    settings: Settings,
    *,
    verify: bool,
    upto: int | None,
    checkpoint: Path | None,
    keys: tuple[str, ...],
) -> None:
    """Fold the ledger from its first event on; with --verify, compare what was made of it.

    Every view is built a second time, aside, and compared byte for byte; every event is compared
    with its columns, its leaf in the tree and the signed checkpoints. Exits with 1, and names each
    place, when anything differs. With --upto only the log is verified: the views are further.

    Needs the database: LIVEOPS_DATABASE_URL, or a running `liveops up`.
    """
    from commands import programs

    settings = with_embedded(settings)
    if verify or checkpoint:
        with progress("events") as show:
            found = programs.verify(settings, upto, checkpoint, keys, lambda _, *at: show(*at))
        _tell(found, whole=upto is None)
        sys.exit(0 if found.sound else 1)
    with progress("events") as show:
        done = programs.replay(settings, upto, show)
    for name, count in sorted(done.types.items()):
        click.echo(f"{count:>10,}  {name}")
    click.echo(f"{_said(done.events, done.position, done.seconds)}: all of them can be folded")


def _said(events: int, position: int, seconds: float) -> str:
    speed = events / max(seconds, 1e-6)
    return f"{events:,} events up to position {position}, {seconds:.1f} s, {speed:,.0f} a second"


def _tell(found: Verdict, *, whole: bool) -> None:
    click.echo(_said(found.events, found.position, found.seconds))
    click.echo(f"{found.checkpoints:,} signed checkpoints")
    for view in found.views:
        why = f": {view.why}" if view.sound is None else ""
        click.echo(f"{view.name} at position {view.position}: {_MARKS[view.sound]}{why}")
    for fault in found.faults:
        click.echo(f"  {fault}", err=True)
    if found.untold:
        click.echo(f"  and {found.untold:,} more in the log", err=True)
    if found.sound:
        click.echo("Nothing differs." if whole else "Nothing in this part of the log differs.")
    else:
        click.echo("Something was changed, or there is a fault: see docs/reference/metrics.md.")


def with_embedded(settings: Settings) -> Settings:
    """Find the database of a running `liveops up` in its home, where none is named."""
    embedded = settings.home / SUPERUSER_FILE
    if settings.database_url is not None or not embedded.exists():
        return settings
    url = SecretStr(embedded.read_text(encoding="utf-8"))
    return settings.model_copy(update={"database_url": url})


COMMANDS: tuple[click.Command, ...] = (replay,)
