"""Replays the ledger from its first event: to see that it reads, or to verify all that it made."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.keys import public_key
from ledger.errors import LedgerError
from ledger.events import decode
from ledger.live import evolve_live
from ledger.notes import Checkpoint, NoteRefused, Verifier, open_checkpoint, read_note
from ledger.state import replay_live
from ledger.store import LedgerStore
from projections.checkpoints import SignedHead
from projections.verification import Evidence

BATCH = 5000

OnProgress = Callable[[int, int], None]


class EvidenceUnusable(LedgerError):
    """A checkpoint that was given to compare with cannot be used."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay read: how many events of which type, and how fast."""

    position: int
    recorded_at: int
    types: Counter[str]
    seconds: float

    @property
    def events(self) -> int:
        """Count the events."""
        return self.types.total()


def replay(store: LedgerStore, upto: int | None, report: OnProgress) -> Replayed:
    """Fold the ledger up to a position, a batch in memory at a time and what is in force."""
    began = time.monotonic()
    head = store.head().position
    last = head if upto is None else min(upto, head)
    live, types = replay_live(()), Counter[str]()
    while live.position < last:
        for stored in store.read(after=live.position, limit=min(BATCH, last - live.position)):
            recorded = decode(stored.position, stored.recorded_at, stored.state)
            evolve_live(live, recorded)
            types[type(recorded.event).__name__] += 1
        report(live.position, last)
    return Replayed(live.position, live.recorded_at, types, time.monotonic() - began)


def evidence(file: Path | None, keys: Sequence[str], origin: str | None) -> Evidence:
    """Take a checkpoint from a file, which one of the given keys must have signed.

    Raises EvidenceUnusable, or KeyUnusable.
    """
    verifiers = [public_key(text) for text in keys]
    if file is None:
        return Evidence(keys=verifiers, origin=origin)
    try:
        note = file.read_text(encoding="utf-8")
        checkpoint = _opened(note, verifiers, origin)
    except (OSError, UnicodeDecodeError, NoteRefused) as error:
        raise EvidenceUnusable(f"the checkpoint {file} cannot be used: {error}") from error
    held = SignedHead(checkpoint.size, checkpoint.root, note, 0)
    return Evidence([held], verifiers, origin)


def _opened(note: str, verifiers: Sequence[Verifier], origin: str | None) -> Checkpoint:
    if not verifiers:
        # Then the keys that the database names must do: `verify` says so if none has signed it.
        return Checkpoint.parse(read_note(note)[0])
    return open_checkpoint(note, verifiers, origin)
