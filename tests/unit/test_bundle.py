"""Bundles: whole ones pass, and of changed ones the place is named."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from ledger.bundle import (
    SEALED,
    TILE,
    Part,
    end_line,
    leaves_line,
    lines_in,
    part_of,
    seal,
    write,
)
from ledger.bundle_check import Report, Trust, check
from ledger.bundle_faults import Kind
from ledger.merkle import leaf_hash, root_of
from ledger.notes import Checkpoint, NoteRefused, sign_checkpoint
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

verify_bundle: Any = import_module("docs.verify_bundle")
PROGRAM = Path(verify_bundle.__file__)


def _checked(*texts: bytes, trust: Trust | None = None) -> Report:
    return check(cut(b"".join(texts)), trust)


def _refusal(text: bytes, keys: Sequence[str] = (), notes: Sequence[str] = ()) -> str | None:
    """Ask the other verifier: why it refuses, or None."""
    try:
        verify_bundle.verify(cut(text), set(map(verify_bundle.read_key, keys)), list(notes))
    except SystemExit as refused:
        return str(refused)
    return None


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
@pytest.mark.parametrize("part", range(5))
def test_single_changes_are_seen_and_their_place_named(part: int, answered: bool) -> None:
    original = lines(answered=answered)
    random, whole = Random(f"{part} {answered}"), b"".join(original)
    changes = [change(random, original) for _ in range(120)]
    for changed in (each for each in changes if each.text != whole):
        faults = _checked(changed.text).faults
        assert faults, changed.how
        # A newline that is lost or won shifts lines by one.
        near = abs(faults[0].line - changed.line) <= 1
        # Only their seal can speak against a token and an answer, and the reverse.
        sealed = faults[0].part in {Part.TOKEN, Part.ANSWER} and changed.line == len(original)
        assert near or sealed, (changed.how, changed.line, faults[0])
        refusal = _refusal(changed.text) or ""
        named = re.search(r"Line (\d+)", refusal)
        assert named is not None, changed.how
        near = abs(int(named[1]) - changed.line) <= 1
        assert near or f"line {changed.line} " in refusal, (changed.how, changed.line, refusal)


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


def test_the_page_tells_of_every_line_and_every_kind_of_fault() -> None:
    page = (PROGRAM.parent / "reference" / "bundle.md").read_text(encoding="utf-8")
    first = {line[: line.index(b":")].decode() for line in lines(answered=True)}
    assert [member for member in first if f"`{member}" not in page] == []
    assert [kind for kind in Kind if f"| `{kind}` |" not in page] == []


# --- The other verifier ---


def test_the_other_verifier_is_short_and_needs_only_the_standard_library() -> None:
    text = PROGRAM.read_text(encoding="utf-8")
    imported = re.findall(r"^(?:import|from) ([\w, ]+?)(?: import.*)?$", text, re.MULTILINE)
    names = {name for line in imported for name in line.split(", ")}
    assert len(text.splitlines()) <= 150
    assert "json" in names
    assert names <= sys.stdlib_module_names


@pytest.mark.parametrize("count", [1, 2, TILE - 1, TILE, TILE + 1, SIZE])
def test_the_other_verifier_accepts_whole_bundles(count: int) -> None:
    whole = b"".join(write(contents(count)))
    assert _refusal(whole) is None
    assert _refusal(whole, [KEY], [note(1), note(count)]) is None


def test_the_other_verifier_wants_the_auditors_key_and_what_was_seen_before() -> None:
    whole = b"".join(write(contents(FEW)))
    assert "did not" in (_refusal(whole, [STRANGER.verifier.text()]) or "")
    assert "does not continue" in (_refusal(whole, [KEY], [note(FEW + 1)]) or "")
    assert "Line 304" in (_refusal(b"".join(_resealed(events(), note(9)))) or "")


def test_the_other_verifier_sees_a_forger_who_lists_hashes_anew() -> None:
    forged = [*events()[:9], events()[9].replace(b"config", b"forged"), *events()[10:]]
    assert "Line 304" in (_refusal(b"".join(_resealed(forged, note(SIZE)))) or "")
    rewritten = b"".join(write(contents(FEW, of=forged[5:])))
    assert "does not continue" in (_refusal(rewritten, [KEY], [note(3)]) or "")


# RFC 8032, section 7.1: key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
        "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
        "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290"
        "ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_other_verifier_knows_the_signatures_of_rfc_8032(
    key: str, message: str, signature: str
) -> None:
    text, signed = bytes.fromhex(message), bytes.fromhex(signature)
    assert verify_bundle.is_signed(text, bytes.fromhex(key), signed)
    assert not verify_bundle.is_signed(text + b"!", bytes.fromhex(key), signed)
    order = int.from_bytes(signed[32:], "little") + verify_bundle.ORDER
    other = signed[:32] + order.to_bytes(32, "little")
    assert not verify_bundle.is_signed(text, bytes.fromhex(key), other)


# --- Forgers who know the format ---


def _ended(texts: Sequence[bytes]) -> list[bytes]:
    """Write the end line anew, as it must be behind these lines."""
    above = [text for text in texts if part_of(text) is not Part.END]
    seals = {part: seal(text[:-1]) for text in above if (part := part_of(text)) in SEALED and part}
    return [*above, end_line(len(above), seals) + b"\n"]


def _both_refuse(texts: Sequence[bytes], trust: Trust | None = None) -> bool:
    trust = trust or Trust()
    refusal = _refusal(b"".join(texts), trust.keys, trust.checkpoints)
    return bool(_checked(*texts, trust=trust).faults) and refusal is not None


def test_the_end_is_no_proof() -> None:
    assert not _both_refuse(_ended(lines()))
    for position in (1, TILE, SIZE):
        texts = list(lines())
        _changed(texts, _line_of(position) - 1)
        assert _both_refuse(_ended(texts))


def test_lists_of_hashes_are_of_whole_tiles() -> None:
    texts = list(lines()[: 1 + 100])
    texts.append(leaves_line(1, map(leaf_hash, events()[:100])) + b"\n")
    rest = (event + b"\n" for event in events()[100:TILE])
    texts += [*rest, leaves_line(101, map(leaf_hash, events()[100:TILE])) + b"\n"]
    assert _both_refuse(_ended([*texts, *lines()[TILE + 2 :]]))
    long = leaves_line(1, map(leaf_hash, events()[: TILE + 1])) + b"\n"
    assert _both_refuse(_ended([lines()[0], *(e + b"\n" for e in events()[: TILE + 1]), long]))


@pytest.mark.parametrize("part", [Part.CHECKPOINT, Part.KEYS, Part.ANSWER, Part.TOKEN])
def test_a_line_that_must_be_there_is(part: Part) -> None:
    texts = [text for text in lines(answered=True) if part_of(text) is not part]
    assert _refusal(b"".join(texts)) is not None
    fault = _checked(*texts).faults[0]
    if part in {Part.CHECKPOINT, Part.KEYS}:
        assert (fault.part, fault.kind) == (part, Kind.MISSING)
        assert part_of(lines(answered=True)[fault.line - 1]) is part


@pytest.mark.parametrize("part", [Part.HEADER, Part.CHECKPOINT, Part.KEYS])
def test_lines_have_one_spelling(part: Part) -> None:
    texts = [text.replace(b'":', b'": ', 1) if part_of(text) is part else text for text in lines()]
    assert _checked(*_ended(texts)).faults


def test_without_lists_of_hashes_not_all_of_a_bundle_is_held() -> None:
    texts = [text for text in write(contents(4 * TILE)) for text in cut(text)]
    fault = _checked(*(text for text in texts if part_of(text) is not Part.LEAVES)).faults[0]
    assert (fault.part, fault.kind) == (Part.LEAVES, Kind.MISSING)
    assert fault.line < 3 * TILE


@pytest.mark.parametrize("cut_off", [1, 60, 5000])
def test_a_line_that_breaks_off_is_told_from_one_that_was_changed(cut_off: int) -> None:
    text = b"".join(lines())[:-cut_off]
    fault = _checked(text).faults[0]
    assert (fault.kind, fault.line) == (Kind.TRUNCATED, len(cut(text)))


def test_a_checkpoint_of_another_ledger_is_not_continued() -> None:
    root = root_of(map(leaf_hash, events()[:9]))
    other = sign_checkpoint(Checkpoint("another-ledger", 9, root), [SIGNER])
    assert _both_refuse(lines(), Trust(checkpoints=(other,)))


def test_a_key_that_is_not_its_own_id_is_none() -> None:
    name, key_id, key = KEY.split("+", 2)
    texts = [*write(contents(FEW)._replace(keys=(f"{name}+{key_id[::-1]}+{key}",)))]
    assert _both_refuse(cut(b"".join(texts)))
    with pytest.raises(ValueError, match="not a key"):
        verify_bundle.read_key(f"{name}+{key_id[::-1]}+{key}")


def test_every_listed_key_has_signed() -> None:
    texts = [*write(contents(FEW)._replace(keys=(KEY, STRANGER.verifier.text())))]
    assert _both_refuse(cut(b"".join(texts)))


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
        b"".join((*lines()[:-2], b'{"keys":' + b"[" * 100_000 + b"\n", lines()[-1])),
        b"".join((*lines()[:-1], b'{"end":' + b"[" * 100_000 + b"\n")),
    ],
)
def test_what_is_no_bundle_is_refused_with_words(text: bytes) -> None:
    report = _checked(text)
    assert report.faults
    assert all(fault.words for fault in report.faults)
    assert _refusal(text) is not None


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
