"""Bundles: whole ones pass, and of changed ones the place is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import orjson
import pytest

from ledger.bundle import TILE, Part, lines_in, write
from ledger.bundle_check import Report, Trust, check
from ledger.bundle_faults import Kind
from ledger.merkle import leaf_hash
from ledger.notes import NoteRefused
from tests.bundling import (
    CHANGES,
    KEY,
    ORIGIN,
    SIGNER,
    SIZE,
    STRANGER,
    change,
    contents,
    cut,
    events,
    lines,
    note,
)

FEW = 7


def _checked(*texts: bytes, trust: Trust | None = None) -> Report:
    return check(cut(b"".join(texts)), trust)


def _first(changed: Sequence[bytes], trust: Trust | None = None) -> tuple[Part | None, Kind, int]:
    fault = _checked(*changed, trust=trust).faults[0]
    return fault.part, fault.kind, fault.line


def _resealed(of: Sequence[bytes], signed: str) -> list[bytes]:
    """Write a bundle of other events, with a checkpoint that is not theirs: all else fits."""
    return cut(b"".join(write(contents(len(of), of=of)._replace(checkpoint=signed))))


@pytest.mark.parametrize("count", [1, 2, TILE - 1, TILE, TILE + 1, SIZE])
def test_a_whole_bundle_has_no_fault(count: int) -> None:
    report = _checked(*write(contents(count)))
    assert (report.faults, report.size, report.origin) == ((), count, ORIGIN)


def test_a_bundle_is_told_what_it_is_of() -> None:
    report = _checked(*lines(answered=True))
    assert (report.first, report.last) == (
        "2026-01-01T00:00:01.000000Z",
        "2026-01-01T00:05:00.000000Z",
    )
    assert (report.token, report.keys) == ("dG9rZW4", (KEY,))
    assert report.answer == b'{"values":{},"token":"dG9rZW4"}'


def test_every_event_is_told_in_order_byte_for_byte() -> None:
    told: list[tuple[int, bytes]] = []
    check(lines(), each=lambda number, line: told.append((number, line)))
    assert told == list(enumerate(events(), 1))


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("part", range(6))
def test_single_changes_are_seen_and_their_place_named(part: int, answered: bool) -> None:
    original = lines(answered=answered)
    random, whole = Random(f"{part} {answered}"), b"".join(original)
    changes = [change(random, original) for _ in range(250)]
    for changed in (each for each in changes if each.text != whole):
        faults = _checked(changed.text).faults
        assert faults, changed.how
        # A newline that is lost or won shifts lines by one.
        near = abs(faults[0].line - changed.line) <= 1
        # Only the token's own seal can speak against a token, and the reverse.
        sealed = faults[0].part in {Part.TOKEN, Part.ANSWER} and changed.line == len(original)
        assert near or sealed, (changed.how, changed.line, faults[0])


@pytest.mark.parametrize("how", CHANGES)
def test_each_kind_of_change_is_seen(how: str) -> None:
    changed = CHANGES[how](Random(how), list(lines()))
    assert _checked(changed).faults


def _line_of(position: int) -> int:
    return 1 + position + (position - 1) // TILE


def _changed(texts: list[bytes], at: int) -> None:
    texts[at] = texts[at].replace(b"config", b"forged")


def _removed(texts: list[bytes], at: int) -> None:
    del texts[at]


def _added(texts: list[bytes], at: int) -> None:
    texts.insert(at, events()[0].replace(b"config", b"forged") + b"\n")


def _swapped(texts: list[bytes], at: int) -> None:
    texts[at], texts[at + 1] = texts[at + 1], texts[at]


@pytest.mark.parametrize("position", [1, 2, 100, TILE - 1, TILE + 1, SIZE - 1])
@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (_changed, Kind.CHANGED),
        (_removed, Kind.MISSING),
        (_added, Kind.ADDED),
        (_swapped, Kind.MOVED),
    ],
)
def test_the_event_and_what_happened_to_it_are_named(
    position: int, spoil: Callable[[list[bytes], int], None], kind: Kind
) -> None:
    texts = list(lines())
    spoil(texts, _line_of(position) - 1)
    fault = _checked(*texts).faults[0]
    assert (fault.part, fault.kind) == (Part.EVENT, kind)
    assert (fault.position, fault.line) == (position, _line_of(position))


def test_a_truncated_bundle_says_behind_which_event_it_ends() -> None:
    fault = _checked(*lines()[: _line_of(40)]).faults[0]
    assert (fault.kind, fault.position) == (Kind.TRUNCATED, 41)
    assert "behind event 40" in fault.words


def test_a_damaged_hash_does_not_blame_the_event() -> None:
    texts = list(lines())
    texts[_line_of(TILE)] = texts[_line_of(TILE)].replace(
        leaf_hash(events()[9]).hex().encode(), b"0" * 64
    )
    fault = _checked(*texts).faults[0]
    assert (fault.part, fault.position, fault.line) == (Part.LEAVES, 10, TILE + 2)
    assert "as they were signed" in fault.words


def test_a_forger_who_lists_hashes_anew_is_seen_by_the_checkpoint() -> None:
    forged = [*events()[:9], events()[9].replace(b"config", b"forged"), *events()[10:]]
    assert _first(_resealed(forged, note(SIZE))) == (Part.EVENT, Kind.CHANGED, 2)


def test_a_checkpoint_seen_before_narrows_down_where_the_forger_was() -> None:
    forged = [*events()[:9], events()[9].replace(b"config", b"forged"), *events()[10:]]
    trust = Trust(checkpoints=(note(4), note(9), note(12)))
    faults = _checked(*_resealed(forged, note(SIZE)), trust=trust).faults
    assert faults[0].position == 10
    assert any("your checkpoint of 12 events" in fault.words for fault in faults)


def test_a_ledger_signed_out_of_order_is_named() -> None:
    shuffled = [events()[1], events()[0], *events()[2:FEW]]
    report = _checked(*write(contents(FEW, of=shuffled)))
    assert (report.faults[0].kind, report.faults[0].line) == (Kind.MOVED, 2)


# --- Who signed ---


def test_the_auditors_own_key_is_what_counts() -> None:
    report = _checked(*lines(), trust=Trust((KEY,)))
    assert (report.faults, report.trusted) == ((), (KEY,))


def test_a_bundle_by_another_key_is_refused() -> None:
    stranger = STRANGER.verifier.text()
    forged = write(contents(FEW)._replace(checkpoint=note(FEW, STRANGER), keys=(stranger,)))
    whole = b"".join(forged)
    assert not _checked(whole).faults
    assert _first([whole], Trust((KEY,)))[:2] == (Part.CHECKPOINT, Kind.REFUSED)


def test_a_listed_key_that_did_not_sign_is_refused() -> None:
    keys = (KEY, STRANGER.verifier.text())
    assert _first([*write(contents(FEW)._replace(keys=keys))])[:2] == (
        Part.CHECKPOINT,
        Kind.REFUSED,
    )


def test_while_keys_change_either_will_do() -> None:
    both = write(contents(FEW)._replace(checkpoint=note(FEW, SIGNER, STRANGER)))
    whole = b"".join(both)
    for key in (KEY, STRANGER.verifier.text()):
        assert not _checked(whole, trust=Trust((key,))).faults


def test_a_bundle_without_keys_needs_the_auditors() -> None:
    whole = b"".join(write(contents(FEW)._replace(keys=())))
    assert _first([whole])[:2] == (Part.CHECKPOINT, Kind.REFUSED)
    assert not _checked(whole, trust=Trust((KEY,))).faults


# --- What the auditor has seen before ---


def test_checkpoints_seen_before_are_continued() -> None:
    trust = Trust((KEY,), (note(1), note(TILE), note(SIZE)), SIZE)
    report = _checked(*lines(), trust=trust)
    assert (report.faults, report.known) == ((), (1, TILE, SIZE))


def test_a_bundle_that_ends_before_what_was_seen_is_older() -> None:
    old = [*write(contents(FEW))]
    assert _first(old, Trust(checkpoints=(note(FEW + 1),)))[:2] == (Part.CHECKPOINT, Kind.OLDER)
    assert _first(old, Trust(size=FEW + 1))[:2] == (Part.CHECKPOINT, Kind.OLDER)
    assert not _checked(*old, trust=Trust(size=FEW)).faults


def test_a_history_rewritten_and_signed_again_is_seen_by_an_old_checkpoint() -> None:
    forged = [*events()[:2], events()[2].replace(b"config", b"forged"), *events()[3:FEW]]
    rewritten = [*write(contents(FEW, of=forged))]
    assert not _checked(*rewritten).faults
    assert not _checked(*rewritten, trust=Trust(checkpoints=(note(2),))).faults
    fault = _checked(*rewritten, trust=Trust(checkpoints=(note(3),))).faults[0]
    assert (fault.part, fault.kind) == (Part.EVENT, Kind.CHANGED)
    assert "1 to 3" in fault.words


def test_a_checkpoint_that_nobody_known_signed_proves_nothing() -> None:
    fault = _checked(*lines(), trust=Trust((KEY,), (note(4, STRANGER),))).faults[0]
    assert fault.kind is Kind.REFUSED


@pytest.mark.parametrize("trust", [Trust(("no key",)), Trust(checkpoints=("no note",))])
def test_what_an_auditor_brings_must_be_what_it_is_said_to_be(trust: Trust) -> None:
    with pytest.raises(NoteRefused):
        _checked(*lines(), trust=trust)


# --- Odd input ---


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"\xff\xfe",
        b"{}",
        b'{"format":',
        b'{"leaves":1,"sha256":["00"]}\n',
        b'{"leaves":[],"sha256":7}\n' * 3,
        b'{"position":1}\n' * 2000,
        b'{"format":1}\n{"checkpoint":1}\n{"keys":1}\n{"end":1}\n',
        b'{"format":1}\n{"checkpoint":"\\n\\n"}\n{"keys":["a"]}\n{"end":{"sha256":[]}}\n',
        b"[" * 100_000,
    ],
)
def test_what_is_no_bundle_is_refused_with_words(text: bytes) -> None:
    report = _checked(text)
    assert report.faults
    assert all(fault.words for fault in report.faults)


def test_lines_are_cut_at_newlines_only_however_they_arrive() -> None:
    whole = b"".join(lines())
    for step in (1000, 4096, len(whole)):
        pieces = (whole[at : at + step] for at in range(0, len(whole), step))
        assert tuple(lines_in(pieces)) == tuple(cut(whole))


def test_every_line_is_json_that_a_person_can_read() -> None:
    kinds = [next(iter(orjson.loads(line))) for line in lines(answered=True)]
    assert kinds[0] == "format"
    assert kinds[-5:] == ["checkpoint", "keys", "token", "answer", "end"]
    assert set(kinds[1:-5]) == {"position", "leaves"}
