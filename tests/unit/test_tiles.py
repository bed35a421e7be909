"""Tiles: where each hash is, what each path names, and how tiles grow."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import (
    EMPTY_ROOT,
    consistency,
    inclusion,
    leaf_hash,
    nodes_over,
    range_proof,
    root,
)
from ledger.tiles import (
    Entries,
    EntryTooLong,
    Tile,
    TileBuilder,
    TileRefused,
    TileSource,
    edge_of,
    has,
    nodes_of,
    pack_entries,
    parse_path,
    tiles_for,
    tiles_of,
    unpack_entries,
    width_at,
)

SIZE = 70_000
"""The specification's own example of a tree's tiles."""
LEAVES = [leaf_hash(place.to_bytes(3, "big")) for place in range(SIZE)]
NODES = nodes_over(LEAVES)
sizes = st.one_of(
    st.integers(0, SIZE),
    st.integers(0, 300),
    st.builds(lambda tiles, by: tiles * 256 + by, st.integers(1, 273), st.integers(-2, 2)),
    st.integers(65_530, 65_540),
)


def cut(tile: Tile) -> bytes:
    """Cut a tile after the specification's definition, from a tree held whole."""
    first = tile.number * 256
    return b"".join(NODES(8 * tile.level, first + place) for place in range(tile.width))


def source(level: int, number: int, width: int) -> bytes:
    return cut(Tile(level, number, width))


# --- Geometry ---


def test_the_tiles_of_a_tree_are_those_of_the_specification() -> None:
    tiles = list(tiles_of(SIZE))
    assert [tile for tile in tiles if tile.width < 256] == edge_of(SIZE)
    assert edge_of(SIZE) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert [sum(tile.level == level for tile in tiles) for level in (0, 1, 2, 3)] == [274, 2, 1, 0]
    assert list(tiles_of(256)) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == edge_of(0) == []


def test_a_tree_has_a_tile_up_to_its_width() -> None:
    assert has(SIZE, Tile(0, 273, 112))
    assert has(SIZE, Tile(0, 273, 1))
    assert not has(SIZE, Tile(0, 273, 113))
    assert not has(SIZE, Tile(0, 274, 1))
    assert not has(SIZE, Tile(0, 0, 0))
    assert has(SIZE, Entries(272))
    assert not has(SIZE, Entries(273))
    assert not has(SIZE, Tile(63, 0, 1))
    assert width_at(1, 0, 255) == width_at(0, -1, 255) == 0


@given(st.integers(0, 2**63 - 1))
def test_widths_at_the_edge_are_the_sizes_digits_to_base_256(size: int) -> None:
    digits = list(size.to_bytes(8, "little"))
    widths = dict.fromkeys(range(8), 0) | {tile.level: tile.width for tile in edge_of(size)}
    assert list(widths.values()) == digits
    for tile in edge_of(size):
        assert has(size, tile)
        assert not has(size, tile._replace(width=tile.width + 1))


# --- Paths ---


@pytest.mark.parametrize(
    ("named", "path"),
    [
        (Tile(0, 0), "0/000"),
        (Tile(0, 1_234_067), "0/x001/x234/067"),
        (Tile(1, 999, 5), "1/999.p/5"),
        (Tile(2, 1_000, 255), "2/x001/000.p/255"),
        (Tile(63, 67), "63/067"),
        (Entries(1_234), "entries/x001/234"),
        (Entries(273, 112), "entries/273.p/112"),
    ],
)
def test_paths_are_spelled_as_the_specification_says(named: Tile | Entries, path: str) -> None:
    assert named.path == path
    assert parse_path(path) == named
    assert type(parse_path(path)) is type(named)


tiles = st.builds(Tile, st.integers(0, 63), st.integers(0, 2**55), st.integers(1, 256))
bundles = st.builds(Entries, st.integers(0, 2**55), st.integers(1, 256))


@given(tiles | bundles)
def test_every_path_is_read_back(named: Tile | Entries) -> None:
    assert parse_path(named.path) == named


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "0/",
        "0/0",
        "0/1234",
        "0/001/234",
        "0/x001/x234",
        "0/x000/001",
        "00/000",
        "01/000",
        "64/000",
        "100/000",
        "-1/000",
        "x/000",
        "0/000.p/0",
        "0/000.p/00",
        "0/000.p/05",
        "0/000.p/256",
        "0/000.p/257",
        "0/000.p/999",
        "0/000.p/",
        "0/000.p",
        "0/000.p/5/",
        "0/000/",
        " 0/000",
        "0/000\n",
        "0/\u0660\u0660\u0660",
        "0/" + "x001/" * 7 + "000",
        "entries/0",
        "entries/x000/000",
        "entries/000.p/0",
        "tile/0/000",
        "data/000",
    ],
)
def test_any_other_spelling_is_refused(path: str) -> None:
    with pytest.raises(TileRefused, match="tile's path"):
        parse_path(path)


# --- Reading ---


@given(sizes, st.data())
def test_roots_and_proofs_from_tiles_are_those_of_the_whole_tree(
    size: int, data: st.DataObject
) -> None:
    nodes = nodes_of(source, size)
    assert root(size, nodes) == root(size, NODES)
    old = data.draw(st.integers(0, size))
    assert consistency(old, size, nodes) == consistency(old, size, NODES)
    if size:
        index = data.draw(st.integers(0, size - 1))
        assert inclusion(index, size, nodes) == inclusion(index, size, NODES)
        end = data.draw(st.integers(index, size))
        assert range_proof(index, end, size, nodes) == range_proof(index, end, size, NODES)


@given(sizes.filter(bool), st.data())
def test_an_answer_takes_just_the_tiles_it_is_said_to_take(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    fetched: list[Tile] = []

    def noting(level: int, number: int, width: int) -> bytes:
        fetched.append(Tile(level, number, width))
        return source(level, number, width)

    told = tiles_for(lambda nodes: inclusion(index, size, nodes), size)
    inclusion(index, size, nodes_of(noting, size))
    assert fetched == told
    assert len(set(told)) == len(told) <= 6
    assert set(told) <= set(tiles_of(size))


def test_a_wider_tile_than_asked_for_will_do() -> None:
    nodes = nodes_of(lambda level, number, _width: cut(Tile(level, number)), 300)
    assert root(300, nodes) == root(300, NODES)


@pytest.mark.parametrize("hashes", [b"", bytes(31), bytes(32 * 4), bytes(32 * 5 + 1)])
def test_a_tile_that_is_too_short_or_cut_is_refused(hashes: bytes) -> None:
    nodes = nodes_of(lambda *_tile: hashes, 5)
    with pytest.raises(TileRefused, match=r"Tile 0/000\.p/5 has 160 bytes or more"):
        nodes(0, 0)


@pytest.mark.parametrize(
    ("level", "index"), [(0, 300), (1, 150), (3, 37), (8, 1), (9, 0), (0, -1), (16, 0)]
)
def test_there_is_no_subtree_beyond_the_tree_or_before_it(level: int, index: int) -> None:
    nodes = nodes_of(source, 300)
    with pytest.raises(TileRefused, match="no complete subtree"):
        nodes(level, index)


# --- Growing ---


@given(st.lists(st.integers(0, 700), max_size=6), st.data())
def test_stored_tiles_are_those_of_the_tree_however_it_grew(
    batches: list[int], data: st.DataObject
) -> None:
    size = data.draw(st.sampled_from([0, 0, 255, 256, 65_000, 65_279, 65_280]))
    stored = {(tile.level, tile.number): cut(tile) for tile in tiles_of(size)}
    builder = TileBuilder(size, reading(stored))
    for batch in batches:
        if data.draw(st.booleans()):
            builder = TileBuilder(size, reading(stored))
        for leaf in LEAVES[size : size + batch]:
            builder.add(leaf)
        size += batch
        taken = builder.take()
        assert len({tile[:2] for tile, _ in taken}) == len(taken)
        stored |= {(tile.level, tile.number): hashes for tile, hashes in taken}
        assert builder.size == size
        assert builder.root() == root(size, NODES)
    assert stored == {(tile.level, tile.number): cut(tile) for tile in tiles_of(size)}


def reading(stored: dict[tuple[int, int], bytes]) -> TileSource:
    return lambda level, number, _width: stored[level, number]


def test_only_tiles_that_are_new_or_wider_are_taken() -> None:
    builder = TileBuilder(256, source)
    assert builder.take() == []
    builder.add(LEAVES[256])
    assert [tile for tile, _ in builder.take()] == [Tile(0, 1, 1)]
    assert builder.take() == []
    for leaf in LEAVES[257:513]:
        builder.add(leaf)
    assert [tile for tile, _ in builder.take()] == [Tile(0, 1), Tile(0, 2, 1), Tile(1, 0, 2)]


def test_a_tree_grows_from_nothing_and_from_the_longest_ledgers_edge() -> None:
    builder = TileBuilder()
    assert (builder.size, builder.root(), builder.take()) == (0, EMPTY_ROOT, [])
    builder.add(LEAVES[0])
    assert builder.take() == [(Tile(0, 0, 1), LEAVES[0])]
    longest = TileBuilder(2**63 - 1, lambda _level, _number, width: LEAVES[0] * width)
    assert longest.root() != builder.root()


def test_a_full_tile_of_tiles_is_one_hash_above() -> None:
    builder = TileBuilder(65_535, source)
    builder.add(LEAVES[65_535])
    taken = dict(builder.take())
    assert list(taken) == [Tile(0, 255), Tile(1, 0), Tile(2, 0, 1)]
    assert taken[Tile(2, 0, 1)] == NODES(16, 0) == builder.root()


@pytest.mark.parametrize(
    "broken",
    [
        lambda: TileBuilder(5),
        lambda: TileBuilder(-1, source),
        lambda: TileBuilder(2**63, source),
        lambda: TileBuilder(5, lambda *_tile: bytes(32 * 4)),
        lambda: TileBuilder().add(sha256(b"").digest()[:31]),
    ],
)
def test_a_tree_does_not_go_on_from_what_is_not_its_edge(broken: Callable[[], None]) -> None:
    with pytest.raises(TileRefused):
        broken()


# --- Entries ---


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entries_are_read_back_from_their_bundle(entries: list[bytes]) -> None:
    bundle = pack_entries(entries)
    assert unpack_entries(bundle) == entries
    assert len(bundle) == sum(2 + len(entry) for entry in entries)


def test_an_entry_comes_after_its_length_the_greater_byte_first() -> None:
    assert pack_entries([b"a" * 258, b"", b"b"]) == b"\x01\x02" + b"a" * 258 + b"\0\0" + b"\0\x01b"


def test_an_entry_is_carried_up_to_its_greatest_length() -> None:
    longest = bytes(65_535)
    assert unpack_entries(pack_entries([longest])) == [longest]
    with pytest.raises(EntryTooLong, match="Entry 1 of the bundle has 65536 bytes"):
        pack_entries([b"", bytes(65_536)])


@pytest.mark.parametrize("bundle", [b"\0", b"\0\x01", b"\0\x02a", b"\0\x01ab", b"\0\x01a\xff\xff"])
def test_a_bundle_that_breaks_off_is_refused(bundle: bytes) -> None:
    with pytest.raises(TileRefused, match="breaks off in entry"):
        unpack_entries(bundle)
