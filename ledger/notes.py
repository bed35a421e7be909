"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint): who vouches for which root.

A note is text, an empty line, and a line for each key that signed the text:

    liveops-ledger/<id>                 the origin: which log
    1204                                how many events it has
    <base64>                            the root of their tree

    — liveops-ledger/<id> <base64>        which key, its id, and its signature

A key has a name, and an id of four bytes that follows from its name and its public half. To
change keys, sign with both for a while: who knows either can check, and passes over the other.
Every text here has one spelling; another is refused, so that what is equal is equal byte for byte.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.errors import LedgerError
from ledger.merkle import EMPTY_ROOT, HASH_BYTES, LARGEST_SIZE, Hash

ED25519 = b"\x01"
"""The type of key in front of its bytes; no other is used here."""
KEY_BYTES = 32
MOST_SIGNATURES = 100
LONGEST_NOTE = 1_000_000
"""Characters: what is read before anything in it can be trusted has a limit."""

_PRIVATE = "PRIVATE+KEY+"
_DASH = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteRefused(LedgerError):
    """The note or the key cannot be used, or nobody known has signed it."""

    status = 422
    slug = "note-refused"


# --- Keys ---


@dataclass(frozen=True)
class Verifier:
    """The public half of a key: `<name>+<key id>+<base64>` is all that an auditor needs."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _named(self.name)
        _sized(self.public, "A public key")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a verifier key; its id must be the one that follows from name and key."""
        found = cls(*_key_parts(text, "A verifier key is <name>+<8 hex digits>+<base64>"))
        if found.text() != text:
            raise NoteRefused(
                f"The verifier key of {found.name} is damaged: its id is not its own."
            )
        return found

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart; no proof of anything."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def text(self) -> str:
        """Write the key as it is handed to auditors."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(ED25519 + self.public)}"

    def accepts(self, text: str, signature: bytes) -> bool:
        """Say whether this key made that signature of this text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """A whole key: whoever has it can vouch for any root. It is not shown when printed."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _named(self.name)
        _sized(self.seed, "A key's seed")

    @classmethod
    def generate(cls, name: str, seed: bytes) -> Self:
        """Make a key of 32 random bytes, which the caller brings."""
        return cls(name, seed)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a private key; nothing of it is in what is refused."""
        form = f"A private key is {_PRIVATE}<name>+<8 hex digits>+<base64>"
        if not text.startswith(_PRIVATE):
            raise NoteRefused(f"{form}; this does not begin so.")
        found = cls(*_key_parts(text.removeprefix(_PRIVATE), form))
        if found.text() != text:
            raise NoteRefused(f"The private key of {found.name} is damaged: its id is not its own.")
        return found

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self._private().public_key().public_bytes_raw())

    def text(self) -> str:
        """Write the whole key, to be kept where nobody else can read it."""
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{_base64(ED25519 + self.seed)}"

    def sign(self, text: str) -> bytes:
        """Sign this text: the same text always gives the same 64 bytes."""
        return self._private().sign(text.encode())

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def _key_parts(text: str, form: str) -> tuple[str, bytes]:
    # The key in base64 may have plus signs of its own.
    name, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    key = _from_base64(encoded)
    if key is None or key[:1] != ED25519:
        raise NoteRefused(f"{form}, for Ed25519, on one line; this is not.")
    return name, key[1:]


# --- Notes ---


class Signature(NamedTuple):
    """One signature line: unchecked."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def key(self) -> str:
        """The key that is said to have signed."""
        return f"{self.name}+{self.key_id.hex()}"


def sign_note(text: str, signers: Sequence[Signer]) -> str:
    """Sign a text with each of these keys, in their order."""
    _clean(text)
    if not text.endswith("\n"):
        raise NoteRefused("The text of a note ends with the end of a line; this does not.")
    if not signers or len(signers) > MOST_SIGNATURES or len(set(signers)) < len(signers):
        raise NoteRefused(f"A note is signed by 1 to {MOST_SIGNATURES} keys, by each of them once.")
    return text + "\n" + "".join(_line(signer, text) for signer in signers)


def _line(signer: Signer, text: str) -> str:
    return f"{_DASH}{signer.name} {_base64(signer.verifier.key_id + signer.sign(text))}\n"


def read_note(note: str | bytes) -> tuple[str, list[Signature]]:
    """Take a note apart. Nothing is checked but its form: trust neither text nor names."""
    text, empty, lines = _clean(note).rpartition("\n\n")
    if not empty:
        raise NoteRefused("A note is text, an empty line, and signatures; this has no empty line.")
    if not lines.endswith("\n"):
        raise NoteRefused(
            "The note breaks off: there is no signature line with its end at the end."
        )
    signed_by = lines[:-1].split("\n")
    if len(signed_by) > MOST_SIGNATURES:
        raise NoteRefused(f"The note has more than {MOST_SIGNATURES} signatures.")
    return text + "\n", [_signature(line) for line in signed_by]


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    signed = _from_base64(encoded)
    if not line.startswith(_DASH) or not _nameable(name) or signed is None or len(signed) < 5:
        raise NoteRefused(
            f"This line of the note is not '{_DASH}<key name> <base64>': {line[:120]!r}."
        )
    return Signature(name, signed[:4], signed[4:])


def signers_of(note: str | bytes, verifiers: Iterable[Verifier]) -> tuple[str, list[Verifier]]:
    """Open a note and give the known keys that signed it, in the order of their lines.

    Keys that are not known are passed over, whatever they claim. A wrong signature of a known
    key is refused even where another is right: someone has changed something.
    """
    text, signatures = read_note(note)
    known = _by_id(verifiers)
    signed: dict[Verifier, None] = {}
    for signature in signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier and not verifier.accepts(text, signature.signature):
            raise NoteRefused(f"The signature of {signature.key} is wrong: the note was changed.")
        if verifier:
            signed[verifier] = None
    if not signed:
        raise NoteRefused(
            "No known key has signed the note. It names"
            f" {_listed(signature.key for signature in signatures)}; known are"
            f" {_listed(f'{name}+{key_id.hex()}' for name, key_id in known) or 'none'}."
        )
    return text, list(signed)


def open_note(note: str | bytes, verifiers: Iterable[Verifier]) -> tuple[str, tuple[str, ...]]:
    """Open a note: its text, and the name of each known key that signed it."""
    text, signed = signers_of(note, verifiers)
    return text, tuple(verifier.name for verifier in signed)


def _by_id(verifiers: Iterable[Verifier]) -> dict[tuple[str, bytes], Verifier]:
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        same = known.setdefault((verifier.name, verifier.key_id), verifier)
        if same != verifier:
            raise NoteRefused(
                f"Two different keys are called {verifier.name}+{verifier.key_id.hex()}: take one."
            )
    return known


# --- Checkpoints ---


@dataclass(frozen=True)
class Checkpoint:
    """How many events a log has, and the root of their tree.

    `extensions` are lines that another log may add; ours has none.
    """

    origin: str
    size: int
    root: Hash
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or "\n" in line:
                raise NoteRefused("A checkpoint's lines are not empty, and each is one line.")
            _clean(line)
        if not 0 <= self.size <= LARGEST_SIZE:
            raise NoteRefused("A checkpoint's size is from 0 to 2^63 - 1.")
        _sized(self.root, "A checkpoint's root")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise NoteRefused("A checkpoint of no events has the root of the empty tree.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a checkpoint. Open its note first: this checks no signature."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1]:
            raise NoteRefused("A checkpoint is three lines or more: origin, size and root.")
        origin, size, encoded, *extensions = lines[:-1]
        if not _SIZE.fullmatch(size):
            raise NoteRefused(
                f"The second line of a checkpoint is its size in digits, not {size[:40]!r}."
            )
        root = _from_base64(encoded)
        if root is None or len(root) != HASH_BYTES:
            raise NoteRefused(
                f"The third line of a checkpoint is its root in base64, not {encoded[:80]!r}."
            )
        return cls(origin, int(size), root, tuple(extensions))

    def text(self) -> str:
        """Write the checkpoint as it is signed."""
        lines = (self.origin, str(self.size), _base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[Signer]) -> str:
    """Sign a checkpoint as a note."""
    return sign_note(checkpoint.text(), signers)


def open_checkpoint(
    note: str | bytes, verifiers: Iterable[Verifier], origin: str | None = None
) -> Checkpoint:
    """Open the note of a checkpoint; of the log that is asked about, where that is named."""
    checkpoint = Checkpoint.parse(signers_of(note, verifiers)[0])
    if origin is not None and checkpoint.origin != origin:
        raise NoteRefused(
            f"The checkpoint is of another log, {checkpoint.origin}; asked for is {origin}."
        )
    return checkpoint


# --- Spelling ---


def _clean(note: str | bytes) -> str:
    if len(note) > LONGEST_NOTE:
        raise NoteRefused(f"No note has more than {LONGEST_NOTE:,} characters.")
    try:
        text = note.decode() if isinstance(note, bytes) else note
        text.encode()
    except UnicodeError:
        raise NoteRefused("A note is text in UTF-8; this is not.") from None
    if found := _CONTROL.search(text):
        raise NoteRefused(f"A note has no control characters; this has {found[0]!r}.")
    return text


def _nameable(name: str) -> bool:
    return bool(name) and "+" not in name and not any(letter.isspace() for letter in name)


def _named(name: str) -> None:
    _clean(name)
    if not _nameable(name):
        raise NoteRefused(f"A key's name is without spaces and plus signs, not {name[:80]!r}.")


def _sized(value: bytes, what: str) -> None:
    if len(value) != KEY_BYTES:
        raise NoteRefused(f"{what} has {KEY_BYTES} bytes; here are {len(value)}.")


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


def _from_base64(text: str) -> bytes | None:
    """Decode what `_base64` writes, to the last bit; anything else is None."""
    try:
        value = b64decode(text, validate=True)
    except ValueError:
        return None
    return value if _base64(value) == text else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
