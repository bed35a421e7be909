"""Signed notes and checkpoints: published vectors, real notes, and whatever may be done to them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import EMPTY_ROOT, leaf_hash
from ledger.notes import (
    Checkpoint,
    NoteRefused,
    Signer,
    Verifier,
    open_checkpoint,
    open_note,
    read_note,
    sign_checkpoint,
    sign_note,
    signers_of,
)

# The keys and the note of Go's own tests (golang.org/x/mod/sumdb/note).
PETER_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_SIGNS = (
    "\N{EM DASH} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgK"
    "vqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_SIGNS = (
    "\N{EM DASH} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01o"
    "OTGwnWLox33WWd1RvMc+QQ=\n"
)
NOTE = f"{TEXT}\n{PETER_SIGNS}"
KEYS = [Verifier.parse(PETER), Verifier.parse(ENOCH)]

# Two tree heads as the Go checksum database signed them, years apart.
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
TREES = [
    (
        31_700_353,
        "qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=",
        "Az3grnmrIUEDFqHzAElIQCPNoRFRAAdFo47fooyWKMHb89k11GJh5zHIfNCOBmwn/C3YI8oW9/C8DJ87F61QqspBYwM=",
    ),
    (
        65_209_736,
        "5+uGFjx6xBZG8ip1+wi77v+grwbhhukIrxEUS8PXvRo=",
        "Az3grnbssgK7ubgFX36gVETtNv0U23qxyAhAMai2QUfeGa3nB/akvkMdlUErfcZz7l/R3cVtYspg3dxXABkGZZKdsQ8=",
    ),
]

OLD, NEW = (Signer.generate("liveops-ledger/x", bytes([of]) * 32) for of in (1, 2))
CHECKPOINT = Checkpoint("liveops-ledger/x", 1, leaf_hash(b"one"))

seeds = st.binary(min_size=32, max_size=32)
names = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n")).map(
    lambda text: text + "\n"
)
signers = st.builds(Signer.generate, names, seeds)


# --- Published vectors ---


def test_the_note_of_gos_tests_is_signed_byte_for_byte_and_opened() -> None:
    assert sign_note(TEXT, [Signer.parse(PETER_PRIVATE)]) == NOTE
    assert Signer.parse(PETER_PRIVATE).verifier.text() == PETER
    assert open_note(NOTE, KEYS) == (TEXT, ("PeterNeumann",))
    assert open_note(NOTE.encode(), KEYS) == (TEXT, ("PeterNeumann",))


@pytest.mark.parametrize(("size", "root", "signature"), TREES)
def test_tree_heads_of_the_go_checksum_database_are_opened(
    size: int, root: str, signature: str
) -> None:
    text = f"go.sum database tree\n{size}\n{root}\n"
    note = f"{text}\n\N{EM DASH} sum.golang.org {signature}\n"
    checkpoint = open_checkpoint(note, [Verifier.parse(SUMDB)], "go.sum database tree")
    assert checkpoint == Checkpoint("go.sum database tree", size, b64decode(root))
    assert checkpoint.text() == text


def test_a_key_id_is_told_apart_by_name_and_key() -> None:
    assert KEYS[0].key_id.hex() == "c74f20a3"
    assert KEYS[1].key_id.hex() == "af0cfe78"


# --- Several keys ---


def test_each_known_key_that_signed_is_named_in_order_and_others_are_passed_over() -> None:
    both = NOTE + ENOCH_SIGNS
    assert open_note(both, KEYS[:1]) == (TEXT, ("PeterNeumann",))
    assert open_note(both, KEYS[1:]) == (TEXT, ("EnochRoot",))
    assert open_note(both, KEYS) == (TEXT, ("PeterNeumann", "EnochRoot"))
    assert open_note(f"{TEXT}\n{ENOCH_SIGNS}{PETER_SIGNS}", KEYS)[1] == (
        "EnochRoot",
        "PeterNeumann",
    )


def test_a_key_that_signed_twice_is_named_once() -> None:
    assert open_note(NOTE + PETER_SIGNS, KEYS)[1] == ("PeterNeumann",)


def test_keys_of_one_name_follow_each_other() -> None:
    note = sign_checkpoint(CHECKPOINT, [OLD, NEW])
    for known in ([OLD.verifier], [NEW.verifier]):
        assert open_checkpoint(note, known) == CHECKPOINT
        assert signers_of(note, known)[1] == known
    assert signers_of(note, [OLD.verifier, NEW.verifier])[1] == [OLD.verifier, NEW.verifier]


def test_a_note_that_no_known_key_signed_is_refused_and_says_who_did() -> None:
    with pytest.raises(NoteRefused, match=r"names PeterNeumann\+c74f20a3; known are EnochRoot"):
        open_note(NOTE, KEYS[1:])
    with pytest.raises(NoteRefused, match="known are none"):
        open_note(NOTE, [])


def test_a_name_or_an_id_alone_makes_no_key_known() -> None:
    misnamed = NOTE.replace("PeterNeumann", "CarmenSandiego")
    other_id = NOTE.replace("x08g", "xxxx")
    for note in (misnamed, other_id):
        with pytest.raises(NoteRefused, match="No known key has signed"):
            open_note(note, KEYS)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_wrong_signature_of_a_known_key_is_refused_beside_a_right_one(place: str) -> None:
    wrong = PETER_SIGNS.replace("ZJkuBS9", "ZJkuBS8")
    lines = wrong + PETER_SIGNS if place == "before" else PETER_SIGNS + wrong
    with pytest.raises(NoteRefused, match=r"signature of PeterNeumann\+c74f20a3 is wrong"):
        open_note(f"{TEXT}\n{lines}{ENOCH_SIGNS}", KEYS)


def test_a_wrong_signature_of_an_unknown_key_is_passed_over() -> None:
    wrong = ENOCH_SIGNS.replace("zmZa0", "zmZa1")
    assert open_note(NOTE + wrong, KEYS[:1]) == (TEXT, ("PeterNeumann",))


def test_a_signature_of_another_length_is_wrong() -> None:
    longer = f"{PETER_SIGNS[:60]}ABCD{PETER_SIGNS[60:]}"
    with pytest.raises(NoteRefused, match="is wrong"):
        open_note(f"{TEXT}\n{longer}", KEYS)


def colliding() -> Verifier:
    """Make another key that claims the same id; finding a real one takes four billion tries."""

    class Colliding(Verifier):
        @property
        def key_id(self) -> bytes:
            return KEYS[0].key_id

    return Colliding("PeterNeumann", OLD.verifier.public)


def test_of_two_keys_with_one_name_and_id_none_is_guessed() -> None:
    assert open_note(NOTE, [KEYS[0], KEYS[0]])[1] == ("PeterNeumann",)
    with pytest.raises(NoteRefused, match="Two different keys"):
        open_note(NOTE, [KEYS[0], colliding()])


# --- The form of a note ---


@given(texts, st.lists(signers, min_size=1, max_size=3, unique=True))
def test_what_was_signed_is_opened(text: str, by: list[Signer]) -> None:
    note = sign_note(text, by)
    assert open_note(note, [signer.verifier for signer in by]) == (
        text,
        tuple(signer.name for signer in by),
    )


@given(st.data())
def test_a_note_changed_anywhere_is_refused(data: st.DataObject) -> None:
    note = sign_checkpoint(CHECKPOINT, [OLD])
    place = data.draw(st.integers(0, len(note) - 1))
    letter = data.draw(st.characters(exclude_categories=["Cs"]))
    changes: list[Callable[[], str]] = [
        lambda: note[:place] + letter + note[place + 1 :],
        lambda: note[:place] + letter + note[place:],
        lambda: note[:place] + note[place + 1 :],
        lambda: note[:place],
    ]
    changed = data.draw(st.sampled_from(changes))()
    if changed != note:
        with pytest.raises(NoteRefused):
            open_note(changed, [OLD.verifier])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        TEXT,
        TEXT + "\n",
        TEXT + PETER_SIGNS,
        NOTE[:-1],
        NOTE + "\n",
        NOTE + "Unexpected line.\n",
        NOTE + ENOCH_SIGNS[:20],
        NOTE.replace("\N{EM DASH} ", "- "),
        NOTE.replace("\N{EM DASH} ", "\N{EM DASH}"),
        NOTE.replace("\N{EM DASH} ", ""),
        NOTE.replace(" x08go", "  x08go"),
        NOTE.replace("PeterNeumann", "Bad Name"),
        NOTE.replace("PeterNeumann", "Bad+Name"),
        NOTE.replace("PeterNeumann", "Bad\N{NO-BREAK SPACE}Name"),
        NOTE.replace("PeterNeumann", ""),
        NOTE.replace("AM=\n", "AM\n"),
        NOTE.replace("AM=\n", "AN=\n"),
        NOTE.replace("x08go/", "x08go_"),
        f"{TEXT}\n\N{EM DASH} Short x08goA==\n",
        "\x01" + NOTE,
        NOTE.replace("\n", "\r\n"),
        "\t" + NOTE,
        "\ud800" + NOTE,
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(NoteRefused, match=r"note|Note"):
        open_note(note, KEYS)
    with pytest.raises(NoteRefused):
        read_note(note)


@pytest.mark.parametrize("note", [b"\xff" + NOTE.encode(), NOTE.encode("utf-16")])
def test_bytes_that_are_no_text_are_refused(note: bytes) -> None:
    with pytest.raises(NoteRefused, match="UTF-8"):
        open_note(note, KEYS)


def test_only_so_many_signatures_and_so_long_a_note_are_read() -> None:
    assert len(read_note(f"{TEXT}\n{PETER_SIGNS * 100}")[1]) == 100
    with pytest.raises(NoteRefused, match="more than 100 signatures"):
        read_note(f"{TEXT}\n{PETER_SIGNS * 101}")
    assert read_note("a" * (1_000_000 - len(NOTE)) + NOTE)
    with pytest.raises(NoteRefused, match="more than 1,000,000"):
        read_note("a" * (1_000_001 - len(NOTE)) + NOTE)


def test_a_text_may_have_empty_lines_and_lines_like_signatures() -> None:
    for text in ("\n", "\n\n", f"a\n\nb\n{PETER_SIGNS}", NOTE):
        assert open_note(sign_note(text, [OLD]), [OLD.verifier]) == (text, ("liveops-ledger/x",))


@pytest.mark.parametrize("cut", [1, 2])
def test_signatures_of_no_text_are_no_note(cut: int) -> None:
    note = sign_note("\n", [OLD])
    with pytest.raises(NoteRefused, match="this has no empty line"):
        open_note(note[cut:], [OLD.verifier])


def test_a_signature_is_a_key_id_and_something_after_it() -> None:
    for more, read in ((b"", False), (b"s", True)):
        line = f"\N{EM DASH} name {b64encode(b'keyi' + more).decode()}\n"
        if read:
            assert read_note(f"{NOTE}{line}")[1][1].signature == more
        else:
            with pytest.raises(NoteRefused, match="This line of the note is not"):
                read_note(f"{NOTE}{line}")


def test_a_note_is_taken_apart_without_keys() -> None:
    text, signatures = read_note(NOTE + ENOCH_SIGNS)
    assert text == TEXT
    assert [each.key for each in signatures] == ["PeterNeumann+c74f20a3", "EnochRoot+af0cfe78"]
    assert [len(each.signature) for each in signatures] == [64, 64]


MANY = [Signer("n", place.to_bytes(32, "big")) for place in range(101)]


def test_as_many_keys_sign_as_are_read() -> None:
    assert len(read_note(sign_note("a\n", MANY[:100]))[1]) == 100


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("abc", [OLD]),
        ("", [OLD]),
        ("a\tb\n", [OLD]),
        ("a\ud800\n", [OLD]),
        ("a\n", []),
        ("a\n", [OLD, OLD]),
        ("a\n", MANY),
    ],
)
def test_what_would_be_no_note_is_not_signed(text: str, by: list[Signer]) -> None:
    with pytest.raises(NoteRefused):
        sign_note(text, by)


# --- Keys ---


@given(signers)
def test_keys_are_read_back(signer: Signer) -> None:
    assert Signer.parse(signer.text()) == signer
    assert Verifier.parse(signer.verifier.text()) == signer.verifier
    assert signer.verifier.accepts("hi\n", signer.sign("hi\n"))
    assert not signer.verifier.accepts("ho\n", signer.sign("hi\n"))


PARSERS: list[tuple[Callable[[str], Any], str]] = [
    (Verifier.parse, PETER),
    (Signer.parse, PETER_PRIVATE),
]


@pytest.mark.parametrize(("parse", "text"), PARSERS)
def test_any_part_of_a_key_is_refused(parse: Callable[[str], Any], text: str) -> None:
    for first in range(len(text)):
        for end in range(first + 1, len(text) + 1):
            if text[first:end] != text:
                with pytest.raises(NoteRefused):
                    parse(text[first:end])


@pytest.mark.parametrize(("parse", "text"), PARSERS)
def test_a_key_changed_in_any_letter_is_refused(parse: Callable[[str], Any], text: str) -> None:
    for place, letter in enumerate(text):
        for other in {chr(ord(letter) + 1), letter.swapcase(), " ", "+", "\n"} - {letter}:
            with pytest.raises(NoteRefused):
                parse(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        PETER.replace("c74f20a3", "C74F20A3"),
        PETER + "\n",
        " " + PETER,
    ],
)
def test_a_key_in_another_spelling_or_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused):
        Verifier.parse(text)
    with pytest.raises(NoteRefused):
        Signer.parse("PRIVATE+KEY+" + text)


def test_a_public_key_is_not_taken_for_a_private_one() -> None:
    with pytest.raises(NoteRefused, match="does not begin so"):
        Signer.parse(PETER)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\N{EM SPACE}b", "a\nb", "a\x85b", "a\ud800"])
def test_a_name_that_would_break_a_note_makes_no_key(name: str) -> None:
    with pytest.raises(NoteRefused):
        Signer.generate(name, bytes(32))
    with pytest.raises(NoteRefused):
        Verifier(name, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(NoteRefused, match=f"32 bytes; here are {length}"):
        Signer.generate("name", bytes(length))
    with pytest.raises(NoteRefused, match=f"32 bytes; here are {length}"):
        Verifier("name", bytes(length))


def test_a_private_key_is_not_shown() -> None:
    secret = b64encode(b"\x01" + b"seed" * 8).decode()
    signer = Signer.generate("name", b"seed" * 8)
    assert "seed" not in repr(signer)
    assert secret in signer.text()
    with pytest.raises(NoteRefused) as refused:
        Signer.parse(signer.text().replace("name", "nome"))
    assert secret[2:20] not in str(refused.value)


# --- Checkpoints ---


@given(
    st.text(st.characters(exclude_categories=["C"]), min_size=1),
    st.integers(1, 2**63 - 1),
    seeds,
    st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1), max_size=3),
)
def test_checkpoints_are_read_back(
    origin: str, size: int, root: bytes, extensions: list[str]
) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert Checkpoint.parse(checkpoint.text()) == checkpoint
    assert open_checkpoint(sign_checkpoint(checkpoint, [NEW]), [NEW.verifier]) == checkpoint


def test_a_checkpoint_is_three_lines() -> None:
    root = b64encode(CHECKPOINT.root).decode()
    assert CHECKPOINT.text() == f"liveops-ledger/x\n1\n{root}\n"
    largest = Checkpoint("o", 2**63 - 1, CHECKPOINT.root)
    assert Checkpoint.parse(largest.text()) == largest
    assert Checkpoint("o", 0, EMPTY_ROOT).text() == (
        "o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    )


ROOT = b64encode(CHECKPOINT.root).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n",
        "o\n1\n",
        f"o\n1\n{ROOT}",
        f"\n1\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"o\n01\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n1_0\n{ROOT}\n",
        f"o\n1 \n{ROOT}\n",
        f"o\n\u0661\n{ROOT}\n",
        f"o\n1.0\n{ROOT}\n",
        f"o\n{2**63}\n{ROOT}\n",
        f"o\n{10**40}\n{ROOT}\n",
        f"o\n0\n{ROOT}\n",
        "o\n1\n\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n {ROOT}\n",
        f"o\n1\n{ROOT[:40]}\n",
        f"o\n1\n{'A' * 44}\n",
        f"o\n1\n{CHECKPOINT.root.hex()}\n",
        f"o\n1\n{ROOT}\n\n",
        f"o\n1\n{ROOT}\n\nx\n",
        f"o\r\n1\n{ROOT}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused, match=r"checkpoint|control characters"):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Checkpoint("", 1, bytes(32)),
        lambda: Checkpoint("a\nb", 1, bytes(32)),
        lambda: Checkpoint("a\tb", 1, bytes(32)),
        lambda: Checkpoint("a", -1, bytes(32)),
        lambda: Checkpoint("a", 2**63, bytes(32)),
        lambda: Checkpoint("a", 1, bytes(31)),
        lambda: Checkpoint("a", 0, bytes(32)),
        lambda: Checkpoint("a", 1, bytes(32), ("",)),
        lambda: Checkpoint("a", 1, bytes(32), ("b\nc",)),
    ],
)
def test_a_checkpoint_that_could_not_be_read_back_is_not_made(made: Callable[[], object]) -> None:
    with pytest.raises(NoteRefused):
        made()


def test_a_checkpoint_of_another_log_is_refused_where_the_log_is_named() -> None:
    note = sign_checkpoint(CHECKPOINT, [OLD])
    assert open_checkpoint(note, [OLD.verifier], "liveops-ledger/x") == CHECKPOINT
    with pytest.raises(NoteRefused, match="of another log, liveops-ledger/x; asked for is other"):
        open_checkpoint(note, [OLD.verifier], "other")
