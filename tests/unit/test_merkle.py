"""The tree: public vectors, the RFC read literally, and another library's opinion."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofRefused,
    check_consistency,
    check_inclusion,
    check_range,
    consistency,
    covering,
    inclusion,
    leaf_hash,
    node_hash,
    nodes_over,
    range_proof,
    root,
    root_of,
)
from tests.unit import rfc9162

pymerkle: Any = import_module("pymerkle")

entries = st.lists(st.binary(max_size=3), max_size=70)

# The eight leaves of the Certificate Transparency reference, their roots at sizes 1 to 8, and
# its proofs; as in RFC 6962's reference implementation and in transparency-dev/merkle.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSIONS: list[tuple[int, int, list[str]]] = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCIES: list[tuple[int, int, list[str]]] = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
NODES = nodes_over(LEAVES)


def hexed(proof: tuple[bytes, ...]) -> list[str]:
    return [each.hex() for each in proof]


# --- Public vectors ---


def test_the_empty_tree_and_an_empty_leaf_have_the_hashes_of_the_rfc() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == ROOTS[0]
    assert root(0, NODES) == root_of(()) == Frontier().root() == EMPTY_ROOT


def test_a_leaf_and_a_node_are_hashed_apart() -> None:
    assert leaf_hash(b"L123456").hex() == (
        "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    )
    assert node_hash(b"N123", b"N456").hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert root(size, NODES).hex() == root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSIONS)
def test_inclusion_proofs_are_those_of_the_reference(
    index: int, size: int, proof: list[str]
) -> None:
    assert hexed(inclusion(index, size, NODES)) == proof
    ours = [bytes.fromhex(each) for each in proof]
    check_inclusion(LEAVES[index], index, size, ours, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCIES)
def test_consistency_proofs_are_those_of_the_reference(
    old: int, new: int, proof: list[str]
) -> None:
    assert hexed(consistency(old, new, NODES)) == proof
    roots = bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1])
    check_consistency(old, new, [bytes.fromhex(each) for each in proof], *roots)


# --- The RFC, read literally ---


@pytest.mark.parametrize("size", range(1, 41))
def test_every_proof_of_a_small_tree_is_as_the_rfc_defines_it(size: int) -> None:
    leaves = [leaf_hash(bytes([place])) for place in range(size)]
    nodes, top = nodes_over(leaves), rfc9162.mth(leaves)
    assert root(size, nodes) == root_of(iter(leaves)) == top
    for index in range(size):
        proof = inclusion(index, size, nodes)
        assert list(proof) == rfc9162.path(index, leaves)
        check_inclusion(leaves[index], index, size, proof, top)
    for old in range(1, size + 1):
        proof = consistency(old, size, nodes)
        assert list(proof) == rfc9162.subproof(old, leaves)
        check_consistency(old, size, proof, rfc9162.mth(leaves[:old]), top)


def test_every_tree_began_empty() -> None:
    for size in range(9):
        assert consistency(0, size, NODES) == ()
        check_consistency(0, size, (), EMPTY_ROOT, root(size, NODES))


# --- Another library ---


@given(entries, st.data())
def test_pymerkle_has_the_same_roots_and_accepts_the_same_trees(
    log: list[bytes], data: st.DataObject
) -> None:
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in log:
        theirs.append_entry(entry)
    leaves = [leaf_hash(entry) for entry in log]
    nodes, size = nodes_over(leaves), len(log)
    assert root(size, nodes) == root_of(leaves) == theirs.get_root(size)
    if not log:
        return
    index = data.draw(st.integers(0, size - 1))
    their_proof = theirs.prove_inclusion(index + 1, size)
    assert [leaves[index], *inclusion(index, size, nodes)] == their_proof.path
    old = data.draw(st.integers(1, size))
    roots = root(old, nodes), root(size, nodes)
    pymerkle.verify_consistency(*roots, theirs.prove_consistency(old, size))
    check_consistency(
        old, size, consistency(old, size, nodes), theirs.get_root(old), theirs.get_root(size)
    )


# --- Ranges and geometry ---


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_span_is_covered_once_in_order_by_as_few_complete_subtrees_as_can_be(
    first: int, length: int
) -> None:
    spans = [
        (index << level, (index + 1) << level) for level, index in covering(first, first + length)
    ]
    edges = [first, *(end for _, end in spans)]
    assert [begin for begin, _ in spans] == edges[:-1]
    assert edges[-1] == first + length
    for (begin, middle), (_, end) in pairwise(spans):
        siblings = middle - begin == end - middle and begin % (end - begin) == 0
        assert not siblings


@pytest.mark.parametrize("size", range(14))
def test_every_range_of_a_small_tree_is_proved(size: int) -> None:
    leaves = [leaf_hash(bytes([place])) for place in range(size)]
    nodes, top = nodes_over(leaves), root_of(leaves)
    for end in range(size + 1):
        for first in range(end + 1):
            proof = range_proof(first, end, size, nodes)
            check_range((leaf for leaf in leaves[first:end]), first, end, size, proof, top)


def test_the_proof_of_a_range_is_the_subtrees_left_and_right_of_it() -> None:
    assert range_proof(3, 5, 8, NODES) == (NODES(1, 0), NODES(0, 2), NODES(0, 5), NODES(1, 3))


# --- Growing ---


@given(entries, st.data())
def test_a_frontier_goes_on_from_its_hashes(log: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(entry) for entry in log]
    kept = data.draw(st.integers(0, len(leaves)))
    before = Frontier()
    for leaf in leaves[:kept]:
        before.add(leaf)
    after = Frontier(before.size, before.hashes)
    for leaf in leaves[kept:]:
        after.add(leaf)
    assert after.size == len(leaves)
    assert after.root() == rfc9162.mth(leaves)
    assert list(after.hashes) == [nodes_over(leaves)(*n) for n in covering(0, len(leaves))]


def test_the_longest_ledger_still_has_a_tree() -> None:
    longest = Frontier(2**63 - 1, LEAVES[:1] * 63)
    assert longest.root() == root(2**63 - 1, lambda _level, _index: LEAVES[0])


def test_copies_of_a_frontier_grow_apart() -> None:
    first = Frontier(2, [NODES(1, 0)])
    second = first.copy()
    second.add(LEAVES[2])
    first.add(LEAVES[7])
    assert second.root().hex() == ROOTS[2]
    assert (first.size, first.hashes) == (3, (NODES(1, 0), LEAVES[7]))


def test_whole_subtrees_join_a_frontier_only_where_they_can_begin() -> None:
    frontier = Frontier(2, [NODES(1, 0)])
    frontier.join(1, NODES(1, 1))
    assert (frontier.size, frontier.root().hex()) == (4, ROOTS[3])
    frontier.join(2, NODES(2, 1))
    assert frontier.root().hex() == ROOTS[7]
    with pytest.raises(ProofRefused, match="After 8 leaves no subtree of 16 can begin"):
        frontier.join(4, NODES(0, 0))


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(3, LEAVES[:1]), (3, LEAVES[:3]), (0, LEAVES[:1]), (1, [b"short"]), (-1, []), (2**63, [])],
)
def test_a_frontier_is_not_made_of_hashes_that_are_not_its_size(
    size: int, hashes: list[bytes]
) -> None:
    with pytest.raises(ProofRefused):
        Frontier(size, hashes)
