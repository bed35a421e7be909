"""The tour that `make run` plays: the whole path once, on real parts, with its own proof.

An administrator works over HTTP; a game service, fed by Kafka alone, plays a turn after each
step; at the end the ledger is asked what was in force at the instant of each turn, and its answer
is compared with what the session saw.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import IO, Any, Self

import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from commands.client import Api, ApiProblem

Json = Any

CONTEXT = {
    "session_id": "demo",
    "world_id": "world.forest_glade",
    "adventure_id": "adventure.tutorial",
}
SHOWN = {
    "AWF_MAX_INPUT_TOKENS": "tokens",
    "DROP_RATE_LEGENDARY_MULTIPLIER": "drops",
    "ECONOMIC_ACTIVITY_MULTIPLIER": "economy",
    "QUEST_PACING_TEMPO_MULTIPLIER": "tempo",
    "SKILL_CHECK_SUCCESS_RATE_MULTIPLIER": "skill",
}


class TourFailed(Exception):
    """The tour did not go as it should have."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the game: what it resolved, at which position and instant, after what."""

    after: str
    number: int
    position: int
    at: str
    values: Mapping[str, Json]


class GameService:
    """A game service in a process of its own that plays a turn when it is told to."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        argv = [sys.executable, "-m", "consumers.game", "--json", "--follow", "stdin"]
        argv += ["--bootstrap", bootstrap, "--prefix", prefix]
        argv += ["--session", CONTEXT["session_id"], "--world", CONTEXT["world_id"]]
        argv += ["--adventure", CONTEXT["adventure_id"]]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _open(self._process.stdin).close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        _open(self._process.stdout).close()

    def play(self, after: str, position: int) -> Turn:
        """Play one turn on at least a position."""
        stdin, stdout = _open(self._process.stdin), _open(self._process.stdout)
        stdin.write(f"turn {position}\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise TourFailed("the game service ended before its turn")
        seen = orjson.loads(line)
        if seen["position"] < position:
            raise TourFailed(f"the game service did not reach position {position}: {line}")
        return Turn(after, seen["turn"], seen["position"], seen["at"], seen["values"])


@dataclass(slots=True)
class Tour:
    """The steps of the tour, in order, and the turns played after them."""

    api: Api
    game: GameService
    console: Console
    turns: list[Turn] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)

    def play(self) -> None:
        """Walk through all of it; raises TourFailed where anything is not as it should be."""
        before = self.api.get("/status")["position"]
        self._turn("start", before)
        self._load_examples()
        self._activate_examples()
        self._freeze_and_try()
        self._roll_back(before)
        self._look_back()

    def _load_examples(self) -> None:
        self.console.rule("The three example configs")
        for example in _examples():
            found = self._found(example["name"])
            created = found or self.api.post("/configs", {**example, "reason": "the tour"})
            self.ids[example["name"]] = created["config_id"]
            what = "is in the ledger already" if found else f"at position {created['position']}"
            self.console.print(f"[green]created[/] {example['name']}, {what}")

    def _found(self, name: str) -> Mapping[str, Json] | None:
        listed = self.api.get("/configs", q=name)["configs"]
        return next((c for c in listed if c["name"] == name and c["status"] != "archived"), None)

    def _activate_examples(self) -> None:
        self.console.rule("Activated, one after the other")
        for name, config_id in self.ids.items():
            # The first example's own window lies in 2024: the request's open one takes its place.
            body = {"immediate": True, "valid_to": None, "reason": "the tour"}
            answer = self.api.post(f"/configs/{config_id}/activate", body)
            self.console.print(f"[green]{answer['status']}[/] {name}")
            for violation in answer["violations"]:
                self.console.print(f"  [yellow]{violation['severity']}[/] {violation['message']}")
            self._turn(name.split()[0], answer["position"])

    def _freeze_and_try(self) -> None:
        self.console.rule("Frozen")
        frozen = self.api.post("/freeze", {"reason": "the tour: hands off"})
        self._turn("frozen", frozen["position"])
        config_id = next(iter(self.ids.values()))
        try:
            self.api.post(f"/configs/{config_id}/activate", {"immediate": True})
        except ApiProblem as refused:
            if refused.status != 423:
                raise
            self.console.print(f"[red]refused, 423[/] {refused}")
        else:
            raise TourFailed("an activation went through a freeze")
        unfrozen = self.api.post("/unfreeze", {"reason": "the tour goes on"})
        self._turn("unfrozen", unfrozen["position"])

    def _roll_back(self, position: int) -> None:
        self.console.rule(f"Everything rolled back to position {position}")
        wanted = {"position": position, "reason": "the tour: as it was before"}
        plan = self.api.post("/rollback", {**wanted, "plan": True})
        for change in plan["changes"]:
            whom = f"{change['scope']} {change['scope_ref']}"
            self.console.print(f"planned: {change['action']} {change['name']}, for {whom}")
        done = self.api.post("/rollback", wanted)
        self._turn("rollback", done["position"])

    def _turn(self, after: str, position: int) -> None:
        turn = self.game.play(after, position)
        before = self.turns[-1].values if self.turns else turn.values
        self.turns.append(turn)
        self.console.print(f"  the session's turn {turn.number}, on position {turn.position}:")
        changed = {lever: value for lever, value in turn.values.items() if value != before[lever]}
        for lever, value in changed.items():
            self.console.print(f"    [cyan]{lever}[/] {before[lever]} → [bold]{value}[/]")
        if not changed:
            self.console.print("    nothing changed")

    def _look_back(self) -> None:
        self.console.rule("What was in force then? The ledger, asked as of each turn")
        table = Table("turn", "after", "pos.", *SHOWN.values(), "ledger", box=SIMPLE)
        for turn in self.turns:
            question = {"context": CONTEXT | {"turn_id": turn.number}, "at": turn.at}
            answer = self.api.post("/resolve", question | {"position": turn.position})
            if answer["values"] != turn.values:
                raise TourFailed(f"turn {turn.number}: the ledger disagrees with the session")
            shown = [str(turn.values[lever]) for lever in SHOWN]
            table.add_row(
                str(turn.number), turn.after, str(turn.position), *shown, "[green]agrees[/]"
            )
        self.console.print(table)
        count = len(self.turns[0].values)
        self.console.print(f"All {count} levers of all {len(self.turns)} turns agree.")


def _examples() -> list[dict[str, Json]]:
    text = resources.files("commands").joinpath("examples.json").read_bytes()
    examples: list[dict[str, Json]] = orjson.loads(text)
    return examples


def _open(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise TourFailed("the game service has no such stream")
    return stream
