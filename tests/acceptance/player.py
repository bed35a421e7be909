"""A game that goes on resolving with its replica, and keeps every answer that it got."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise

from consumers.replica import Replica
from ledger.events import Recorded
from ledger.live import Live, evolve_live
from ledger.resolve import Resolution, resolve
from ledger.scopes import Context
from tests.acceptance.load import WORLDS

_TURN_SECONDS = 0.03


@dataclass
class Player:
    """Plays turns of random sessions; several questions a turn, as games do."""

    replica: Replica
    rng: random.Random
    answers: list[tuple[Context, Resolution]] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def play(self, over: threading.Event) -> None:
        """Play until it is over."""
        for turn in count(1):
            if over.wait(_TURN_SECONDS):
                return
            context = self._context(turn)
            self.seen.append(self.replica.position)
            for _ in range(self.rng.choice((1, 1, 2))):
                self.answers.append((context, self.replica.resolve(context)))

    def _context(self, turn: int) -> Context:
        return Context(
            self.rng.choice(("s1", "s2", f"s{turn}")),
            turn_id=self.rng.choice((None, turn)),
            world_id=self.rng.choice((None, *WORLDS)),
            attributes=self.rng.choice(({}, {"tier": "a"}, {"tier": "b"})),
        )

    def never_went_back(self) -> bool:
        """Tell whether the positions that were read, and those that were told, only rose."""
        rose = all(before < after for before, after in pairwise(self.applied))
        return rose and all(before <= after for before, after in pairwise(self.seen))

    def wrong(self, ledger: Iterable[Recorded]) -> list[tuple[Context, Resolution]]:
        """List the answers that differ from what the ledger says for their position and instant."""
        live, answers = Live(), sorted(self.answers, key=lambda each: each[1].position)
        found, following = [], iter([*answers, None])
        answer = next(following)
        for recorded in ledger:
            evolve_live(live, recorded)
            while answer is not None and answer[1].position == recorded.position:
                context, given = answer
                if resolve(live, context, given.at) != given:
                    found.append(answer)
                answer = next(following)
        return found if answer is None else [*found, answer]


@contextmanager
def playing(bootstrap: str, rng: random.Random) -> Iterator[Player]:
    """Play in a thread, on a replica that is fed by Kafka alone."""
    over = threading.Event()
    with Replica(bootstrap) as replica:
        player = Player(replica, rng)
        replica.on_change(lambda change: player.applied.append(change.position))
        assert replica.wait_ready(30), replica.problem
        thread = threading.Thread(target=player.play, args=(over,), name="player")
        thread.start()
        try:
            yield player
        finally:
            over.set()
            thread.join()
