"""Ids: time-ordered ones for events and configs, fixed ones for the machine's own actors."""

from __future__ import annotations

import secrets
import time
from uuid import NAMESPACE_URL, UUID, uuid5

_ACTORS = uuid5(NAMESPACE_URL, "liveops-ledger/actors")

ADMINISTRATOR = uuid5(_ACTORS, "administrator")
SYSTEM = uuid5(_ACTORS, "system")


def uuid7() -> UUID:
    """Make a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random ones."""
    millis = time.time_ns() // 1_000_000
    value = (millis & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    return UUID(int=value & ~(0b11 << 62) | 0b10 << 62)
