"""`liveops_checkpoints`: the signed heads of the tree. What signs them is `projections.signing`."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from ledger.clock import Instant
from ledger.merkle import Hash
from projections import sql
from projections.views import Connection, ask_page


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint as it was signed: the note says all the rest."""

    size: int
    root: Hash
    note: str
    signed_at: Instant


def head(connection: Connection) -> SignedHead | None:
    """Read the newest checkpoint; None before the first."""
    return _one(connection, "checkpoints_newest", {})


def newest(connection: Connection) -> tuple[int, str] | None:
    """Read the newest checkpoint's size and note; None before the first."""
    found = head(connection)
    return None if found is None else (found.size, found.note)


def covering(connection: Connection, size: int) -> SignedHead | None:
    """Read the earliest checkpoint of a tree of at least so many events; None if there is none."""
    return _one(connection, "checkpoints_covering", {"size": size})


def after(connection: Connection, size: int, limit: int) -> list[SignedHead]:
    """List checkpoints of larger trees than that, by size, at most `limit`."""
    return ask_page(
        connection, "checkpoints_after", {}, {"after": size, "limit": limit}, SignedHead
    )


def _one(connection: Connection, query: str, parameters: dict[str, int]) -> SignedHead | None:
    found = ask_page(connection, query, {}, parameters, SignedHead)
    return found[0] if found else None


def add(connection: Connection, *, size: int, root: Hash, note: str) -> None:
    """Keep a checkpoint. One that is there keeps its root, whatever is given."""
    parameters = {"size": size, "root": root, "note": note}
    connection.execute(sql.queries()["checkpoints_add"], parameters)


def log_keys(connection: Connection) -> list[str]:
    """List the public keys that checkpoints were signed with, the first one in front."""
    return [vkey for (vkey,) in connection.execute(sql.queries()["log_keys"])]


def add_log_keys(connection: Connection, vkeys: list[str], since: int) -> None:
    """Take note of the public keys that have signed a checkpoint."""
    parameters = {"vkeys": vkeys, "since": since}
    connection.execute(sql.queries()["log_keys_add"], parameters)


def origin_of(connection: Connection) -> str | None:
    """Name the log after its first event; None while it is empty."""
    row = connection.execute(sql.queries()["log_first_event"], binary=True).fetchone()
    return None if row is None else named_after(row[0])


def named_after(first_event: bytes) -> str:
    """Name a log after the stored bytes of its first event: no other log has that one."""
    return f"liveops-ledger/{orjson.loads(first_event)['event_id']}"
