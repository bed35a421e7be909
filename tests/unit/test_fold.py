"""What was folded and kept by one version of the program is not mixed with what another folds."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import orjson

from ledger.events import EVENT_TYPES, Recorded, decode_envelope
from ledger.live import FOLD, Live, evolve_live, things

GOLDEN = Path(__file__).parents[1] / "golden" / "events.ndjson"
DIGESTS = {1: "824bf19d0ff454337d45ead2b89df45df3bcaa03c1845ec795f9e75188cd40e9"}


def golden() -> Iterator[Recorded]:
    """Read a ledger as version 0.1 of the program wrote it."""
    return map(decode_envelope, GOLDEN.read_bytes().splitlines())


def test_it_holds_every_kind_of_event() -> None:
    assert {type(recorded.event).__name__ for recorded in golden()} == set(EVENT_TYPES)


def test_what_events_fold_into_changes_with_its_version_only() -> None:
    live, digest = Live(), sha256()
    for recorded in golden():
        evolve_live(live, recorded)
        digest.update(orjson.dumps(things(live)))
    assert digest.hexdigest() == DIGESTS.get(FOLD), (
        "raise FOLD in ledger/live.py, and add its digest"
    )
