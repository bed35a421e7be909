"""Proofs of what is in the log, put together from the tree, its checkpoints and the events.

Whoever is given one checks it by `ledger.merkle` alone: nothing here has to be believed.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from commands.questions import Basis
from ledger import merkle
from ledger.errors import LedgerError, NotFound
from ledger.live import Live
from ledger.merkle import Hash, leaf_hash
from ledger.resolve import Resolution
from ledger.scopes import EVERYWHERE
from ledger.store import LedgerStore
from projections import checkpoints, tree
from projections.checkpoints import SignedHead
from projections.views import Connection

Json = Any


class NotSigned(LedgerError):
    """No checkpoint has been signed: the projector needs a key, see LIVEOPS_SIGNING_KEYS."""

    status = 404
    slug = "not-signed"


def newest(connection: Connection) -> SignedHead:
    """Read the newest checkpoint; raises NotSigned."""
    found = checkpoints.head(connection)
    if found is None:
        raise NotSigned
    return found


def inclusion(
    connection: Connection, store: LedgerStore, position: int, size: int | None = None
) -> dict[str, Json]:
    """Prove that an event is in the tree of the first `size` events, or of the newest checkpoint.

    Raises NotFound for an event or a tree that is not there, and NotSigned.
    """
    size, note = _head(connection, size)
    if not 0 < position <= size:
        raise NotFound(f"position {position} is not among the first {size} events")
    nodes = tree.nodes(connection, size)
    return {
        **_proved(store, position, merkle.inclusion(position - 1, size, nodes)),
        "size": size,
        "root": text_of(merkle.root(size, nodes)),
        "checkpoint": note,
    }


def consistency(connection: Connection, old: int, new: int | None = None) -> dict[str, Json]:
    """Prove that the first `new` events begin with the first `old` ones.

    Raises NotFound for a tree that is not there, and NotSigned.
    """
    new, note = _head(connection, new)
    if old > new:
        raise NotFound(f"the tree of {new} events holds none of {old}")
    nodes = tree.nodes(connection, new)
    held = checkpoints.covering(connection, old)
    return {
        "old": old,
        "old_root": text_of(merkle.root(old, nodes)),
        "old_checkpoint": held.note if held is not None and held.size == old else None,
        "new": new,
        "new_root": text_of(merkle.root(new, nodes)),
        "checkpoint": note,
        "proof": list(map(text_of, merkle.consistency(old, new, nodes))),
    }


def _head(connection: Connection, size: int | None) -> tuple[int, str | None]:
    """Choose the tree that is proved of, and give its checkpoint if it has one."""
    if size is None:
        head = newest(connection)
        return head.size, head.note
    if size > tree.size(connection):
        raise NotFound(f"the tree holds no {size} events yet")
    held = checkpoints.covering(connection, size)
    return size, held.note if held is not None and held.size == size else None


def of_answer(connection: Connection, store: LedgerStore, basis: Basis) -> dict[str, Json]:
    """Prove what an answer rests on: every event that supplied something of it, and its prefix.

    Against the newest checkpoint, which must hold the answer's position. Raises NotSigned.
    """
    head, position = newest(connection), basis.answer.position
    nodes = tree.nodes(connection, head.size)
    events = [
        {
            **_proved(store, supplier, merkle.inclusion(supplier - 1, head.size, nodes)),
            "supplies": supplied,
        }
        for supplier, supplied in sorted(grounds(basis.live, basis.explained).items())
    ]
    return {
        "answer": basis.answer.body.decode(),
        "position": position,
        "position_root": text_of(merkle.root(position, nodes)),
        "consistency": list(map(text_of, merkle.consistency(position, head.size, nodes))),
        "events": events,
        "size": head.size,
        "root": text_of(head.root),
        "checkpoint": head.note,
    }


def _proved(store: LedgerStore, position: int, proof: Iterable[Hash]) -> dict[str, Json]:
    (stored,) = store.read(after=position - 1, limit=1)
    envelope = stored.envelope()
    return {
        "position": position,
        "envelope": envelope.decode(),
        "leaf": text_of(leaf_hash(envelope)),
        "proof": list(map(text_of, proof)),
    }


def text_of(value: Hash) -> str:
    """Write a hash as JSON has it."""
    return b64encode(value).decode()


# --- What an answer rests on ---


def grounds(live: Live, explained: Iterable[Resolution]) -> Mapping[int, list[str]]:
    """Tell which events supplied something of an answer, and what each of them did."""
    found: defaultdict[int, dict[str, None]] = defaultdict(dict)
    for resolution in explained:
        for position, supplied in _suppliers(live, resolution):
            found[position][supplied] = None
    return {position: list(supplied) for position, supplied in found.items()}


def _suppliers(live: Live, resolution: Resolution) -> Iterator[tuple[int, str]]:
    if live.catalog_origin is not None:
        yield live.catalog_origin.position, "catalog"
    if resolution.explanation is None:
        return
    places = {EVERYWHERE}
    for lever, each in resolution.explanation.items():
        for source in (*each.fields.values(), *filter(None, [each.source])):
            places.add(source.pinned.place)
            yield source.origin.position, f"lever:{lever}"
        if each.killed is not None:
            yield each.killed.position, f"kill:{lever}"
    for experiment_id in live.experiments.keys() & resolution.experiments.keys():
        yield live.experiments[experiment_id].origin.position, f"experiment:{experiment_id}"
    for place in live.freezes.keys() & places:
        for freeze in live.freezes[place]:
            yield freeze.origin.position, f"freeze:{place}"
