"""Operators who give commands over HTTP, whatever happens to the servers.

A command whose outcome did not arrive is repeated under the same key until one does. Each names
its key as its reason, so that its events can be told in the ledger.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from tests.acceptance.running import Ready
from tests.integration.patience import eventually

Json = Any

OPERATORS = 4
WORLDS = ("w1", "w2", "w3")
PLACES = [("world", world) for world in WORLDS] + [("global", "global"), ("session", "s1")]
LEVERS = ("QUEST_PACING_TEMPO_MULTIPLIER", "DROP_RATE_RARE_MULTIPLIER", "RESOURCE_REGEN_MULTIPLIER")
_BACK_SECONDS = 90.0
_RETRY_SECONDS = 0.05
_THINKING_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """What a command led to, as its operator was told."""

    key: str
    status: int
    answer: Mapping[str, Json]

    @property
    def done(self) -> bool:
        """Whether it was carried out, and not refused."""
        return self.status < HTTPStatus.BAD_REQUEST

    @property
    def events(self) -> int:
        """How many events it must have led to."""
        return len(self.answer.get("changes", "1")) if self.done else 0


@dataclass
class Shared:
    """What all operators know."""

    outcomes: list[Outcome] = field(default_factory=list)
    configs: list[tuple[str, str, str]] = field(default_factory=list)
    repeats: int = 0
    done: int = 0
    position: int = 0
    hurry: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, outcome: Outcome) -> None:
        """Remember an outcome."""
        with self.lock:
            self.outcomes.append(outcome)
            if outcome.done:
                self.done += 1
                self.position = max(self.position, outcome.answer["position"])


class Operator:
    """One of them, in a thread of its own."""

    def __init__(self, number: int, ready: Ready, shared: Shared, rng: random.Random) -> None:
        self._name = f"operator-{number}"
        self._shared = shared
        self._rng = rng
        self._client = ready.client(limits=httpx.Limits(max_keepalive_connections=1))
        self._given = 0
        self._verbs: Sequence[tuple[int, Callable[[], None]]] = (
            (2, self._draft),
            (9, self._activate),
            (3, self._revise),
            (3, self._change_rollout),
            (2, self._roll_back_config),
            (2, self._deactivate),
            (1, self._archive),
            (1, self._freeze_a_while),
            (1, self._kill_a_while),
            (1, self._roll_back),
        )

    def work(self) -> None:
        """Give commands until it is over."""
        weights, verbs = zip(*self._verbs, strict=True)
        with self._client:
            while not self._shared.over.wait(self._pause()):
                self._rng.choices(verbs, weights)[0]()

    def _pause(self) -> float:
        return 0.0 if self._shared.hurry else self._rng.uniform(0, _THINKING_SECONDS)

    def _command(
        self, path: str, body: Mapping[str, Json], *, put_at: int | None = None
    ) -> Outcome:
        """Give a command as often as it takes to know what became of it."""
        self._given += 1
        key = f"{self._name}/{self._given}"
        headers = {"Idempotency-Key": f'"{key}"'}
        if put_at is not None:
            headers["If-Match"] = f'"{put_at}"'
        request = self._client.build_request(
            "POST" if put_at is None else "PUT",
            path,
            json={**body, "reason": key},
            headers=headers,
        )
        answer = self._sent(request)
        outcome = Outcome(key, answer.status_code, answer.json())
        self._shared.note(outcome)
        return outcome

    def _sent(self, request: httpx.Request) -> httpx.Response:
        found: list[httpx.Response] = []

        def known() -> bool:
            try:
                answer = self._client.send(request)
            except httpx.TransportError:
                answer = None
            if answer is None or answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                self._shared.repeats += 1
                threading.Event().wait(_RETRY_SECONDS)
                return False
            found.append(answer)
            return True

        eventually(known, _BACK_SECONDS)
        return found[0]

    # --- What they do ---

    def _content(self, scope: str, ref: str) -> dict[str, Json]:
        content: dict[str, Json] = {"name": "load", "scope": scope, "scope_ref": ref}
        chosen = self._rng.sample(LEVERS, self._rng.randint(1, 2))
        content["payload"] = {lever: self._rng.randrange(1, 10) / 10 for lever in chosen}
        if self._rng.random() < 0.3:
            content["rollout"] = {"percentage": self._rng.randrange(101)}
        if self._rng.random() < 0.3:
            content["targeting"] = {"include": f'tier == "{self._rng.choice(("a", "b"))}"'}
        return content

    def _draft(self) -> None:
        scope, ref = self._rng.choice(PLACES)
        outcome = self._command("/configs", self._content(scope, ref))
        if outcome.done:
            config_id = outcome.answer["config_id"]
            self._command(f"/configs/{config_id}/activate", {"immediate": True})
            self._shared.configs.append((config_id, scope, ref))

    def _on_one(self, verb: str, body: Mapping[str, Json]) -> None:
        if self._shared.configs:
            config_id, _, _ = self._rng.choice(self._shared.configs)
            self._command(f"/configs/{config_id}/{verb}", body)

    def _activate(self) -> None:
        self._on_one("activate", {"immediate": True})

    def _deactivate(self) -> None:
        self._on_one("deactivate", {})

    def _archive(self) -> None:
        self._on_one("archive", {})

    def _roll_back_config(self) -> None:
        self._on_one("rollback", {})

    def _change_rollout(self) -> None:
        self._on_one("rollout", {"percentage": self._rng.randrange(101)})

    def _revise(self) -> None:
        if self._shared.configs:
            config_id, scope, ref = self._rng.choice(self._shared.configs)
            revision = self._rng.choice((1, 1, 2))
            self._command(f"/configs/{config_id}", self._content(scope, ref), put_at=revision)

    def _freeze_a_while(self) -> None:
        where = {"scope": "world", "scope_ref": self._rng.choice(WORLDS)}
        if self._command("/freeze", where).done:
            self._activate()
            self._command("/unfreeze", where)

    def _kill_a_while(self) -> None:
        lever = self._rng.choice(LEVERS)
        if self._command(f"/levers/{lever}/kill", {}).done:
            self._activate()
            self._command(f"/levers/{lever}/restore", {})

    def _roll_back(self) -> None:
        lately = [outcome for outcome in self._shared.outcomes[-100:] if outcome.done]
        position = self._rng.choice(lately).answer["position"] if lately else 1
        where = {"scope": "world", "scope_ref": self._rng.choice(WORLDS)}
        self._command("/rollback", {"position": position, **where})


class Load:
    """All operators at work."""

    def __init__(self, shared: Shared, working: Sequence[Future[None]]) -> None:
        self._shared = shared
        self._working = working

    @property
    def outcomes(self) -> list[Outcome]:
        """What is known of the commands given so far."""
        return self._shared.outcomes

    @property
    def repeats(self) -> int:
        """How often a command had to be given again."""
        return self._shared.repeats

    @property
    def position(self) -> int:
        """The last position that an operator has been told."""
        return self._shared.position

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Have everybody work without a pause: something is always on its way."""
        self._shared.hurry = True
        try:
            yield
        finally:
            self._shared.hurry = False

    def await_further(self, count: int, seconds: float = _BACK_SECONDS) -> None:
        """Wait until so many further commands have been carried out."""
        shared = self._shared
        wanted = shared.done + count
        eventually(lambda: shared.done >= wanted or any(f.done() for f in self._working), seconds)
        for operator in self._working:
            if operator.done():
                operator.result()


@contextmanager
def load(ready: Ready, rng: random.Random) -> Iterator[Load]:
    """Let the operators work; at the end each carries its last command through."""
    shared = Shared()
    operators = [
        Operator(number, ready, shared, random.Random(rng.random()))
        for number in range(1, OPERATORS + 1)
    ]
    with ThreadPoolExecutor(OPERATORS) as pool:
        working = [pool.submit(operator.work) for operator in operators]
        try:
            yield Load(shared, working)
        finally:
            shared.over.set()
    for operator in working:
        operator.result()
