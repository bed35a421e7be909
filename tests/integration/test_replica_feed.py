"""The replica on a real broker, and the demo game that plays with it."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.embedded.broker import EmbeddedBroker
from consumers.replica import Replica
from ledger.live import things
from ledger.resolve import resolve
from ledger.scopes import Context
from tests.integration.patience import eventually
from tests.integration.publishing import TEMPO, Operator, Published, Publishing

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

TURN = Context("s", 1, world_id="w1")
SECONDS = 20.0


@pytest.fixture
def replica(publishing: Publishing, bootstrap: str, prefix: str) -> Iterator[Replica]:
    publishing.thread()
    with Replica(bootstrap, prefix=prefix) as started:
        assert started.wait_ready(SECONDS)
        yield started


def same(replica: Replica, operator: Operator) -> bool:
    plan = replica._answers.plan
    return plan is not None and things(plan.state()) == things(operator.live())


def test_it_follows_the_ledger(operator: Operator, replica: Replica) -> None:
    for tempo in (1.5, 2.0, 0.5):
        operator.config(tempo)
        live = operator.live()
        assert replica.wait_for(live.position, SECONDS)
        assert same(replica, operator)
        context = Context("s", int(tempo * 10), world_id="w1")
        at = live.recorded_at
        assert replica.resolve(context, at=at).values == resolve(live, context, at).values


def test_it_starts_from_the_state_of_a_long_ledger(
    operator: Operator, publishing: Publishing, bootstrap: str, prefix: str
) -> None:
    operator.bulk(2_000)
    operator.archive(operator.config(1.5))
    operator.config(2.0)
    publishing.thread()
    with Replica(bootstrap, prefix=prefix) as replica:
        assert replica.wait_for(operator.store.head().position, SECONDS)
        assert same(replica, operator)
        assert replica.resolve(TURN).values[TEMPO] == 2.0


def test_it_starts_before_there_is_a_broker(
    operator: Operator, broker: EmbeddedBroker, publishing: Publishing, prefix: str
) -> None:
    broker.stop()
    with Replica(broker.bootstrap, prefix=prefix) as replica:
        eventually(lambda: replica.problem is not None)
        assert "takes connections" in (replica.problem or "")
        assert not replica.ready
        broker.start()
        publishing.thread()
        assert replica.wait_for(operator.store.head().position, SECONDS)
        assert replica.problem is None


def test_it_goes_on_serving_without_a_broker(
    operator: Operator, broker: EmbeddedBroker, replica: Replica
) -> None:
    operator.config(1.5)
    assert replica.wait_for(3, SECONDS)
    broker.stop()
    eventually(lambda: replica.problem is not None)
    assert replica.ready
    assert replica.resolve(TURN).values[TEMPO] == 1.5
    assert replica.age > 0


def test_a_server_that_is_no_broker_is_told_from_none(prefix: str) -> None:
    """That is how TLS on a plain port, or a wrong password, looks to the client."""
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        Replica(f"127.0.0.1:{deaf.getsockname()[1]}", prefix=prefix) as replica,
    ):
        eventually(lambda: replica.problem is not None)
        assert "security_protocol" in (replica.problem or "")


def test_damage_in_the_log_is_told_and_survived(
    operator: Operator, replica: Replica, publishing: Publishing, topics: Published
) -> None:
    operator.config(1.5)
    assert replica.wait_for(3, SECONDS)
    with topics.producer() as producer:
        producer.send(topics.names.events, value=b"\xff", key=b"k", partition=0)
    eventually(lambda: replica.problem is not None)
    assert replica.resolve(TURN).values[TEMPO] == 1.5
    operator.config(2.0)
    assert replica.wait_for(5, SECONDS)
    assert replica.problem is None


def test_it_leaves_nothing_behind(
    operator: Operator, publishing: Publishing, bootstrap: str
) -> None:
    with Replica("127.0.0.1:9") as none:
        eventually(lambda: none.problem is not None)
    before = (threading.active_count(), descriptors())
    for _ in range(10):
        with Replica(bootstrap, prefix=publishing.prefix) as replica:
            assert not replica.wait_for(99, 0.1)
    gc.collect()
    eventually(lambda: threading.active_count() <= before[0])
    eventually(lambda: descriptors() <= before[1])


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_game_imports_nothing_of_a_server() -> None:
    program = "import consumers.replica, consumers.game, sys; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in found.stdout.split()}
    servers = {
        "kafka",
        "psycopg",
        "pydantic",
        "eventsourcing",
        "fastapi",
        "projections",
        "commands",
    }
    assert not loaded & servers
    assert "ledger.store" not in found.stdout.split()


# --- The demo game ---


class Game:
    """The demo game service in a process of its own."""

    def __init__(self, *options: str, bootstrap: str, prefix: str) -> None:
        argv = [
            sys.executable,
            "-m",
            "consumers.game",
            "--bootstrap",
            bootstrap,
            "--prefix",
            prefix,
        ]
        argv += ["--world", "w1", *options]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> tuple[str, str]:
        return self.process.communicate(timeout=30)


@contextlib.contextmanager
def playing(*options: str, **where: str) -> Iterator[Game]:
    game = Game(*options, **where)
    try:
        yield game
    finally:
        game.process.kill()
        game.end()


def test_a_game_plays_a_turn_when_it_is_told_to(
    operator: Operator, publishing: Publishing, bootstrap: str, prefix: str
) -> None:
    publishing.thread()
    with playing("--json", "--follow", "stdin", bootstrap=bootstrap, prefix=prefix) as game:
        turns: list[dict[str, Any]] = []
        for tempo in (None, 1.5, 2.0):
            if tempo is not None:
                operator.config(tempo)
            game.say(f"turn {operator.store.head().position}")
            turns.append(json.loads(game.read()))
    assert [turn["turn"] for turn in turns] == [1, 2, 3]
    assert [turn["position"] for turn in turns] == [1, 3, 5]
    assert [turn["values"][TEMPO] for turn in turns] == [1.0, 1.5, 2.0]
    assert turns[2]["changed"] == {TEMPO: {"from": 1.5, "to": 2.0}}
    assert len(turns[0]["values"]) == 60


def test_a_game_shows_a_change_live(
    operator: Operator, publishing: Publishing, bootstrap: str, prefix: str
) -> None:
    publishing.thread()
    with playing("--interval", "0.05", bootstrap=bootstrap, prefix=prefix) as game:
        first = game.read()
        assert first.startswith("turn 1  position 1  20")
        operator.config(1.5)
        eventually(lambda: game.read() == f"  * {TEMPO} 1.0 → 1.5 at position 3")


def test_a_game_ends_after_its_turns(
    operator: Operator, publishing: Publishing, bootstrap: str, prefix: str
) -> None:
    publishing.thread()
    with playing("--turns", "2", "--interval", "0", bootstrap=bootstrap, prefix=prefix) as game:
        said, complained = game.end()
        assert game.process.returncode == 0
    assert said.count("turn ") == 2
    assert complained == ""


def test_a_game_whose_feed_brings_nothing_says_so(prefix: str) -> None:
    with playing("--patience", "10", bootstrap="127.0.0.1:9", prefix=prefix) as game:
        said, complained = game.end()
    assert (said, game.process.returncode) == ("", 1)
    assert "position 1 did not arrive: no broker at 127.0.0.1:9 takes connections" in complained


def test_a_game_says_what_it_does_not_understand(
    operator: Operator, publishing: Publishing, bootstrap: str, prefix: str
) -> None:
    publishing.thread()
    where = {"bootstrap": bootstrap, "prefix": prefix}
    with playing("--json", "--follow", "stdin", **where) as game:
        for line in ("dance", "turn -1", "", "turn"):
            game.say(line)
        said, complained = game.end()
    assert said.count("\n") == 1
    assert complained.count("not understood") == 2
    assert game.process.returncode == 0
