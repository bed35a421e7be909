"""`kill -9` of everything that `liveops up` runs, at random moments, under load.

Each life of a program sees every part killed five times: in random order, alone or together with
another, in calm or while others are still coming back. LIVEOPS_TEST_SEED repeats the choices,
though not the moments.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.acceptance.agreement import (
    assert_mirrored,
    assert_once_each,
    assert_published,
    assert_viewed,
    assert_whole,
    decoded,
    read_ledger,
)
from tests.acceptance.load import Load, load
from tests.acceptance.player import Player, playing
from tests.acceptance.running import PARTS, Ready, Up, up
from tests.integration.patience import eventually
from tests.integration.publishing import Published

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(240),
    # kafka-python closes no socket whose connection was refused.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

LIVES, ROUNDS = 3, 5
CALM = 0.5
_BACK_SECONDS = 60.0


@pytest.mark.parametrize("life", range(LIVES))
def test_nothing_is_lost_doubled_or_out_of_order(home: Path, life: int) -> None:
    seed = os.environ.get("LIVEOPS_TEST_SEED") or random.getrandbits(32)
    rng = random.Random(f"{seed}/{life}")
    _say(f"LIVEOPS_TEST_SEED={seed}")
    with up(home) as program:
        ready = program.await_ready()
        with ready.client() as client, playing(ready.kafka_bootstrap, rng) as player:
            with load(ready, rng) as working:
                system = System(program, ready, client, working, player)
                for _ in range(ROUNDS):
                    for victims in _groups(rng):
                        system.kill(victims, after=rng.randrange(40))
                        if rng.random() < CALM:
                            system.await_everybody()
                    system.await_everybody()
            system.assert_all_agrees()


def _groups(rng: random.Random) -> Iterator[list[str]]:
    order = rng.sample(PARTS, len(PARTS))
    while order:
        yield [order.pop() for _ in range(min(len(order), rng.choice((1, 1, 2))))]


@dataclass(frozen=True)
class System:
    """A program at work, and those who work with it."""

    program: Up
    ready: Ready
    client: httpx.Client
    working: Load
    player: Player

    def kill(self, victims: list[str], after: int) -> None:
        """Kill parts after so many further commands; return when others are in their places."""
        with self.working.hurry():
            self.working.await_further(after)
            _say(f"{time.monotonic():.1f} killing {' and '.join(victims)}")
            killed = {name: self._kill(name) for name in victims}
        eventually(lambda: all(map(self._replaced, killed.items())), _BACK_SECONDS)

    def await_everybody(self) -> None:
        """Wait until what is ordered from now on has come through to views and replica."""
        self.working.await_further(5)
        position = self.working.position
        self._await_everywhere(position)
        _say(f"{time.monotonic():.1f} everybody has position {position}")

    def _kill(self, name: str) -> psutil.Process:
        """Kill a part, which may just be between two starts."""
        killed: list[psutil.Process] = []

        def strike() -> bool:
            process = self.program.part(name)
            if process is not None:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    killed.append(process)
            return killed != []

        eventually(strike, _BACK_SECONDS)
        return killed[0]

    def _replaced(self, killed: tuple[str, psutil.Process]) -> bool:
        name, process = killed
        return self.program.part(name) not in (None, process)

    def _await_everywhere(self, position: int) -> None:
        replica = self.player.replica
        assert replica.wait_for(position, _BACK_SECONDS), replica.problem
        eventually(lambda: min(self._views()) >= position, _BACK_SECONDS)

    def _views(self) -> list[int]:
        with suppress(httpx.TransportError):
            views = self.client.get("/status").json().get("views")
            return [view["position"] for view in views.values()] if views else [-1]
        return [-1]

    def assert_all_agrees(self) -> None:
        """The ledger has what was ordered; topics, views and replica have what the ledger has."""
        ledger = read_ledger(self.ready.database_url)
        assert_whole(ledger)
        assert_once_each(ledger, self.working.outcomes)
        self._await_everywhere(len(ledger))
        with Published(self.ready.kafka_bootstrap, "liveops") as topics:
            assert_published(topics, ledger)
            assert_mirrored(topics, ledger)
        assert_viewed(self.program.superuser_url, ledger)
        assert self.player.never_went_back()
        assert self.player.wrong(decoded(ledger)) == []
        repeats, answers = self.working.repeats, len(self.player.answers)
        _say(f"{len(ledger)} events, {repeats} repeats, {answers} answers of the replica")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
