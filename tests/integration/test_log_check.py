"""Of a log in which anything is changed, 1,080 times at random, each change is found and named."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

import pytest

from ledger.events import encode, envelope
from ledger.merkle import Hash, leaf_hash, root_of
from ledger.notes import Checkpoint, Signer, sign_checkpoint
from projections.checkpoints import SignedHead
from projections.log_check import Fault, LogCheck, LogRow
from tests.integration.projecting import random_history

SIGNER = Signer.generate("test", bytes(range(32)))
ORIGIN = "test-log"


class Log(NamedTuple):
    """A log as a database holds it: rows, leaves of its tree, signed heads."""

    rows: list[LogRow]
    leaves: list[Hash]
    heads: list[SignedHead]


class Change(NamedTuple):
    """A changed log, and the first position that the change touches."""

    log: Log
    position: int


def leaves_of(rows: Sequence[LogRow]) -> list[Hash]:
    return [leaf_hash(envelope(row.position, row.recorded_at, row.state)) for row in rows]


def head_of(leaves: Sequence[Hash], size: int) -> SignedHead:
    root = root_of(leaves[:size])
    return SignedHead(size, root, sign_checkpoint(Checkpoint(ORIGIN, size, root), [SIGNER]), 0)


@pytest.fixture(scope="module")
def log() -> Log:
    rows: list[LogRow] = []
    versions: dict[UUID, int] = {}
    for n, recorded in enumerate(random_history(5, 90).events):
        event = recorded.event
        versions[event.stream] = versions.get(event.stream, 0) + 1
        state = encode(event, recorded.event_id, recorded.cause)
        # As rows of requests with an idempotency key, and of those without.
        actor = recorded.cause.actor if n % 3 else None
        rows.append(
            LogRow(
                recorded.position,
                recorded.recorded_at,
                event.stream,
                versions[event.stream],
                type(event).__name__,
                actor,
                state,
            )
        )
    leaves = leaves_of(rows)
    sizes = sorted({*range(7, len(rows), 13), len(rows)})
    return Log(rows, leaves, [head_of(leaves, size) for size in sizes])


def faults(log: Log, tree: bool = True) -> list[Fault]:
    def leaf_at(position: int) -> Hash | None:
        return log.leaves[position - 1] if tree and 0 < position <= len(log.leaves) else None

    check = LogCheck(leaf_at, iter(log.heads), [SIGNER.verifier], ORIGIN)
    for row in log.rows:
        check.add(row)
    return check.end(len(log.leaves) if tree else 0)


def test_what_nobody_changed_has_no_fault(log: Log) -> None:
    assert faults(log) == []
    assert faults(log, tree=False) == []


# --- Changes ---


def with_rows(log: Log, rows: list[LogRow], position: int) -> Change:
    return Change(log._replace(rows=rows), position)


def changed(log: Log, place: int, row: LogRow) -> Change:
    rows = [*log.rows]
    rows[place] = row
    return with_rows(log, rows, row.position)


def state_byte(chance: random.Random, log: Log) -> Change:
    place = chance.randrange(len(log.rows))
    return changed(
        log, place, log.rows[place]._replace(state=flipped(chance, log.rows[place].state))
    )


def flipped(chance: random.Random, text: bytes) -> bytes:
    place = chance.randrange(len(text))
    return text[:place] + bytes([text[place] ^ (1 << chance.randrange(8))]) + text[place + 1 :]


def state_cut(chance: random.Random, log: Log) -> Change:
    place = chance.randrange(len(log.rows))
    state = log.rows[place].state
    return changed(
        log, place, log.rows[place]._replace(state=state[: chance.randrange(len(state))])
    )


def stamp(chance: random.Random, log: Log) -> Change:
    place = chance.randrange(len(log.rows))
    row = log.rows[place]
    by = chance.choice([-1, 1]) * chance.choice([1, 1000, 10**6, 10**9])
    return changed(log, place, row._replace(recorded_at=row.recorded_at + by))


def two(chance: random.Random, log: Log) -> tuple[int, int]:
    first, second = sorted(chance.sample(range(len(log.rows)), 2))
    return first, second


def swap_states(chance: random.Random, log: Log) -> Change:
    first, second = two(chance, log)
    rows = [*log.rows]
    rows[first] = log.rows[first]._replace(state=log.rows[second].state)
    rows[second] = log.rows[second]._replace(state=log.rows[first].state)
    return with_rows(log, rows, first + 1)


def swap_events(chance: random.Random, log: Log) -> Change:
    """Exchange two events whole: only position and stamp stay."""
    first, second = two(chance, log)
    one, other = log.rows[first], log.rows[second]
    rows = [*log.rows]
    rows[first] = other._replace(position=one.position, recorded_at=one.recorded_at)
    rows[second] = one._replace(position=other.position, recorded_at=other.recorded_at)
    return with_rows(log, rows, first + 1)


def swap_rows(chance: random.Random, log: Log) -> Change:
    first, second = two(chance, log)
    rows = [*log.rows]
    rows[first], rows[second] = rows[second], rows[first]
    return with_rows(log, rows, first + 1)


def delete(chance: random.Random, log: Log) -> Change:
    place = chance.randrange(len(log.rows))
    return with_rows(log, log.rows[:place] + log.rows[place + 1 :], place + 1)


def delete_and_close_up(chance: random.Random, log: Log) -> Change:
    place = chance.randrange(len(log.rows))
    behind = [row._replace(position=row.position - 1) for row in log.rows[place + 1 :]]
    return with_rows(log, log.rows[:place] + behind, place + 1)


def insert(chance: random.Random, log: Log) -> Change:
    """Put a copy of some event between two others, which make way for it."""
    place = chance.randrange(1, len(log.rows))
    before = log.rows[place - 1]
    new = chance.choice(log.rows)._replace(
        position=place + 1, recorded_at=before.recorded_at + 1, version=99
    )
    behind = [row._replace(position=row.position + 1) for row in log.rows[place:]]
    return with_rows(log, [*log.rows[:place], new, *behind], place + 1)


def truncate(chance: random.Random, log: Log) -> Change:
    kept = chance.randrange(len(log.rows))
    return with_rows(log, log.rows[:kept], kept + 1)


def column(chance: random.Random, log: Log) -> Change:
    place = chance.randrange(len(log.rows))
    row = log.rows[place]
    kinds = sorted({each.topic for each in log.rows} - {row.topic})
    other = chance.choice(
        [
            row._replace(stream=UUID(int=row.stream.int ^ (1 << chance.randrange(128)))),
            row._replace(version=max(row.version + chance.choice([-1, 1, 7]), 0)),
            row._replace(topic=chance.choice(kinds)),
            row._replace(actor=UUID(int=chance.getrandbits(128))),
        ]
    )
    return changed(log, place, other)


def leaf(chance: random.Random, log: Log) -> Change:
    place = chance.randrange(len(log.leaves))
    leaves = [*log.leaves]
    leaves[place] = flipped(chance, leaves[place])
    return Change(log._replace(leaves=leaves), place + 1)


def head(chance: random.Random, log: Log) -> Change:
    place = chance.randrange(len(log.heads))
    held = log.heads[place]
    wrong = chance.choice(
        [
            replace(held, root=flipped(chance, held.root)),
            replace(held, note=spoilt(chance, held.note)),
            replace(held, note=log.heads[place - 1].note),
            replace(held, size=held.size - 1),
        ]
    )
    heads = [*log.heads]
    heads[place] = wrong
    return Change(log._replace(heads=heads), wrong.size)


def spoilt(chance: random.Random, note: str) -> str:
    place = chance.randrange(len(note))
    return note[:place] + chance.choice("x9\n ") + note[place + 1 :]


# --- What is found ---

OF_ROWS: list[Callable[[random.Random, Log], Change]] = [
    state_byte,
    state_cut,
    stamp,
    swap_states,
    swap_events,
    swap_rows,
    delete,
    delete_and_close_up,
    insert,
    truncate,
]
OF_OTHERS: list[Callable[[random.Random, Log], Change]] = [column, leaf, head]


@pytest.mark.parametrize("change", [*OF_ROWS, *OF_OTHERS], ids=lambda change: change.__name__)
def test_a_change_is_found_and_its_place_named(
    log: Log, change: Callable[[random.Random, Log], Change]
) -> None:
    chance = random.Random(change.__name__)
    for _ in range(60):
        wrong, position = change(chance, log)
        if wrong == log:
            continue
        found = faults(wrong)
        assert found, (change.__name__, position)
        assert names(found[0], position), (change.__name__, position, found[0])


def names(fault: Fault, position: int) -> bool:
    """Tell whether a fault names a position, or the checkpoint of so many events."""
    return re.search(rf"\b{position}\b", fault.place) is not None


@pytest.mark.parametrize("change", OF_ROWS, ids=lambda change: change.__name__)
def test_who_makes_the_tree_anew_as_well_is_found_by_the_signed_heads(
    log: Log, change: Callable[[random.Random, Log], Change]
) -> None:
    """Such a forger leaves it at the two checkpoints that the place lies between."""
    chance = random.Random(f"again {change.__name__}")
    for _ in range(30):
        wrong, position = change(chance, log)
        if wrong == log:
            continue
        found = faults(wrong._replace(leaves=leaves_of(wrong.rows)))
        heads = [fault for fault in found if "checkpoint of" in str(fault)]
        assert heads, (change.__name__, position)
        first, last = bounds(log, heads[0])
        assert first <= position <= last, (change.__name__, position, heads[0])


def bounds(log: Log, fault: Fault) -> tuple[int, int]:
    """Tell between which positions the change is by a fault."""
    between = re.search(r"something among positions (\d+) to (\d+)", fault.what)
    assert between
    return int(between[1]), int(between[2])


def test_where_a_signature_knows_it_is_said_which_of_the_two_was_changed(log: Log) -> None:
    leaves = [bytes(32), *log.leaves[1:]]
    assert faults(log._replace(leaves=leaves))[0].what.endswith("the leaf was changed")
    rows = [log.rows[0]._replace(state=log.rows[0].state + b" "), *log.rows[1:]]
    assert faults(log._replace(rows=rows))[0].what.endswith("one of them was changed")


def test_of_very_many_faults_the_first_are_told_and_the_others_counted(log: Log) -> None:
    check = LogCheck(lambda _: bytes(32), iter(()))
    for row in log.rows:
        check.add(row)
    assert len(check.end()) == 20
    assert check.untold == len(log.rows) - 20


def test_a_note_of_a_stranger_is_no_checkpoint(log: Log) -> None:
    stranger = Signer.generate("test", bytes(32))
    size = log.heads[0].size
    note = sign_checkpoint(Checkpoint(ORIGIN, size, log.heads[0].root), [stranger])
    heads = [replace(log.heads[0], note=note), *log.heads[1:]]
    assert names(faults(log._replace(heads=heads))[0], size)


def test_without_a_tree_the_order_of_positions_and_stamps_is_still_checked(log: Log) -> None:
    bare = log._replace(leaves=[], heads=[])
    row, before = log.rows[9], log.rows[8]
    same_stamp = changed(bare, 9, row._replace(recorded_at=before.recorded_at)).log
    assert "is not after" in faults(same_stamp)[0].what
    twice = bare._replace(rows=[*log.rows[:10], row, *log.rows[10:]])
    assert faults(twice)[0] == Fault("position 10", "stands behind position 10")
    gap = bare._replace(rows=[*log.rows[:9], *log.rows[12:]])
    assert faults(gap)[0] == Fault("position 10 to 12", "missing")
    assert faults(bare._replace(rows=log.rows[1:]))[0] == Fault("position 1", "missing")


def test_a_tree_that_is_longer_than_the_log_shows_its_end_missing(log: Log) -> None:
    [fault] = faults(log._replace(rows=log.rows[:-1], heads=[]))
    assert fault.place == f"position {len(log.rows)}"
    assert fault.what == f"missing: the ledger ends, but liveops_tree holds {len(log.rows)}"


def test_the_last_event_of_a_checkpoint_is_vouched_for_too(log: Log) -> None:
    size = log.heads[0].size
    leaves = [*log.leaves[: size - 1], bytes(32), *log.leaves[size:]]
    [fault] = faults(log._replace(leaves=leaves, heads=log.heads[:1]))
    assert fault.what.endswith("the leaf was changed")
