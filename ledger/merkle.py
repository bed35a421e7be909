"""A tree of hashes over the log, after RFC 9162 §2: what it holds can be proved in a few hashes.

The tree of the first *n* leaves is split at the largest power of two below *n*, and so is each
part again, so that all but the right edge are **complete subtrees**: 2^level leaves, the first of
them a multiple of 2^level. A complete subtree never changes as the log grows; provers are handed
the hashes of those (`Nodes`, from tiles or a list) and fold the right edge themselves.

Who proves and who checks walk the same path, a list of spans `(first, end)` of leaves, and
`check_*` asks for exactly the hashes of that path: one too many or too few is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Self

from ledger.errors import LedgerError

Hash = bytes
"""32 bytes of SHA-256."""

Nodes = Callable[[int, int], Hash]
"""(level, index) -> the hash of that complete subtree; at level 0 are the leaves."""

Span = tuple[int, int]
"""The leaves [first, end)."""

HASH_BYTES = 32
EMPTY_ROOT: Hash = sha256(b"").digest()
LARGEST_SIZE = 2**63 - 1
"""No ledger is longer: a position is a signed 64-bit number."""


class ProofRefused(LedgerError):
    """The proof does not show what it is said to show."""

    status = 422
    slug = "proof-refused"


def leaf_hash(data: bytes) -> Hash:
    """Hash one entry; its prefix keeps an entry from passing for an inner node."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    """Hash two neighbouring subtrees into the one that holds both."""
    return sha256(b"\x01" + left + right).digest()


# --- Geometry ---


def covering(first: int, end: int) -> list[tuple[int, int]]:
    """List the complete subtrees (level, index) that make up the leaves [first, end), in order."""
    subtrees = []
    while first < end:
        level = (end - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        subtrees.append((level, first >> level))
        first += 1 << level
    return subtrees


def _split(first: int, end: int) -> int:
    """Say where RFC 9162 splits these leaves: after the largest power of two that is fewer."""
    return first + (1 << ((end - first - 1).bit_length() - 1))


def _beside_leaf(index: int, size: int) -> list[Span]:
    """List what stands beside one leaf's way up to the root, from the leaf upwards."""
    first, end, beside = 0, size, []
    while end - first > 1:
        middle = _split(first, end)
        if index < middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((first, middle))
            first = middle
    return beside[::-1]


def _beside_edge(old: int, new: int) -> tuple[Span, list[Span]]:
    """Give the subtree at the old tree's right edge, and what stands beside its way up."""
    first, end, beside = 0, new, []
    while end > old:
        middle = _split(first, end)
        if old <= middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((first, middle))
            first = middle
    return (first, end), beside[::-1]


# --- Roots ---


def _fold(peaks: Sequence[Hash]) -> Hash:
    """Fold neighbouring complete subtrees, the smallest at the right, into one hash."""
    folded = peaks[-1]
    for peak in reversed(peaks[:-1]):
        folded = node_hash(peak, folded)
    return folded


class Frontier:
    """A tree that only grows, in as many hashes as its size has binary ones.

    `hashes` are its complete subtrees from left to right; with the size they are all that is
    needed to go on from there.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, hashes: Iterable[Hash] = ()) -> None:
        self.size = _sized(size)
        self._peaks = _hashes(hashes, size.bit_count(), f"the right edge of a tree of {size}")

    @property
    def hashes(self) -> tuple[Hash, ...]:
        """The complete subtrees, from left to right."""
        return tuple(self._peaks)

    def add(self, leaf: Hash) -> None:
        """Append one leaf."""
        self._carry(leaf, self.size)
        self.size += 1

    def join(self, level: int, subtree: Hash) -> None:
        """Append a complete subtree of 2^level leaves where one of that size can begin."""
        if self.size & ((1 << level) - 1):
            raise ProofRefused(f"After {self.size} leaves no subtree of {1 << level} can begin.")
        self._carry(subtree, self.size >> level)
        self.size += 1 << level

    def _carry(self, subtree: Hash, before: int) -> None:
        # As in counting: each one in front carries over into the next level.
        while before & 1:
            subtree = node_hash(self._peaks.pop(), subtree)
            before >>= 1
        self._peaks.append(subtree)

    def root(self) -> Hash:
        """Fold the root of the tree as it is now."""
        return _fold(self._peaks) if self._peaks else EMPTY_ROOT

    def copy(self) -> Self:
        """Return a frontier that grows apart from this one."""
        return type(self)(self.size, self._peaks)


def root_of(leaves: Iterable[Hash]) -> Hash:
    """Fold the root of these leaves, without holding them."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def nodes_over(leaves: Sequence[Hash]) -> Nodes:
    """Hold a whole tree in memory, twice its leaves. For long logs there are tiles."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = iter(levels[-1])
        levels.append([node_hash(*pair) for pair in zip(below, below, strict=False)])
    return lambda level, index: levels[level][index]


def root(size: int, nodes: Nodes) -> Hash:
    """Fold the root of the first `size` leaves."""
    return _hash_over((0, _sized(size)), nodes) if size else EMPTY_ROOT


def _hash_over(span: Span, nodes: Nodes) -> Hash:
    return _fold([nodes(level, index) for level, index in covering(*span)])


# --- Proving ---


def inclusion(index: int, size: int, nodes: Nodes) -> tuple[Hash, ...]:
    """Prove that a leaf is in the tree of the first `size` leaves (RFC 9162 §2.1.3.1)."""
    _placed(index, size)
    return tuple(_hash_over(span, nodes) for span in _beside_leaf(index, size))


def consistency(old: int, new: int, nodes: Nodes) -> tuple[Hash, ...]:
    """Prove that the tree of `old` leaves is how the tree of `new` began (RFC 9162 §2.1.4.1).

    From the empty tree, and between equal sizes, there is nothing to prove: no hashes.
    """
    _ordered(old, new)
    if old in (0, new):
        return ()
    edge, beside = _beside_edge(old, new)
    # The old root itself is what the checker holds, where it is a subtree of the new tree.
    spans = [edge, *beside] if edge[0] else beside
    return tuple(_hash_over(span, nodes) for span in spans)


def range_proof(first: int, end: int, size: int, nodes: Nodes) -> tuple[Hash, ...]:
    """Prove that the leaves [first, end) are just those: the subtrees left and right of them."""
    _within(first, end, size)
    return tuple(nodes(*node) for node in covering(0, first) + covering(end, size))


# --- Checking ---


def check_inclusion(leaf: Hash, index: int, size: int, proof: Iterable[Hash], root: Hash) -> None:
    """Refuse a proof that does not lead from this leaf, at this index, to the root."""
    _placed(index, size)
    beside = _beside_leaf(index, size)
    hashes = _hashes(proof, len(beside), f"a proof of leaf {index} in a tree of {size}")
    folded = _hash(leaf, "The leaf")
    for (first, _), other in zip(beside, hashes, strict=True):
        folded = node_hash(folded, other) if first > index else node_hash(other, folded)
    _same(folded, root, f"leaf {index} and its proof give another root for a tree of {size}")


def check_consistency(
    old: int, new: int, proof: Iterable[Hash], old_root: Hash, new_root: Hash
) -> None:
    """Refuse a proof that does not lead from both roots to the same first `old` leaves."""
    _ordered(old, new)
    if old in (0, new):
        _hashes(proof, 0, f"a proof from {old} to {new} leaves")
        _same(new_root if old else EMPTY_ROOT, old_root, f"trees of {old} leaves have one root")
        _same(EMPTY_ROOT if new == 0 else new_root, new_root, "the empty tree has one root")
        return
    edge, beside = _beside_edge(old, new)
    wanted = len(beside) + (edge[0] > 0)
    hashes = _hashes(proof, wanted, f"a proof from {old} to {new} leaves")
    before = after = hashes.pop(0) if edge[0] else _hash(old_root, "The old root")
    for (first, _), other in zip(beside, hashes, strict=True):
        if first < old:
            before = node_hash(other, before)
            after = node_hash(other, after)
        else:
            after = node_hash(after, other)
    _same(before, old_root, f"the proof gives another root for the old tree, of {old}")
    _same(after, new_root, f"the proof gives another root for the new tree, of {new}")


def check_range(  # noqa: PLR0917 - as RFC 9162 has them: the leaves, where, the proof, the root
    leaves: Iterable[Hash], first: int, end: int, size: int, proof: Iterable[Hash], root: Hash
) -> None:
    """Refuse leaves that are not just those from `first` to before `end`, or a wrong proof.

    The leaves may come from a generator; they are not held.
    """
    _within(first, end, size)
    left, right = covering(0, first), covering(end, size)
    what = f"a proof of leaves {first} to before {end} in a tree of {size}"
    hashes = _hashes(proof, len(left) + len(right), what)
    frontier = Frontier(first, hashes[: len(left)])
    for leaf in leaves:
        if frontier.size == end:
            raise ProofRefused(f"There are more leaves than the {end - first} that are claimed.")
        frontier.add(_hash(leaf, f"Leaf {frontier.size}"))
    if frontier.size < end:
        raise ProofRefused(
            f"There are {frontier.size - first} leaves and not the {end - first} that are claimed."
        )
    for (level, _), subtree in zip(right, hashes[len(left) :], strict=True):
        frontier.join(level, subtree)
    _same(frontier.root(), root, f"these leaves and {what} give another root")


# --- Refusing ---


def _hash(value: Hash, what: str) -> Hash:
    if not isinstance(value, bytes) or len(value) != HASH_BYTES:
        raise ProofRefused(f"{what} is not a hash of {HASH_BYTES} bytes.")
    return value


def _hashes(proof: Iterable[Hash], wanted: int, what: str) -> list[Hash]:
    hashes = [_hash(value, f"Hash {place} of {what}") for place, value in enumerate(proof)]
    if len(hashes) != wanted:
        raise ProofRefused(f"To {what} belong {wanted} hashes; here are {len(hashes)}.")
    return hashes


def _same(folded: Hash, claimed: Hash, otherwise: str) -> None:
    if folded != _hash(claimed, "The root"):
        raise ProofRefused(
            f"Not proved: {otherwise} ({folded.hex()} where {claimed.hex()} is claimed)."
        )


def _sized(size: int) -> int:
    if not 0 <= size <= LARGEST_SIZE:
        raise ProofRefused(f"No tree has {size} leaves: a size is from 0 to 2^63 - 1.")
    return size


def _placed(index: int, size: int) -> None:
    if not 0 <= index < _sized(size):
        raise ProofRefused(f"In a tree of {size} there is no leaf {index}: the first is leaf 0.")


def _ordered(old: int, new: int) -> None:
    if not 0 <= old <= _sized(new):
        raise ProofRefused(f"A tree of {new} leaves cannot have begun as one of {old}.")


def _within(first: int, end: int, size: int) -> None:
    if not 0 <= first <= end <= _sized(size):
        raise ProofRefused(f"In a tree of {size} there are no leaves {first} to before {end}.")
