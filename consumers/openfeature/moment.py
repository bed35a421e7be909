"""Answers that hold for a moment, for programs that ask for one flag after the other.

Explaining all levers takes milliseconds where there are hundreds of configs. Within a turn the
replica keeps what it explained; here the last answer of each thread is kept for who names no turn.
"""

from __future__ import annotations

from threading import local
from time import monotonic
from typing import NamedTuple

from consumers.memo import alike
from consumers.replica import Replica
from ledger.resolve import Resolution
from ledger.scopes import Context

MOMENT_SECONDS = 0.05


class _Kept(NamedTuple):
    context: Context
    position: int
    until: float
    answer: Resolution


class Moments:
    """Explained answers of a replica.

    One outside any turn is kept for `MOMENT_SECONDS`, and not beyond the next event.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._of_this_thread = local()

    def answer(self, context: Context) -> Resolution:
        """Resolve and explain all levers for a context; raises NotReady."""
        if context.turn_id is not None:
            return self._replica.resolve(context, explain=True)
        position = self._replica.position
        kept: _Kept | None = getattr(self._of_this_thread, "kept", None)
        if (
            kept is not None
            and kept.position == position
            and monotonic() < kept.until
            and alike(kept.context._asdict(), context._asdict())
        ):
            return kept.answer
        answer = self._replica.resolve(context, explain=True)
        until = monotonic() + MOMENT_SECONDS
        self._of_this_thread.kept = _Kept(context, position, until, answer)
        return answer
