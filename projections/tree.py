"""`liveops_tree`: the ledger as a Merkle tree, in tiles.

The leaf of an event is the hash of its envelope, the bytes that every surface shows. The hashes
follow from the events alone, so the tree is built again like any view; that it is still the tree
that it was is what `projections.checkpoints` is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ledger.errors import LedgerError
from ledger.events import Recorded, envelope
from ledger.merkle import HASH_BYTES, Hash, Nodes, leaf_hash, root_of
from projections import sql
from projections.views import Connection, Cursor

WIDTH = 256
"""Hashes of a full tile."""

_HEIGHT = 8
_LEVELS = range(8)

Tile = tuple[int, int]
"""Level and number."""


class TreeBroken(LedgerError):
    """The events do not continue the tree."""

    slug = "tree-broken"


class TreeView:
    """The view `liveops_tree`."""

    name = "liveops_tree"
    version = 1
    tables: tuple[str, ...] = ("liveops_tree",)
    schema = sql.read("tree.sql")

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        """Append the leaves of a batch. They are hashed from the stored bytes, read for it."""
        first, last = batch[0].position, batch[-1].position
        edge = _edge(cursor, first - 1)
        for position, leaf in _leaves(cursor, first, last):
            if position != edge.size + 1:
                raise TreeBroken(f"event {edge.size + 1} is missing: {position} follows")
            edge.add(leaf)
        cursor.execute(sql.queries()["tree_write"], edge.changes())


def _leaves(cursor: Cursor, first: int, last: int) -> Iterable[tuple[int, Hash]]:
    parameters = {"first": first, "last": last}
    cursor.execute(sql.queries()["tree_events"], parameters, binary=True)
    for position, recorded_at, state in cursor:
        yield position, leaf_hash(envelope(position, recorded_at, state))


@dataclass(slots=True)
class _Edge:
    """The tiles at the right edge that are partly filled, and how they grow."""

    size: int
    _open: dict[int, bytearray]
    _changed: dict[Tile, bytes] = field(default_factory=dict)

    def add(self, leaf: Hash) -> None:
        """Append a leaf, and the roots of the tiles that it fills."""
        number, level = self.size, 0
        self.size += 1
        while True:
            hashes = self._open.setdefault(level, bytearray())
            hashes += leaf
            if len(hashes) < WIDTH * HASH_BYTES:
                return
            self._changed[level, number // WIDTH] = full = bytes(self._open.pop(level))
            leaf, number, level = _root(full), number // WIDTH, level + 1

    def changes(self) -> Mapping[str, list[int] | list[bytes]]:
        """List the tiles that differ from before, as the statement takes them."""
        tiles = dict(self._changed)
        for level, hashes in self._open.items():
            tiles[level, self.size >> _HEIGHT * (level + 1)] = bytes(hashes)
        return {
            "levels": [level for level, _ in tiles],
            "tiles": [number for _, number in tiles],
            "widths": [len(hashes) // HASH_BYTES for hashes in tiles.values()],
            "hashes": list(tiles.values()),
        }


def _edge(cursor: Cursor, size: int) -> _Edge:
    """Read the tiles at the right edge of a tree that must have this size."""
    wanted = {(level, size >> _HEIGHT * (level + 1)): size >> _HEIGHT * level for level in _LEVELS}
    parameters = {
        "levels": [level for level, _ in wanted],
        "tiles": [number for _, number in wanted],
    }
    cursor.execute(sql.queries()["tree_read"], parameters, binary=True)
    found = {(level, number): hashes for level, number, hashes in cursor.fetchall()}
    for tile, count in wanted.items():
        if len(found.get(tile, b"")) != count % WIDTH * HASH_BYTES:
            raise TreeBroken(f"the tiles are not those of a tree of {size} events: build it anew")
    return _Edge(size, {level: bytearray(hashes) for (level, _), hashes in found.items()})


def _root(hashes: bytes) -> Hash:
    return root_of(hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))


# --- Asking ---


def size(connection: Connection) -> int:
    """Tell how many events the tree holds."""
    row = connection.execute(sql.queries()["tree_size"]).fetchone()
    return 0 if row is None else int(row[0])


def tile(connection: Connection, level: int, number: int, width: int) -> bytes | None:
    """Read the first hashes of a tile, one after the other; None if there are not so many."""
    parameters = {"levels": [level], "tiles": [number]}
    row = connection.execute(sql.queries()["tree_read"], parameters, binary=True).fetchone()
    if row is None or len(row[2]) < width * HASH_BYTES:
        return None
    return bytes(row[2][: width * HASH_BYTES])


def nodes(connection: Connection, size: int) -> Nodes:
    """Give the complete subtrees of the tree of the first `size` events.

    Tiles are read when first needed, and kept as long as what is returned. Raises TreeBroken for
    one that is not there.
    """
    read = lru_cache(maxsize=64)(_reader(connection, size))

    def node(level: int, index: int) -> Hash:
        above, within = divmod(level, _HEIGHT)
        number, first = divmod(index << within, WIDTH)
        hashes = read(above, number)
        return _root(hashes[first * HASH_BYTES : (first + (1 << within)) * HASH_BYTES])

    return node


def _reader(connection: Connection, size: int) -> Callable[[int, int], bytes]:
    def read(level: int, number: int) -> bytes:
        width = min(WIDTH, (size >> _HEIGHT * level) - number * WIDTH)
        found = tile(connection, level, number, width) if width > 0 else None
        if found is None:
            raise TreeBroken(f"the tree has no tile {number} of level {level} of {width} hashes")
        return found

    return read
