"""Stored events folded at once come out as events folded one by one."""

from __future__ import annotations

from itertools import islice
from uuid import UUID

import orjson
import pytest

from benchmarks.ledgers import Past
from ledger.content import ALWAYS, Content, Pinned
from ledger.events import (
    Cause,
    ConfigActivated,
    ConfigArchived,
    ConfigDeactivated,
    Event,
    Recorded,
    ShadowStarted,
    decode,
    encode,
)
from ledger.folding import fold
from ledger.live import Live, things
from ledger.scopes import Place, Scope
from ledger.state import replay_live

Row = tuple[int, int, bytes]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A game's history, with everything in it that there is to fold."""
    past = Past()
    written = [past.draft(event)[3] for event in islice(past.events, 7000)]
    return [(position, 10 * position, state) for position, state in enumerate(written, 1)]


def one_by_one(rows: list[Row], upto: int) -> Live:
    """Fold what `fold` is compared with."""
    return replay_live(decode(*row) for row in rows[:upto])


@pytest.mark.parametrize("upto", [0, 1, 500, 4000, 6999, 7000])
def test_gives_what_one_by_one_gives(rows: list[Row], upto: int) -> None:
    folded, expected = fold(rows[:upto], Live()), one_by_one(rows, upto)

    assert things(folded) == things(expected)
    assert folded.by_place == expected.by_place
    assert (folded.position, folded.recorded_at) == (expected.position, expected.recorded_at)


@pytest.mark.parametrize("first", [1, 3000, 6500])
def test_goes_on_from_any_position(rows: list[Row], first: int) -> None:
    folded = fold(rows[first:], one_by_one(rows, first))

    assert things(folded) == things(one_by_one(rows, len(rows)))


def test_ends_what_was_in_force_before(rows: list[Row]) -> None:
    """What a batch puts in force and archives again is not in force; neither is what was before."""
    start = one_by_one(rows, 6000)
    ended = {
        UUID(orjson.loads(state)["config_id"])
        for _, _, state in rows[6000:]
        if orjson.loads(state)["type"] == "ConfigArchived"
    }

    assert ended & set(start.activations)
    assert not ended & set(fold(rows[6000:], start).activations)


@pytest.mark.parametrize("kind", ["ConfigRevised", "ConfigActivated", "Frozen"])
def test_refuses_what_a_newer_program_has_written(rows: list[Row], kind: str) -> None:
    position, at, state = next(row for row in rows if orjson.loads(row[2])["type"] == kind)
    newer = orjson.dumps({**orjson.loads(state), "schema_version": 99})

    with pytest.raises(ValueError, match=f"{kind} v99 was written by a newer"):
        fold([(position, at, newer)], Live())


def test_reads_a_uuid_as_its_constructor_does(rows: list[Row]) -> None:
    position, at, state = rows[5]
    read: Recorded = decode(position, at, state)

    assert read.event_id == UUID(orjson.loads(state)["event_id"])
    assert hash(read.event_id) == hash(UUID(str(read.event_id)))
    assert repr(read.event_id.is_safe) == repr(UUID(int=0).is_safe)


@pytest.mark.parametrize("written", ["", "zz", "0" * 33, "g" * 32, "0" * 31])
def test_refuses_what_is_no_uuid(rows: list[Row], written: str) -> None:
    position, at, state = rows[5]
    damaged = orjson.dumps({**orjson.loads(state), "event_id": written})

    with pytest.raises(ValueError, match=r"hexadecimal|invalid literal"):
        decode(position, at, damaged)


def test_archiving_ends_a_shadow_too() -> None:
    config = UUID(int=1)
    content = Content("a", Place(Scope.WORLD, "w"), {"DIALOGUE_GATE": "readonly"})
    pinned = Pinned.of(1, content, ALWAYS)
    events: list[Event] = [ShadowStarted(config, pinned), ConfigActivated(config, pinned)]
    cause = Cause(UUID(int=2), "", UUID(int=3), UUID(int=3))
    rows = [(n, n, encode(event, UUID(int=n), cause)) for n, event in enumerate(events, 1)]
    archived = (3, 3, encode(ConfigArchived(config), UUID(int=3), cause))
    ended = (3, 3, encode(ConfigDeactivated(config), UUID(int=3), cause))

    assert len(things(fold(rows, Live()))) == 2
    assert things(fold([*rows, archived], Live())) == {}
    assert list(things(fold([*rows, ended], Live()))) == [f"shadow:{config}"]
