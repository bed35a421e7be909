"""What a decision is, and how it finds the config that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ledger.errors import Moved
from ledger.events import Event
from ledger.state import Config, State


@dataclass(frozen=True, slots=True)
class Decision:
    """The events that follow, and the streams whose state they rest on.

    `whole` is true where they rest on everything: then nothing at all may have come between.
    """

    events: tuple[Event, ...]
    reads: frozenset[UUID] = frozenset()
    whole: bool = False


def expected_config(state: State, config_id: UUID, revision: int | None) -> Config:
    """Find a config; raises NotFound, or Moved when it is not at the revision that was named."""
    config = state.config(config_id)
    actual = config.latest.number
    if revision is not None and revision != actual:
        message = f"the config is at revision {actual}, not {revision}: read it again"
        raise Moved(message, expected=revision, actual=actual)
    return config
