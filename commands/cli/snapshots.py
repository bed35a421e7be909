"""Verbs on snapshots: what games were given, and whether the ledger says the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click
import orjson
from rich.console import Group
from rich.text import Text

from commands.cli.talk import REFUSED, Desk, page, progress, shown, table, talking

Json = Any

_MOST_SHOWN = 100

of_session = click.option("--session", "session_id", help="Only this session.")


@click.group()
def snapshots() -> None:
    """List, verify and forget samples of what games were given."""


@snapshots.command("list")
@of_session
@click.option("--limit", type=int, help="At most so many.")
@click.option("--cursor", help="Where a page ended: go on behind it.")
@talking
def list_snapshots(desk: Desk, **wanted: Json) -> None:
    """List samples by the position that they are as of."""
    desk.answer(desk.api.get("/snapshots", **wanted), lambda answer: page(answer, _rows(answer)))


def _rows(answer: Mapping[str, Json]) -> Any:
    return table(
        answer["snapshots"],
        position="position",
        session="session_id",
        turn="turn_id",
        resolved_for="at",
        taken="ts",
        how="reason",
    )


@snapshots.command()
@of_session
@talking
def verify(desk: Desk, session_id: str | None) -> None:
    """Resolve every sample again and name any that differ; exits with 1 if one does."""
    result = _Result()
    with progress("snapshots") as show:
        for verdict, count in _verdicts(desk, session_id):
            result.take(verdict)
            show(result.checked, count)
    desk.answer(result.to_json(), result.shown)
    if result.differing:
        sys.exit(REFUSED)


def _verdicts(desk: Desk, session_id: str | None) -> Iterator[tuple[Json, int]]:
    query = {"session_id": session_id}
    with desk.api.streamed("/snapshots/verdicts", accept="application/x-ndjson", **query) as answer:
        count, begun = int(answer.headers["snapshot-count"]), b""
        for piece in answer.iter_bytes():
            *lines, begun = (begun + piece).split(b"\n")
            yield from ((orjson.loads(line), count) for line in lines)


class _Result:
    """What came of all samples; `differing` holds the first ones that do."""

    def __init__(self) -> None:
        self.checked = 0
        self.agree = 0
        self.unverified = 0
        self.differing: list[Json] = []

    def take(self, verdict: Mapping[str, Json]) -> None:
        """Count another one."""
        self.checked += 1
        self.agree += verdict["agrees"]
        self.unverified += bool(verdict["unverified"])
        if not verdict["agrees"] and len(self.differing) < _MOST_SHOWN:
            self.differing.append(verdict)

    def to_json(self) -> dict[str, Json]:
        return {
            "checked": self.checked,
            "agree": self.agree,
            "differ": self.checked - self.agree,
            "not_wholly_verifiable": self.unverified,
            "differing": self.differing,
        }

    def shown(self, answer: Mapping[str, Json]) -> Group:
        """Say it to people."""
        partly = (
            f"; {self.unverified} of them hold levers that fell back because the game heard "
            "nothing of the ledger: whether that was so, the ledger alone cannot tell"
        )
        lines = [
            Text(f"{self.checked} samples resolved again, {self.agree} agree with the ledger")
            + Text(partly if self.unverified else "")
        ]
        differ = answer["differ"]
        if not differ:
            return Group(*lines)
        first = "" if differ <= _MOST_SHOWN else f"; the first {_MOST_SHOWN} of them"
        lines.append(Text(f"{differ} DIFFER{first}:\n", style="red"))
        columns = {
            "position": "position",
            "session": "session_id",
            "turn": "turn_id",
            "what": "what",
        }
        return Group(*lines, table(map(_difference, self.differing), **columns))


def _difference(verdict: Mapping[str, Json]) -> dict[str, Json]:
    levers = [
        f"{lever}: the game had {shown(pair['sampled'])}, the ledger says {shown(pair['resolved'])}"
        for lever, pair in verdict["differs"].items()
    ]
    return {**verdict, "what": "\n".join([*filter(None, [verdict["problem"]]), *levers])}


@snapshots.command()
@click.option("--session", "session_id", required=True, help="Whose samples are deleted.")
@talking
def forget(desk: Desk, session_id: str) -> None:
    """Delete all samples of a session, and refuse those of it that are still on their way."""
    desk.answer(
        desk.api.delete("/snapshots", session_id=session_id),
        lambda answer: Text(f"{answer['forgotten']} samples of the session are deleted"),
    )
