"""A ledger in memory for tests: intents in, recorded events and folded states out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ledger.content import Content
from ledger.decide import decide
from ledger.events import Cause, Recorded, decode, encode
from ledger.intents import ActivateConfig, CreateConfig, Intent, Terms
from ledger.live import Live
from ledger.resolve import Explained, resolve
from ledger.scopes import Context
from ledger.state import State, evolve

ACTOR = UUID(int=99)
START = 1_767_225_600_000_000

GAME = Context("s1", 1, world_id="w1", adventure_id="a1")


class History:
    """Decides, stamps and folds, through the bytes that a store would keep."""

    def __init__(self) -> None:
        self.state = State()
        self.events: list[Recorded] = []
        self.now = START

    def do(self, intent: Intent, reason: str = "because") -> Recorded:
        """Carry an intent out; returns its last event."""
        decision = decide(self.state, intent, Terms(reason=reason))
        for event in decision.events:
            self.now += 1_000_000
            cause = Cause(ACTOR, reason, UUID(int=1), UUID(int=2))
            state = encode(event, UUID(int=len(self.events) + 1000), cause)
            self.events.append(decode(len(self.events) + 1, self.now, state))
            evolve(self.state, self.events[-1])
        return self.events[-1]

    def config(self, number: int, *place: str, **content: Any) -> UUID:
        """Create and activate a config."""
        config_id = UUID(int=number)
        data = {"name": f"config {number}", "scope": place[0], "scope_ref": place[1], **content}
        self.do(CreateConfig(config_id, Content.from_json(data)))
        self.do(ActivateConfig(config_id))
        return config_id

    @property
    def live(self) -> Live:
        """What resolution needs at the head."""
        return self.state.live

    def explain(self, lever: str, context: Context = GAME) -> Explained:
        """Explain a lever at the head."""
        explanation = resolve(self.live, context, self.now, explain=True).explanation
        assert explanation is not None
        return explanation[lever]
