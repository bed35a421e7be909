"""Proofs that are no proofs: every corruption that transparency-dev/merkle keeps as test data.

Theirs are of the five proofs of the reference tree; here they are made of every proof of every
small tree. A root does not say how large its tree is, so some proofs also hold for a neighbouring
size; which, the RFC read literally says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import (
    EMPTY_ROOT,
    ProofRefused,
    check_consistency,
    check_inclusion,
    check_range,
    consistency,
    inclusion,
    leaf_hash,
    nodes_over,
    range_proof,
    root,
)
from tests.unit import rfc9162

MOST = 20
LEAVES = [leaf_hash(bytes([place])) for place in range(MOST)]
NODES = nodes_over(LEAVES)
ROOTS = [root(size, NODES) for size in range(MOST + 1)]
RANDOM = sha256(b"a hash of something else").digest()

Proof = Sequence[bytes]


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damaged(proof: Proof, *others: bytes) -> Iterator[list[bytes]]:
    """Damage a proof: one hash too many, too few, changed, cut, moved or put in its place."""
    whole = list(proof)
    for extra in (b"", b"\0" * 32, RANDOM, *others, *whole):
        yield [*whole, extra]
        yield [extra, *whole]
    for place, value in enumerate(whole):
        yield whole[:place] + whole[place + 1 :]
        for other in (b"", RANDOM, value[:-1], value + b"\0", *others):
            yield [*whole[:place], other, *whole[place + 1 :]]
        for bit in (0, 3, 4, 131, 255):
            yield [*whole[:place], flipped(value, bit), *whole[place + 1 :]]
        yield [*whole[:place], RANDOM, *whole[place:]]
    if len(whole) > 1:
        yield whole[::-1]
        yield whole[1:] + whole[:1]
        yield [*whole[1:], whole[0], RANDOM]
    yield whole + whole


def wrong_roots(right: bytes) -> Iterator[bytes]:
    yield from (b"", b"WrongRoot", EMPTY_ROOT, RANDOM, right[:-1], right + b"\0", flipped(right, 7))


class Inclusion(NamedTuple):
    leaf: bytes
    at: int
    size: int
    proof: Proof
    root: bytes


class Consistency(NamedTuple):
    old: int
    new: int
    proof: Proof
    old_root: bytes
    new_root: bytes


def bad_inclusions(right: Inclusion) -> Iterator[Inclusion]:
    leaf, index, size, proof, top = right
    for other in (index - 1, index + 1, index ^ 2, index + size, -index - 1):
        yield right._replace(at=other)
    for other in (size * 2, size // 2, 0, -size):
        yield right._replace(size=other)
    for wrong in (b"", b"WrongLeaf", RANDOM, leaf[:-1], flipped(leaf, 9), top if size > 1 else b""):
        yield right._replace(leaf=wrong)
    for wrong in wrong_roots(top):
        yield right._replace(root=wrong)
    for hashes in damaged(proof, top, leaf):
        if hashes != list(proof):
            yield right._replace(proof=hashes)


def bad_consistencies(right: Consistency) -> Iterator[Consistency]:
    old, new, proof, old_root, new_root = right
    for other in (old - 1, old + 1, old ^ 2, -old):
        yield right._replace(old=other)
    for other in (new * 2, new // 2, 0, -new):
        yield right._replace(new=other)
    yield right._replace(old=new, new=old)
    yield right._replace(old_root=new_root, new_root=old_root)
    for wrong in wrong_roots(old_root):
        yield right._replace(old_root=wrong)
    for wrong in wrong_roots(new_root):
        yield right._replace(new_root=wrong)
    yield right._replace(proof=())
    for hashes in damaged(proof, old_root, new_root):
        if hashes != list(proof):
            yield right._replace(proof=hashes)


def accepted(check: Callable[..., None], *claim: object) -> bool:
    with suppress(ProofRefused):
        check(*claim)
        return True
    return False


# --- Corruptions ---


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_corruption_of_an_inclusion_proof_is_refused(size: int) -> None:
    for index in range(size):
        right = Inclusion(LEAVES[index], index, size, inclusion(index, size, NODES), ROOTS[size])
        check_inclusion(*right)
        passed = [bad for bad in bad_inclusions(right) if accepted(check_inclusion, *bad)]
        assert passed == []


@pytest.mark.parametrize("new", range(2, MOST + 1))
def test_every_corruption_of_a_consistency_proof_is_refused(new: int) -> None:
    for old in range(1, new):
        right = Consistency(old, new, consistency(old, new, NODES), ROOTS[old], ROOTS[new])
        check_consistency(*right)
        passed = [bad for bad in bad_consistencies(right) if accepted(check_consistency, *bad)]
        assert passed == []


@pytest.mark.parametrize("size", range(1, 10))
def test_every_corruption_of_a_range_proof_is_refused(size: int) -> None:
    for end in range(1, size + 1):
        for first in range(end):
            proof, leaves = range_proof(first, end, size, NODES), LEAVES[first:end]
            claims = [
                *((leaves, first, end, size, hashes) for hashes in damaged(proof, ROOTS[size])),
                *((wrong, first, end, size, proof) for wrong in damaged(leaves, LEAVES[-1])),
                (leaves, first + 1, end + 1, size, proof),
                (leaves, first - 1, end - 1, size, proof),
                (leaves, first, end + 1, size, proof),
                (leaves, first, end - 1, size, proof),
                (leaves, first, end, size * 2, proof),
                (leaves, first, end, size // 2, proof),
                (leaves, -first - 1, end, size, proof),
                (leaves[1:], first + 1, end, size, proof),
            ]
            right = (leaves, first, end, size, list(proof))
            for claim in claims:
                same = (*claim[:4], list(claim[4])) == right
                assert accepted(check_range, *claim, ROOTS[size]) == same, claim
            for wrong in wrong_roots(ROOTS[size]):
                assert not accepted(check_range, *right, wrong)


# --- What else could be claimed with a right proof ---


@pytest.mark.parametrize("size", range(1, 12))
def test_a_proof_holds_for_another_leaf_or_size_only_where_the_rfc_accepts_it(size: int) -> None:
    for index in range(size):
        proof = inclusion(index, size, NODES)
        for as_index in range(-1, MOST):
            for as_size in range(-1, MOST):
                claim = LEAVES[index], as_index, as_size, proof, ROOTS[size]
                assert accepted(check_inclusion, *claim) == rfc9162.includes(*claim)


@pytest.mark.parametrize("new", range(2, 12))
def test_a_consistency_proof_holds_for_other_sizes_only_where_the_rfc_accepts_it(new: int) -> None:
    for old in range(1, new):
        proof = consistency(old, new, NODES)
        for as_new in range(1, MOST):
            for as_old in range(1, as_new):
                claim = as_old, as_new, proof, ROOTS[old], ROOTS[new]
                assert accepted(check_consistency, *claim) == rfc9162.consistent(*claim)


hashes = st.sampled_from([*LEAVES[:4], *ROOTS[:5], NODES(1, 1), RANDOM, b"", b"short"])


@given(hashes, st.integers(-1, 9), st.integers(-1, 9), st.lists(hashes, max_size=5), hashes)
def test_whatever_is_claimed_of_a_leaf_is_judged_as_by_the_rfc(
    leaf: bytes, index: int, size: int, proof: list[bytes], top: bytes
) -> None:
    whole = all(len(each) == 32 for each in (leaf, top, *proof))
    claim = leaf, index, size, proof, top
    assert accepted(check_inclusion, *claim) == (whole and rfc9162.includes(*claim))


# --- Nothing to prove ---


@pytest.mark.parametrize(
    ("index", "size", "leaf", "top"),
    [
        (0, 0, RANDOM, EMPTY_ROOT),
        (0, 0, EMPTY_ROOT, EMPTY_ROOT),
        (0, 1, RANDOM, EMPTY_ROOT),
        (1, 0, RANDOM, EMPTY_ROOT),
        (2, 1, RANDOM, RANDOM),
        (0, 1, b"", b""),
        (0, 1, b"data", b"data"),
        (0, 2**63, RANDOM, RANDOM),
    ],
)
def test_no_leaf_is_in_a_tree_that_has_none_or_without_a_hash(
    index: int, size: int, leaf: bytes, top: bytes
) -> None:
    with pytest.raises(ProofRefused):
        check_inclusion(leaf, index, size, (), top)


@pytest.mark.parametrize(
    ("old", "new", "proof", "old_root", "new_root"),
    [
        (0, 0, (), EMPTY_ROOT, RANDOM),
        (0, 0, (), RANDOM, EMPTY_ROOT),
        (0, 0, (), RANDOM, RANDOM),
        (0, 0, (EMPTY_ROOT,), EMPTY_ROOT, EMPTY_ROOT),
        (0, 1, (), RANDOM, LEAVES[0]),
        (0, 1, (LEAVES[0],), EMPTY_ROOT, LEAVES[0]),
        (0, 1, (), EMPTY_ROOT, b"short"),
        (1, 1, (), LEAVES[0], LEAVES[1]),
        (1, 1, (), EMPTY_ROOT, LEAVES[0]),
        (1, 1, (LEAVES[0],), LEAVES[0], LEAVES[0]),
        (1, 1, (), b"short", b"short"),
        (1, 2, (), LEAVES[0], ROOTS[2]),
        (1, 0, (), LEAVES[0], EMPTY_ROOT),
        (2, 1, (), ROOTS[2], LEAVES[0]),
        (1, 2**63, (), RANDOM, RANDOM),
    ],
)
def test_trees_of_one_size_have_one_root_and_none_began_as_a_larger(
    old: int, new: int, proof: Proof, old_root: bytes, new_root: bytes
) -> None:
    with pytest.raises(ProofRefused):
        check_consistency(old, new, proof, old_root, new_root)


def test_an_empty_range_still_proves_the_root() -> None:
    check_range((), 3, 3, 8, range_proof(3, 3, 8, NODES), ROOTS[8])
    check_range((), 0, 0, 0, (), EMPTY_ROOT)
    for top in (ROOTS[7], RANDOM, b""):
        with pytest.raises(ProofRefused):
            check_range((), 3, 3, 8, range_proof(3, 3, 8, NODES), top)
    with pytest.raises(ProofRefused):
        check_range((), 0, 0, 0, (), RANDOM)


# --- What provers refuse, and what refusals say ---


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: inclusion(8, 8, NODES), "In a tree of 8 there is no leaf 8"),
        (lambda: inclusion(-1, 8, NODES), "no leaf -1"),
        (lambda: inclusion(0, 0, NODES), "In a tree of 0 there is no leaf 0"),
        (lambda: consistency(9, 8, NODES), "A tree of 8 leaves cannot have begun as one of 9"),
        (lambda: consistency(-1, 8, NODES), "begun as one of -1"),
        (lambda: range_proof(3, 2, 8, NODES), "no leaves 3 to before 2"),
        (lambda: range_proof(-1, 2, 8, NODES), "no leaves -1 to before 2"),
        (lambda: range_proof(0, 9, 8, NODES), "no leaves 0 to before 9"),
        (lambda: root(-1, NODES), "No tree has -1 leaves"),
        (lambda: root(2**63, NODES), "No tree has 9223372036854775808 leaves"),
    ],
)
def test_what_is_not_there_is_not_proved(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(ProofRefused, match=said):
        ask()


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (
            lambda: check_inclusion(LEAVES[0], 0, 4, [RANDOM], ROOTS[4]),
            "To a proof of leaf 0 in a tree of 4 belong 2 hashes; here are 1",
        ),
        (
            lambda: check_inclusion(LEAVES[0], 0, 2, [RANDOM[1:]], ROOTS[2]),
            "Hash 0 of a proof of leaf 0 in a tree of 2 is not a hash of 32 bytes",
        ),
        (
            lambda: check_inclusion(LEAVES[0], 1, 2, [LEAVES[1]], ROOTS[2]),
            f"leaf 1 and its proof give another root .* where {ROOTS[2].hex()} is claimed",
        ),
        (
            lambda: check_consistency(1, 2, [LEAVES[1]], LEAVES[0], ROOTS[3]),
            "another root for the new tree, of 2",
        ),
        (
            lambda: check_consistency(3, 4, consistency(3, 4, NODES), ROOTS[2], ROOTS[4]),
            "another root for the old tree, of 3",
        ),
        (
            lambda: check_range(LEAVES[1:4], 1, 3, 3, LEAVES[:1], ROOTS[3]),
            "more leaves than the 2 that are claimed",
        ),
        (
            lambda: check_range(LEAVES[2:3], 2, 4, 4, [NODES(1, 0)], ROOTS[4]),
            "There are 1 leaves and not the 2",
        ),
        (
            lambda: check_range([*LEAVES[2:3], b""], 2, 4, 4, [NODES(1, 0)], ROOTS[4]),
            "Leaf 3 is not a hash",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(check: Callable[[], None], said: str) -> None:
    with pytest.raises(ProofRefused, match=said):
        check()
