"""Checks proofs as a server gives them, believing nothing of them but what the log's key signed.

Each check returns what it has shown, in words; it raises ProofRefused or NoteRefused, which say
what does not hold.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from ledger.catalog import Catalog, shipped_catalog
from ledger.clock import format_instant
from ledger.events import Recorded, decode_envelope
from ledger.merkle import (
    Hash,
    ProofRefused,
    check_consistency,
    check_inclusion,
    leaf_hash,
)
from ledger.notes import Checkpoint, Verifier, signers_of

Json = Any
Keys = Collection[Verifier]


def checkpoint(note: str, keys: Keys) -> tuple[Checkpoint, list[str]]:
    """Check that a known key has signed a head of the log."""
    text, signed_by = signers_of(note, keys)
    head = Checkpoint.parse(text)
    names = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in signed_by)
    return head, [f"A log of {_events(head.size)} is signed: {head.origin}", f"by the key {names}."]


def inclusion(proof: Mapping[str, Json], position: int, keys: Keys) -> list[str]:
    """Check that the event at a position is in a log that a known key has signed."""
    head, words = _signed(proof, keys)
    recorded = _included(proof, head)
    if recorded.position != position:
        raise ProofRefused(f"The proof is of event {recorded.position}, not of {position}.")
    return [*words, f"{_told(recorded)} is in it, with {len(proof['proof'])} hashes to prove it."]


def consistency(
    proof: Mapping[str, Json], old: Checkpoint, keys: Keys, new: Checkpoint | None = None
) -> list[str]:
    """Check that a signed log begins with an earlier one, whose checkpoint is trusted already.

    `new` is the later checkpoint, where that is at hand too; else the one that came with the proof.
    """
    words: list[str] = []
    if new is None:
        new, words = _noted(proof, keys)
    if old.origin != new.origin:
        raise ProofRefused(f"These are two logs: {old.origin} and {new.origin}.")
    if (proof["old"], proof["new"]) != (old.size, new.size):
        raise ProofRefused(
            f"The proof is from {proof['old']} to {proof['new']} events, not from {old.size} to"
            f" {new.size}."
        )
    check_consistency(old.size, new.size, _hashes(proof["proof"]), old.root, new.root)
    if (_hash(proof["old_root"]), _hash(proof["new_root"])) != (old.root, new.root):
        raise ProofRefused("The proof names other roots than those that were signed.")
    added = new.size - old.size
    return [
        *words,
        f"It begins with what was signed before, {_events(old.size)}, each as it was,",
        f"and continues with {_events(added)}." if added else "and has no others.",
    ]


def answer(proof: Mapping[str, Json], token: str, keys: Keys) -> list[str]:
    """Check that what an answer is said to rest on is in a log that a known key has signed."""
    head, words = _signed(proof, keys)
    said = orjson.loads(proof["answer"])
    if (said["token"], said["position"]) != (token, proof["position"]):
        raise ProofRefused("The proof is of another answer than the one that was asked for.")
    path = _hashes(proof["consistency"])
    before = _hash(proof["position_root"])
    check_consistency(said["position"], head.size, path, before, head.root)
    suppliers = [_supplier(event, head, said) for event in proof["events"]]
    _check_values(said, proof["events"])
    return [
        *words,
        f"The answer is of position {said['position']}: it rests on the events from 1 to there,",
        f"the root of whose tree is {proof['position_root']}.",
        *suppliers,
        f"Its {len(said['values'])} values are what these events and the catalog's defaults say.",
    ]


def _supplier(event: Mapping[str, Json], head: Checkpoint, said: Mapping[str, Json]) -> str:
    recorded = _included(event, head)
    if recorded.position > said["position"]:
        raise ProofRefused(f"Event {recorded.position} is later than the answer.")
    told = orjson.loads(event["envelope"])["data"]
    for supplied in event["supplies"]:
        _check_supplied(supplied, told, recorded.position)
    return f"{_told(recorded)} is in the log. It supplied {_listed(event['supplies'])}."


def _check_supplied(supplied: str, told: Mapping[str, Json], position: int) -> None:
    """See that the event itself speaks of what it is said to have supplied."""
    kind, _, name = supplied.partition(":")
    match kind:
        case "lever":
            speaks = name in _payload(told)
        case "kill":
            speaks = told.get("lever") == name
        case "experiment":
            speaks = told.get("experiment", {}).get("experiment_id") == name
        case "freeze":
            speaks = name in {told.get("scope"), f"{told.get('scope')} {told.get('scope_ref')}"}
        case _:
            speaks = kind in told
    if not speaks:
        raise ProofRefused(f"Event {position} says nothing of {supplied}.")


def _payload(told: Mapping[str, Json]) -> Mapping[str, Json]:
    activation = told.get("activation") or told.get("shadow") or {}
    payload: Mapping[str, Json] = activation.get("payload", {})
    return payload


def _check_values(said: Mapping[str, Json], events: Sequence[Mapping[str, Json]]) -> None:
    """See that each value of an answer is one that its suppliers, or else the catalog, set.

    With an answer in shadow come the suppliers of both: then a default is as good as theirs.
    """
    told = [(event["supplies"], orjson.loads(event["envelope"])["data"]) for event in events]
    catalogs = [Catalog.from_json(data["catalog"]) for _, data in told if "catalog" in data]
    catalog = catalogs[-1] if catalogs else shipped_catalog()
    if said["values"].keys() != catalog.levers.keys():
        raise ProofRefused("The answer does not name the levers of the catalog.")
    for lever, value in said["values"].items():
        if any(f"kill:{lever}" in supplies for supplies, _ in told):
            possible = [catalog.kill_value(lever)]
        else:
            possible = [
                catalog.read(lever, _payload(data)[lever])
                for supplies, data in told
                if f"lever:{lever}" in supplies
            ]
        default = catalog.defaults[lever]
        if not possible or "shadow" in said or isinstance(default, dict):
            possible.append(default)
        if not _follows(value, possible):
            raise ProofRefused(f"No event in the proof says that {lever} is {value!r}.")


def _follows(value: Json, possible: Sequence[Json]) -> bool:
    """Tell whether a value is among those; an object, whether each of its fields is."""
    if not isinstance(value, dict):
        return _same(value, possible)
    objects = [each for each in possible if isinstance(each, dict)]
    return all(
        _same(inner, [each[name] for each in objects if name in each])
        for name, inner in value.items()
    )


def _same(value: Json, possible: Sequence[Json]) -> bool:
    # As JSON: to Python false is 0, and 1 is 1.0.
    return orjson.dumps(value) in map(orjson.dumps, possible)


# --- What all of them begin with ---


def _signed(proof: Mapping[str, Json], keys: Keys) -> tuple[Checkpoint, list[str]]:
    """Check the checkpoint of a proof, and that the proof is about just that."""
    head, words = _noted(proof, keys)
    if (proof["size"], _hash(proof["root"])) != (head.size, head.root):
        raise ProofRefused(f"The proof is not about the log of {head.size} events that was signed.")
    return head, words


def _noted(proof: Mapping[str, Json], keys: Keys) -> tuple[Checkpoint, list[str]]:
    if proof["checkpoint"] is None:
        raise ProofRefused("No checkpoint has this size, so nobody has signed it: leave out --size")
    return checkpoint(proof["checkpoint"], keys)


def _included(event: Mapping[str, Json], head: Checkpoint) -> Recorded:
    envelope = event["envelope"].encode()
    recorded = decode_envelope(envelope)
    if (event["position"], _hash(event["leaf"])) != (recorded.position, leaf_hash(envelope)):
        raise ProofRefused(f"What is given as event {event['position']} is not that event.")
    index = recorded.position - 1
    path = _hashes(event["proof"])
    check_inclusion(leaf_hash(envelope), index, head.size, path, head.root)
    return recorded


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _told(recorded: Recorded) -> str:
    kind = type(recorded.event).__name__
    return f"Event {recorded.position}, {kind}, recorded at {format_instant(recorded.recorded_at)},"


def _listed(supplies: Sequence[str]) -> str:
    few = [supplied.replace(":", " ") for supplied in supplies[:5]]
    more = len(supplies) - len(few)
    return ", ".join(few) + (f" and {more} more" if more else "")


def _hashes(written: Sequence[str]) -> list[Hash]:
    return list(map(_hash, written))


def _hash(written: str) -> Hash:
    try:
        return b64decode(written, validate=True)
    except ValueError:
        raise ProofRefused(f"{written[:60]!r} is no hash in base64.") from None
