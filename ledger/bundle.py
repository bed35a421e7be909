"""A bundle: a prefix of the ledger in one text file, with the proof that it is what was signed.

One line each, in this order; `docs/reference/bundle.md` is the format's page:

    {"format":"liveops-bundle/1","origin":…,"size":n}
    an event's envelope, byte for byte                              n of them, and behind each 256
    {"leaves":first,"sha256":[…]}                                   the hashes that they must have
    {"checkpoint":…}                                                the signed tree head of size n
    {"keys":[…]}                                                    the public keys that signed it
    {"token":…} {"answer":…}                                        if an answer is to be repeated
    {"end":{"lines":…,"sha256":{…}}}                                what each other line hashes to

Events are proved by the checkpoint; the listed hashes tell *which* event is wrong, and the end
line does so for the lines that are no events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

import orjson

from ledger.merkle import HASH_BYTES, Hash

FORMAT = "liveops-bundle/1"

TILE = 256
"""So many hashes are on a line: those of one tile of the tree."""

LONGEST_LINE = 16 << 20
"""No bundle has a longer line; more of it is not read."""


class Part(StrEnum):
    """The kinds of line."""

    HEADER = "format"
    EVENT = "event"
    LEAVES = "leaves"
    CHECKPOINT = "checkpoint"
    KEYS = "keys"
    TOKEN = "token"  # noqa: S105 - the name of a line
    ANSWER = "answer"
    END = "end"


SEALED = (Part.HEADER, Part.CHECKPOINT, Part.KEYS, Part.TOKEN, Part.ANSWER)
"""The lines whose hashes are in the end line."""

_PREFIXES = {b'{"%s":' % part.encode(): part for part in Part if part is not Part.EVENT}
_EVENT = b'{"position":'


class Repeat(NamedTuple):
    """An answer, as it was given, and the token that it carried."""

    token: str
    answer: bytes


class Contents(NamedTuple):
    """What a bundle is made of.

    `events` are envelopes in order; `tile` gives the hashes of the leaves behind a number of
    them, at most so many, one after the other: as the tree has them, not made from the events.
    """

    origin: str
    size: int
    events: Iterable[bytes]
    tile: Callable[[int, int], bytes]
    checkpoint: str
    keys: Sequence[str]
    repeat: Repeat | None = None


def part_of(line: bytes) -> Part | None:
    """Tell what a line is by how it begins; None for what no bundle has."""
    if line.startswith(_EVENT):
        return Part.EVENT
    return next((part for prefix, part in _PREFIXES.items() if line.startswith(prefix)), None)


def write(contents: Contents) -> Iterator[bytes]:
    """Write a bundle, a tile of events at a time; only those are held."""
    line = header_line(contents.origin, contents.size)
    seals = {Part.HEADER: seal(line)}
    count = 1
    yield line + b"\n"
    left = iter(contents.events)
    for first in range(0, contents.size, TILE):
        # As many hashes as there must be events: of one that is not there, they tell.
        events = list(islice(left, TILE))
        hashes = contents.tile(first, min(TILE, contents.size - first))
        leaves = leaves_line(first + 1, hashes_in(hashes))
        count += len(events) + 1
        yield b"".join(event + b"\n" for event in events) + leaves + b"\n"
    for part, line in _ending(contents):
        seals[part] = seal(line)
        count += 1
        yield line + b"\n"
    yield end_line(count, seals) + b"\n"


def _ending(contents: Contents) -> Iterator[tuple[Part, bytes]]:
    yield Part.CHECKPOINT, orjson.dumps({"checkpoint": contents.checkpoint})
    yield Part.KEYS, orjson.dumps({"keys": list(contents.keys)})
    if contents.repeat is not None:
        yield Part.TOKEN, orjson.dumps({"token": contents.repeat.token})
        yield Part.ANSWER, b'{"answer":%s}' % contents.repeat.answer


def header_line(origin: str, size: int) -> bytes:
    """Write the first line."""
    return orjson.dumps({"format": FORMAT, "origin": origin, "size": size})


def leaves_line(first: int, leaves: Iterable[Hash]) -> bytes:
    """Write the hashes of the leaves of events in a row, the first one's position before them."""
    return orjson.dumps({"leaves": first, "sha256": [leaf.hex() for leaf in leaves]})


def end_line(lines: int, seals: Mapping[Part, str]) -> bytes:
    """Write the last line: how many are above it, and the hashes of those that are no events."""
    sealed = {part.value: seals[part] for part in SEALED if part in seals}
    return orjson.dumps({"end": {"lines": lines, "sha256": sealed}})


def hashes_in(tile: bytes) -> list[Hash]:
    """Cut a tile into its hashes."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def seal(line: bytes) -> str:
    """Hash a line, without its newline, as the end line has it."""
    return sha256(line).hexdigest()


def lines_in(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut what arrives in pieces into lines, each with its newline if it has one.

    A line longer than any bundle has is given in pieces, for that is no reason to hold it.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
        if len(rest) > LONGEST_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest
