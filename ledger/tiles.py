"""The tree cut into tiles (C2SP tlog-tiles): files that never change once they are full.

A tile is 256 neighbouring hashes of one level; a hash of tile level 1 is the root of a full tile
of level 0, and so on up. A tree's last tiles are partial: their paths end in `.p/` and how many
hashes they have, so that each path always has the same bytes. What lies between two tile levels
is hashed again when it is asked for.

A wider version of a tile begins with the narrower: whoever keeps only the widest can serve all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ledger.errors import LedgerError
from ledger.merkle import HASH_BYTES, LARGEST_SIZE, Hash, Nodes, node_hash
from ledger.merkle import root as root_over

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_LEVELS = 8
"""Tile levels 0 to 7 hold every tree that a ledger can grow."""

LONGEST_ENTRY = 65_535
"""Bytes: the length of an entry is written in two."""

TileSource = Callable[[int, int, int], bytes]
"""(level, number, width) -> the hashes of that tile, one after another; more than `width` do."""


class TileRefused(LedgerError):
    """There is no such tile."""

    status = 404
    slug = "no-such-tile"


class EntryTooLong(LedgerError):
    """The entry is too long for an entry bundle: read it from the events instead."""

    status = 422
    slug = "entry-too-long"


# --- What a path names ---


class Tile(NamedTuple):
    """Neighbouring hashes of one level: 256, or fewer at the right edge of a tree."""

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """What follows `tile/` in its address."""
        return f"{self.level}/{_numbered(self.number)}{_partial(self.width)}"


class Entries(NamedTuple):
    """The entries whose hashes are the level 0 tile of that number."""

    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """What follows `tile/` in their address."""
        return f"entries/{_numbered(self.number)}{_partial(self.width)}"


def _numbered(number: int) -> str:
    # No folder holds more than a thousand, and none is also a file: 1234067 is x001/x234/067.
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    threes = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*("x" + three for three in threes[:-1]), threes[-1]])


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"


_PATH = re.compile(
    r"(?:(?P<level>[0-9]{1,2})|entries)"
    r"/(?P<number>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[0-9]{1,3}))?"
)


def parse_path(path: str) -> Tile | Entries:
    """Read what follows `tile/` in an address; each tile has one spelling, others are refused."""
    found = _PATH.fullmatch(path)
    if not found:
        raise TileRefused(
            f"{path[:80]!r} is not a tile's path: they look like 0/x001/234 or entries/000.p/5."
        )
    number = int(found["number"].replace("x", "").replace("/", ""))
    width = int(found["width"] or TILE_WIDTH)
    named = (
        Entries(number, width)
        if found["level"] is None
        else Tile(int(found["level"]), number, width)
    )
    if named.path != path or not 0 < width <= TILE_WIDTH or int(found["level"] or 0) > 63:
        raise TileRefused(
            f"{path[:80]!r} is not how a tile's path is written: a level is from 0 to 63, a"
            " partial width from 1 to 255, and no zeros are put in front."
        )
    return named


# --- What a tree of some size has ---


def width_at(level: int, number: int, size: int) -> int:
    """Say how many hashes that tile has in a tree of this size; 0 if it is not there."""
    if number < 0:
        return 0
    return min(max((size >> TILE_HEIGHT * level) - number * TILE_WIDTH, 0), TILE_WIDTH)


def has(size: int, named: Tile | Entries) -> bool:
    """Say whether a tree of this size is wide enough for what a path names."""
    level = named.level if isinstance(named, Tile) else 0
    return 0 < named.width <= width_at(level, named.number, size)


def edge_of(size: int) -> list[Tile]:
    """List the partial tiles at a tree's right edge: all that is needed to go on from there."""
    tiles = []
    for level in range(TILE_LEVELS):
        width = (size >> TILE_HEIGHT * level) % TILE_WIDTH
        if width:
            tiles.append(Tile(level, size >> TILE_HEIGHT * (level + 1), width))
    return tiles


def tiles_of(size: int) -> Iterator[Tile]:
    """List every tile of a tree, level by level from the leaves, each as wide as it is there."""
    for level in range(TILE_LEVELS):
        hashes = size >> TILE_HEIGHT * level
        for number in range(-(-hashes // TILE_WIDTH)):
            yield Tile(level, number, width_at(level, number, size))


# --- Reading tiles ---


def _place(level: int, index: int) -> tuple[int, int, int, int]:
    """Find the hashes under a node: tile level, tile number, first hash, how many."""
    height = level % TILE_HEIGHT
    first = index << height
    return level // TILE_HEIGHT, first // TILE_WIDTH, first % TILE_WIDTH, 1 << height


def nodes_of(tile: TileSource, size: int) -> Nodes:
    """Answer for every complete subtree of a tree of this size from its tiles.

    Each tile is fetched once; what was fetched is kept as long as the returned function.
    """
    fetched: dict[tuple[int, int], bytes] = {}

    def node(level: int, index: int) -> Hash:
        tile_level, number, first, count = _place(level, index)
        width = width_at(tile_level, number, size)
        if not 0 <= first <= width - count:
            raise TileRefused(f"A tree of {size} has no complete subtree {index} at level {level}.")
        at = tile_level, number
        if at not in fetched:
            fetched[at] = _checked(tile(*at, width), Tile(*at, width))
        return _folded(_hashes(fetched[at], first, count))

    return node


def tiles_for(ask: Callable[[Nodes], object], size: int) -> list[Tile]:
    """List the tiles that an answer takes, to fetch them at once.

    `ask` is what will be asked: `lambda nodes: inclusion(index, size, nodes)`.
    """
    tiles: dict[Tile, None] = {}

    def note(level: int, index: int) -> Hash:
        tile_level, number, _, _ = _place(level, index)
        tiles[Tile(tile_level, number, width_at(tile_level, number, size))] = None
        return bytes(HASH_BYTES)

    ask(note)
    return list(tiles)


def _checked(hashes: bytes, tile: Tile) -> bytes:
    wanted = tile.width * HASH_BYTES
    if len(hashes) < wanted or len(hashes) % HASH_BYTES:
        raise TileRefused(
            f"Tile {tile.path} has {wanted} bytes or more, in hashes of {HASH_BYTES}; here are"
            f" {len(hashes)}."
        )
    return hashes


def _hashes(tile: bytes, first: int, count: int) -> list[Hash]:
    ends = range(first * HASH_BYTES, (first + count) * HASH_BYTES, HASH_BYTES)
    return [tile[at : at + HASH_BYTES] for at in ends]


def _folded(hashes: list[Hash]) -> Hash:
    """Fold a power of two of neighbours into one."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]


# --- Growing ---


class TileBuilder:
    """Grow a tree leaf by leaf, keeping only its right edge and what is not taken yet.

    To go on from a tree of some size it reads the partial tiles `edge_of(size)` from `tile`.
    """

    def __init__(self, size: int = 0, tile: TileSource | None = None) -> None:
        if not 0 <= size <= LARGEST_SIZE or (size and tile is None):
            raise TileRefused(f"To go on from {size} leaves the tiles of that tree are needed.")
        self.size = size
        self._edge = [bytearray() for _ in range(TILE_LEVELS)]
        self._full: list[tuple[Tile, bytes]] = []
        self._taken = size
        for edge in edge_of(size):
            hashes = _checked(tile(*edge), edge) if tile else b""
            self._edge[edge.level] += hashes[: edge.width * HASH_BYTES]

    def add(self, leaf: Hash) -> None:
        """Append one leaf."""
        if len(leaf) != HASH_BYTES:
            raise TileRefused(f"A leaf is a hash of {HASH_BYTES} bytes; here are {len(leaf)}.")
        self.size += 1
        level = 0
        self._edge[0] += leaf
        while len(self._edge[level]) == TILE_WIDTH * HASH_BYTES:
            leaf = self._fill(level)
            level += 1
            self._edge[level] += leaf

    def _fill(self, level: int) -> Hash:
        number = (self.size >> TILE_HEIGHT * (level + 1)) - 1
        hashes = bytes(self._edge[level])
        self._full.append((Tile(level, number), hashes))
        self._edge[level].clear()
        return _folded(_hashes(hashes, 0, TILE_WIDTH))

    def take(self) -> list[tuple[Tile, bytes]]:
        """Hand out each tile that is new or wider than when this was last asked.

        A tile comes once, as wide as it is now: store it in place of what was there.
        """
        grown, self._full = self._full, []
        for tile in edge_of(self.size):
            if tile.width > width_at(tile.level, tile.number, self._taken):
                grown.append((tile, bytes(self._edge[tile.level])))
        self._taken = self.size
        return grown

    def root(self) -> Hash:
        """Fold the root of the tree as it is now: its edge is enough."""
        edge = nodes_of(lambda level, _number, _width: bytes(self._edge[level]), self.size)
        return root_over(self.size, edge)


# --- Entries ---


def pack_entries(entries: Iterable[bytes]) -> bytes:
    """Write an entry bundle: each entry after its length in two bytes, the greater first."""
    bundle = bytearray()
    for place, entry in enumerate(entries):
        if len(entry) > LONGEST_ENTRY:
            raise EntryTooLong(
                f"Entry {place} of the bundle has {len(entry)} bytes; an entry bundle carries at"
                f" most {LONGEST_ENTRY}. Its hash is in the tile; read it from the events instead."
            )
        bundle += len(entry).to_bytes(2, "big") + entry
    return bytes(bundle)


def unpack_entries(bundle: bytes) -> list[bytes]:
    """Read an entry bundle, to its last byte."""
    entries: list[bytes] = []
    at = 0
    while at < len(bundle):
        begins = at + 2
        at = begins + int.from_bytes(bundle[at:begins], "big")
        if begins > len(bundle) or at > len(bundle):
            raise TileRefused(f"The entry bundle breaks off in entry {len(entries)}.")
        entries.append(bundle[begins:at])
    return entries
