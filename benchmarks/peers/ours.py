"""Ourselves: what a replica answers from, given a state without any Kafka before it."""

from __future__ import annotations

from consumers.answers import Answers
from consumers.session import Session
from ledger.clock import Instant
from ledger.live import Live
from ledger.plan import Plan
from ledger.resolve import Resolution
from ledger.scopes import Context

_TTL_SECONDS = 60.0


class Ours:
    """A replica's answers from one state: `resolve` and `session` as a replica has them."""

    def __init__(self, live: Live) -> None:
        self._answers = Answers(_TTL_SECONDS)
        self._answers.serve(Plan.of(live))

    def resolve(self, context: Context, at: Instant | None = None) -> Resolution:
        """Resolve all levers for a context."""
        return self._answers.ask(context, at, False, None)

    def session(self, context: Context) -> Session:
        """Begin to ask for a session."""
        return self._answers.session(context, None)
