"""Verbs of proof: each checks what the server gives against the log's public key, and says so."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from commands.cli.talk import REFUSED, Desk, talking
from commands.settings import SIGNING_KEY_FILE, Settings

Json = Any
Verb = Callable[..., None]

_DASHED = re.compile(r"-[A-Za-z0-9_-]{40,}", re.ASCII)
_FILE = click.Path(dir_okay=False, path_type=Path)


def _checking(verb: Verb) -> Verb:
    """Give a verb the keys to check by, and an exit code for what does not hold."""

    @click.option(
        "--key",
        "texts",
        multiple=True,
        help="A public key of the log, or a file that holds it; can be repeated. If not said: the "
        "key in the home folder of `liveops up`.",
    )
    @functools.wraps(verb)
    def run(desk: Desk, texts: Sequence[str], **options: Json) -> None:
        from commands.keys import KeyUnusable, public_key
        from ledger.merkle import ProofRefused
        from ledger.notes import NoteRefused

        try:
            keys = [public_key(text) for text in texts or _home_key()]
            verb(desk, keys=keys, **options)
        except (KeyUnusable, NoteRefused, ProofRefused) as error:
            click.echo(f"NOT PROVED: {error}", err=True)
        except (KeyError, TypeError, ValueError) as error:
            click.echo(f"NOT PROVED: the server's answer is no proof: {error!r}", err=True)
        else:
            return
        sys.exit(REFUSED)

    return run


def _home_key() -> list[str]:
    file = Settings().home / SIGNING_KEY_FILE
    if not file.exists():
        raise click.UsageError(
            "which key has signed the log? Give --key; take it from somebody you trust, not from "
            "the server that is to be checked"
        )
    return [str(file)]


def _say(desk: Desk, proof: Json, words: Sequence[str]) -> None:
    lines = [*words, "PROVED."]
    desk.answer(proof, lambda _: Text("\n".join(lines)))


@click.group()
def proof() -> None:
    """Check that events, answers and earlier checkpoints are in the signed log."""


@proof.command("checkpoint")
@click.option("--save", type=_FILE, help="Keep the signed note in a file, for a later audit.")
@talking
@_checking
def show_checkpoint(desk: Desk, keys: Json, save: Path | None) -> None:
    """Fetch the newest signed head of the log and check its signature."""
    from commands import checking

    note = desk.api.text("/proof/checkpoint")
    head, words = checking.checkpoint(note, keys)
    if save is not None:
        save.write_text(note, encoding="utf-8")
        words.append(f"The note is in {save}.")
    _say(desk, {"origin": head.origin, "size": head.size, "note": note}, words)


@proof.command("inclusion")
@click.argument("position", type=click.IntRange(min=1))
@click.option("--size", type=click.IntRange(min=1), help="In the log of so many events.")
@talking
@_checking
def prove_inclusion(desk: Desk, keys: Json, position: int, size: int | None) -> None:
    """Check that the event at a position is in the signed log."""
    from commands import checking

    answer = desk.api.get("/proof/inclusion", position=position, size=size)
    _say(desk, answer, checking.inclusion(answer, position, keys))


@proof.command("consistency")
@click.argument("old", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("new", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@talking
@_checking
def prove_consistency(desk: Desk, keys: Json, old: Path, new: Path | None) -> None:
    """Check that the signed log still begins with what an OLD checkpoint vouches for.

    OLD and NEW are files of signed notes, as `liveops proof checkpoint --save` keeps them; without
    NEW it is the newest checkpoint.
    """
    from commands import checking

    before, words = checking.checkpoint(old.read_text(encoding="utf-8"), keys)
    after = None
    if new is not None:
        after, more = checking.checkpoint(new.read_text(encoding="utf-8"), keys)
        words += more
    answer = desk.api.get("/proof/consistency", old=before.size, new=after and after.size)
    _say(desk, answer, words + checking.consistency(answer, before, keys, after))


class _OfToken(click.Command):
    """A verb whose argument is a token: one in 64 of them begins with a dash, like an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put such a token where nothing is taken for an option; not a value of an option."""
        valued = {name for option in self.params if _takes_value(option) for name in option.opts}
        tokens = [
            word
            for before, word in zip(["", *args], args, strict=False)
            if _DASHED.fullmatch(word) and before not in valued
        ]
        others = [word for word in args if word not in tokens]
        return super().parse_args(ctx, [*others, "--", *tokens] if tokens else args)


def _takes_value(option: click.Parameter) -> bool:
    return isinstance(option, click.Option) and not option.is_flag


@proof.command("answer", cls=_OfToken)
@click.argument("answer_token", metavar="ANSWER")
@talking
@_checking
def prove_answer(desk: Desk, keys: Json, answer_token: str) -> None:
    """Check what an answer rests on: ANSWER is its token.

    Every event that supplied something of it is in the signed log, and the events up to its
    position are how that log begins. That no other event had a say is checked by replaying them:
    `liveops export` with the answer's token, then `liveops verify`.
    """
    from commands import checking

    answer = desk.api.get("/proof/answer", token=answer_token)
    _say(desk, answer, checking.answer(answer, answer_token, keys))
