"""Bundles of a made-up ledger, and single changes to them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from uuid import UUID

import orjson

from ledger.bundle import TILE, Contents, Part, Repeat, part_of, write
from ledger.content import Content
from ledger.events import Cause, ConfigCreated, encode, envelope
from ledger.merkle import leaf_hash, root_of
from ledger.notes import Checkpoint, Signer, sign_checkpoint

ORIGIN = "liveops-ledger/018f0000-0000-7000-8000-000000000001"
SIGNER = Signer.generate(ORIGIN, bytes(range(32)))
STRANGER = Signer.generate(ORIGIN, bytes(32))
KEY = SIGNER.verifier.text()
START = 1_767_225_600_000_000
SIZE = TILE + 44


@cache
def events(count: int = SIZE) -> tuple[bytes, ...]:
    """Envelopes as a ledger has them: a config each, with reasons that are not plain text."""
    return tuple(_event(position) for position in range(1, count + 1))


def _event(position: int) -> bytes:
    where = {"scope": "world", "scope_ref": f"w{position % 7}"}
    data = {"name": f"config {position}", **where, "payload": {}}
    created = ConfigCreated(UUID(int=position), 1, Content.from_json(data))
    reason = f'because, \u2028in line {position}, of\n"drägon\'s" hoard \N{DRAGON}'
    cause = Cause(UUID(int=99), reason, UUID(int=position), UUID(int=position))
    state = encode(created, UUID(int=1000 + position), cause)
    return envelope(position, START + position * 1_000_000, state)


def note(size: int, *signers: Signer, of: Sequence[bytes] | None = None) -> str:
    """Sign the tree of the first events."""
    root = root_of(map(leaf_hash, (of or events(max(size, SIZE)))[:size]))
    return sign_checkpoint(Checkpoint(ORIGIN, size, root), signers or (SIGNER,))


def contents(
    count: int = SIZE, *, of: Sequence[bytes] | None = None, repeat: Repeat | None = None
) -> Contents:
    """Put together what a bundle of the first events is made of."""
    wanted = (of or events(max(count, SIZE)))[:count]

    def tile(first: int, most: int) -> bytes:
        return b"".join(map(leaf_hash, wanted[first : first + most]))

    return Contents(ORIGIN, count, wanted, tile, note(count, of=of), (KEY,), repeat)


@cache
def lines(*, answered: bool = False) -> tuple[bytes, ...]:
    """Write the bundle, line by line."""
    repeat = Repeat("dG9rZW4", b'{"values":{},"token":"dG9rZW4"}') if answered else None
    return tuple(cut(b"".join(write(contents(repeat=repeat)))))


def cut(text: bytes) -> list[bytes]:
    """Cut a text into lines at newlines only."""
    *whole, rest = text.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


# --- Single changes ---


@dataclass(frozen=True, slots=True)
class Change:
    """A bundle that was changed in one way: how, and the first line that is not what it was."""

    how: str
    text: bytes
    line: int


def change(random: Random, original: Sequence[bytes]) -> Change:
    """Change a bundle in one way or another."""
    how = random.choice(tuple(CHANGES))
    text = CHANGES[how](random, list(original))
    return Change(how, text, first_difference(original, text))


def first_difference(original: Sequence[bytes], text: bytes) -> int:
    """Number the first line that differs, from 1."""
    changed = cut(text)
    pairs = enumerate(zip(original, changed, strict=False), 1)
    shorter = min(len(original), len(changed)) + 1
    return next((number for number, (old, new) in pairs if old != new), shorter)


def _one_byte(random: Random, lines: list[bytes]) -> bytes:
    text = bytearray(b"".join(lines))
    at = random.randrange(len(text))
    text[at] ^= random.randrange(1, 256)
    return bytes(text)


def _byte_gone(random: Random, lines: list[bytes]) -> bytes:
    text = b"".join(lines)
    at = random.randrange(len(text))
    return text[:at] + text[at + 1 :]


def _byte_more(random: Random, lines: list[bytes]) -> bytes:
    text = b"".join(lines)
    at = random.randrange(len(text) + 1)
    return text[:at] + random.randbytes(1) + text[at:]


def _byte_of_an_ending(random: Random, lines: list[bytes]) -> bytes:
    # Few bytes are not in events; these would hardly ever be hit.
    few = [index for index, line in enumerate(lines) if part_of(line) is not Part.EVENT]
    index = random.choice(few)
    lines[index] = _one_byte(random, [lines[index]])
    return b"".join(lines)


def _line_gone(random: Random, lines: list[bytes]) -> bytes:
    del lines[random.randrange(len(lines))]
    return b"".join(lines)


def _line_twice(random: Random, lines: list[bytes]) -> bytes:
    lines.insert(random.randrange(len(lines) + 1), random.choice(lines))
    return b"".join(lines)


def _line_forged(random: Random, lines: list[bytes]) -> bytes:
    at = random.randrange(1, len(lines) + 1)
    lines.insert(at, _event(random.randrange(1, 2 * SIZE)).replace(b"config", b"forged") + b"\n")
    return b"".join(lines)


def _event_forged(random: Random, lines: list[bytes]) -> bytes:
    at = random.choice([n for n, line in enumerate(lines) if part_of(line) is Part.EVENT])
    lines[at] = lines[at].replace(b"config", b"forged")
    return b"".join(lines)


def _swapped(random: Random, lines: list[bytes]) -> bytes:
    one, other = random.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _neighbours_swapped(random: Random, lines: list[bytes]) -> bytes:
    one = random.randrange(len(lines) - 1)
    lines[one], lines[one + 1] = lines[one + 1], lines[one]
    return b"".join(lines)


def _moved(random: Random, lines: list[bytes]) -> bytes:
    line = lines.pop(random.randrange(len(lines)))
    lines.insert(random.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _truncated(random: Random, lines: list[bytes]) -> bytes:
    text = b"".join(lines)
    return text[: random.randrange(len(text))]


def _cut_off(random: Random, lines: list[bytes]) -> bytes:
    return b"".join(lines[: random.randrange(1, len(lines))])


def _older_checkpoint(random: Random, lines: list[bytes]) -> bytes:
    at = next(n for n, line in enumerate(lines) if part_of(line) is Part.CHECKPOINT)
    lines[at] = orjson.dumps({"checkpoint": note(random.randrange(1, SIZE))}) + b"\n"
    return b"".join(lines)


def _other_key(random: Random, lines: list[bytes]) -> bytes:
    at = next(n for n, line in enumerate(lines) if part_of(line) is Part.KEYS)
    stranger = Signer.generate(ORIGIN, random.randbytes(32))
    lines[at] = orjson.dumps({"keys": [stranger.verifier.text()]}) + b"\n"
    return b"".join(lines)


def _hash_forged(random: Random, lines: list[bytes]) -> bytes:
    at = random.choice([n for n, line in enumerate(lines) if part_of(line) is Part.LEAVES])
    listed = orjson.loads(lines[at])
    index = random.randrange(len(listed["sha256"]))
    listed["sha256"][index] = random.randbytes(32).hex()
    lines[at] = orjson.dumps(listed) + b"\n"
    return b"".join(lines)


def _signature_forged(random: Random, lines: list[bytes]) -> bytes:
    at = next(n for n, line in enumerate(lines) if part_of(line) is Part.CHECKPOINT)
    text = orjson.loads(lines[at])["checkpoint"].rpartition(" ")[0]
    signed = b64encode(SIGNER.verifier.key_id + random.randbytes(64)).decode()
    lines[at] = orjson.dumps({"checkpoint": f"{text} {signed}\n"}) + b"\n"
    return b"".join(lines)


CHANGES: dict[str, Callable[[Random, list[bytes]], bytes]] = {
    "a byte changed": _one_byte,
    "a byte removed": _byte_gone,
    "a byte inserted": _byte_more,
    "a byte changed in a line that is no event": _byte_of_an_ending,
    "a line removed": _line_gone,
    "a line repeated": _line_twice,
    "a line inserted": _line_forged,
    "an event rewritten": _event_forged,
    "two lines swapped": _swapped,
    "neighbours swapped": _neighbours_swapped,
    "a line moved": _moved,
    "truncated": _truncated,
    "truncated behind a line": _cut_off,
    "an older checkpoint": _older_checkpoint,
    "another key": _other_key,
    "a hash replaced": _hash_forged,
    "a signature replaced": _signature_forged,
}
