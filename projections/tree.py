"""`liveops_tree`: the ledger as a Merkle tree, in tiles.

The leaf of an event is the hash of its envelope, the bytes that every surface shows. The hashes
follow from the events alone, so the tree is built again like any view; that it is still the tree
that it was is what `projections.checkpoints` is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.errors import LedgerError
from ledger.events import Recorded, envelope
from ledger.merkle import HASH_BYTES, Hash, Nodes, leaf_hash
from ledger.tiles import Tile, TileBuilder, edge_of, nodes_of
from projections import sql
from projections.views import Connection, Cursor


class TreeBroken(LedgerError):
    """The events do not continue the tree."""


class TreeView:
    """The view `liveops_tree`."""

    name = "liveops_tree"
    version = 1
    tables: tuple[str, ...] = ("liveops_tree",)
    schema = sql.read("tree.sql")

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        """Append the leaves of a batch. They are hashed from the stored bytes, read for it."""
        first, last = batch[0].position, batch[-1].position
        tree = _edge(cursor, first - 1)
        for position, leaf in _leaves(cursor, first, last):
            if position != tree.size + 1:
                raise TreeBroken(f"event {tree.size + 1} is missing: {position} follows")
            tree.add(leaf)
        tiles = tree.take()
        parameters = {
            "levels": [tile.level for tile, _ in tiles],
            "tiles": [tile.number for tile, _ in tiles],
            "widths": [tile.width for tile, _ in tiles],
            "hashes": [hashes for _, hashes in tiles],
        }
        cursor.execute(sql.queries()["tree_write"], parameters)


def _leaves(cursor: Cursor, first: int, last: int) -> Iterable[tuple[int, Hash]]:
    parameters = {"first": first, "last": last}
    cursor.execute(sql.queries()["tree_events"], parameters, binary=True)
    for position, recorded_at, state in cursor:
        yield position, leaf_hash(envelope(position, recorded_at, state))


def _edge(cursor: Cursor, size: int) -> TileBuilder:
    """Read the tiles at the right edge of a tree that must have this size."""
    row = cursor.execute(sql.queries()["tree_size"]).fetchone()
    found = 0 if row is None else row[0]
    if found != size:
        raise TreeBroken(f"the tree holds {found} events and not {size}: build it anew")
    edge = edge_of(size)
    parameters = {"levels": [tile.level for tile in edge], "tiles": [tile.number for tile in edge]}
    cursor.execute(sql.queries()["tree_read"], parameters, binary=True)
    tiles = {(level, index): hashes for level, index, hashes in cursor.fetchall()}
    return TileBuilder(size, lambda level, index, _: tiles.get((level, index), b""))


# --- Asking ---


def size(connection: Connection) -> int:
    """Tell how many events the tree holds."""
    row = connection.execute(sql.queries()["tree_size"]).fetchone()
    return 0 if row is None else int(row[0])


def tile(connection: Connection, wanted: Tile) -> bytes | None:
    """Read a tile, its hashes one after the other; None if it is not that wide."""
    parameters = {"levels": [wanted.level], "tiles": [wanted.number]}
    row = connection.execute(sql.queries()["tree_read"], parameters, binary=True).fetchone()
    if row is None or len(row[2]) < wanted.width * HASH_BYTES:
        return None
    return bytes(row[2][: wanted.width * HASH_BYTES])


def nodes(connection: Connection, size: int) -> Nodes:
    """Give the complete subtrees of the tree of the first `size` events.

    Tiles are read when first needed, and kept as long as what is returned. Raises TreeBroken for
    one that is not there.
    """

    def read(*wanted: int) -> bytes:
        found = tile(connection, Tile(*wanted))
        if found is None:
            raise TreeBroken(f"the tree has no tile {Tile(*wanted).path}")
        return found

    return nodes_of(read, size)
