"""Verbs of the auditor who takes the log away: export a bundle, verify one anywhere."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import orjson
from rich.text import Text

from commands.cli.talk import REFUSED, Desk, progress, talking

if TYPE_CHECKING:
    from ledger.bundle_check import Report

Json = Any

_FILE = click.Path(dir_okay=False, path_type=Path)
_PRESENT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--upto", type=click.IntRange(min=1), help="No further than covers this position.")
@click.option("--answer", help="The token of an answer: it goes into the bundle, to be repeated.")
@talking
def export(desk: Desk, file: Path, upto: int | None, answer: str | None) -> None:
    """Export the signed events to a FILE that anybody can verify offline; gzipped if named .gz.

    It is verified while it is written, and has its name only when it is complete. What is not as
    it was signed is said, and the file kept: it is the evidence.
    """
    from commands.download import ACCEPT, whole
    from ledger.bundle import lines_in
    from ledger.bundle_check import check

    query = {"upto": upto, "token": answer}
    with (
        progress("export") as show,
        desk.api.streamed("/export", accept=ACCEPT["ndjson"], **query) as streamed,
        whole(file) as output,
        _compressing(file, output) as write,
    ):
        size = int(streamed.headers["ledger-position"])
        lines = _written(lines_in(streamed.iter_bytes()), write)
        report = check(lines, each=lambda number, _: show(number, size))
    found = {"file": str(file), **_json(report)}
    desk.answer(found, lambda _: _told(report, f"{report.size} events are in {file}."))
    if report.faults:
        sys.exit(REFUSED)


@contextmanager
def _compressing(file: Path, output: IO[bytes]) -> Iterator[Callable[[bytes], int]]:
    if file.suffix != ".gz":
        yield output.write
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as compressed:
        yield compressed.write


def _written(lines: Iterator[bytes], write: Callable[[bytes], int]) -> Iterator[bytes]:
    for line in lines:
        write(line)
        yield line


@click.command()
@click.argument("bundle", type=_PRESENT)
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="A public key of the log that you trust, or a file that holds it; can be repeated.",
)
@click.option(
    "--checkpoint",
    "notes",
    multiple=True,
    type=_PRESENT,
    help="A checkpoint that you have from before: the bundle must go on from it; can be repeated.",
)
@click.option("--size", type=click.IntRange(min=0), default=0, help="So many events at least.")
@click.option("--json", "as_json", is_flag=True, help="Print what is found as JSON.")
def verify(
    bundle: Path, keys: Sequence[str], notes: Sequence[Path], size: int, *, as_json: bool
) -> None:
    """Check a BUNDLE offline, and say which event is not as it was signed, if one is not.

    Neither a server nor a database is asked. Exit codes: 0 all as signed, 1 not.
    """
    from commands.keys import KeyUnusable, public_key
    from commands.verify import BundleUnreadable
    from commands.verify import verify as verified
    from ledger.bundle_check import Trust
    from ledger.notes import NoteRefused

    try:
        trusted = [public_key(key).text() for key in keys]
        known = [note.read_text(encoding="utf-8") for note in notes]
        with progress("verify") as show:
            report = verified(bundle, Trust(trusted, known, size), show)
    except (KeyUnusable, BundleUnreadable, NoteRefused, UnicodeDecodeError) as error:
        click.echo(f"NOT VERIFIED: {error}", err=True)
        sys.exit(REFUSED)
    if as_json:
        click.echo(orjson.dumps(_json(report), option=orjson.OPT_INDENT_2).decode())
    else:
        again = "" if report.answer is None else " The answer comes out again, byte for byte."
        click.echo(_told(report, f"All of it is as it was signed.{again}").plain)
    if report.faults:
        sys.exit(REFUSED)


# --- What was found ---


def _told(report: Report, good: str) -> Text:
    lines = [*_refusal(report)] if report.faults else [good, *_proved(report)]
    return Text("\n".join(lines))


def _refusal(report: Report) -> Iterator[str]:
    first, *others = report.faults
    yield f"NOT as it was signed. {first.words}"
    for fault in others:
        yield f"Also: {fault.words}"


def _proved(report: Report) -> Iterator[str]:
    yield f"ledger   {report.origin}"
    yield f"events   1 to {report.size}, from {report.first} to {report.last}"
    yield f"root     {report.root}"
    for key in report.trusted:
        yield f"signed   by your key {key}"
    if not report.trusted:
        for key in report.keys:
            yield f"signed   by {key}"
        yield "         known from the bundle alone: have it confirmed, and give it as --key"
    if report.known:
        sizes = ", ".join(map(str, report.known))
        yield f"history  goes on from your checkpoint of {sizes} events"


def _json(report: Report) -> dict[str, Json]:
    return {
        "verified": not report.faults,
        "faults": [
            {
                "part": fault.part,
                "kind": fault.kind,
                "line": fault.line,
                "position": fault.position,
                "words": fault.words,
            }
            for fault in report.faults
        ],
        "origin": report.origin,
        "size": report.size,
        "root": report.root,
        "keys": report.keys,
        "trusted": report.trusted,
        "known": report.known,
        "answer": None if report.answer is None else orjson.loads(report.answer),
    }


COMMANDS: tuple[click.Command, ...] = (export, verify)
