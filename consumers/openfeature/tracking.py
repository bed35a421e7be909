"""What a game tracks through OpenFeature: an action or a state, and who it was of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.scopes import Context

Json = Any


@dataclass(frozen=True, slots=True)
class Tracked:
    """One tracking event.

    `position` is that of the ledger as the replica knew it: what was in force then can be asked.
    """

    name: str
    context: Context
    position: int
    value: float | None = None
    attributes: Mapping[str, Json] = field(default_factory=dict)


Tracking = Callable[[Tracked], None]
"""Takes what is tracked, in the thread that tracks it: it should be quick."""
