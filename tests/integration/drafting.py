"""Events for the store's tests, which does not care what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from ledger.store import Draft, LedgerStore, Request, Stored


def draft(stream: UUID, version: int, state: bytes = b'{"event_id":"e"}') -> Draft:
    return Draft(stream, version, "ConfigRevised", state)


def drafts(stream: UUID, versions: Sequence[int]) -> list[Draft]:
    return [draft(stream, version) for version in versions]


def append(store: LedgerStore, count: int = 1, stream: UUID | None = None) -> tuple[Stored, ...]:
    """Append the first events of a stream."""
    new = drafts(stream or uuid4(), range(1, count + 1))
    return store.append(new, expected={new[0].stream: 0}).events


def request(key: str = "k", digest: bytes = b"digest", actor: UUID | None = None) -> Request:
    return Request(actor or uuid4(), key, digest)
