"""`liveops_tree` is the Merkle tree of the envelopes, however it came about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
import pytest

from ledger.errors import LedgerError
from ledger.events import Recorded, encode, envelope
from ledger.merkle import (
    EMPTY_ROOT,
    Hash,
    check_consistency,
    check_inclusion,
    consistency,
    inclusion,
    leaf_hash,
    root,
    root_of,
)
from ledger.tiles import Tile
from projections.catalogue import install
from projections.tree import TreeBroken, TreeView, nodes, size, tile
from projections.views import Connection, connect
from tests.integration.projecting import many_configs, project, random_history, record, rows

VIEW = TreeView()


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    install(database)
    connected = connect(database)
    yield connected
    connected.close()


def leaf(recorded: Recorded) -> Hash:
    state = encode(recorded.event, recorded.event_id, recorded.cause)
    return leaf_hash(envelope(recorded.position, recorded.recorded_at, state))


def test_without_events_it_is_the_empty_tree(connection: Connection) -> None:
    assert size(connection) == 0
    assert root(0, nodes(connection, 0)) == EMPTY_ROOT
    assert tile(connection, Tile(0, 0, 1)) is None


@pytest.mark.parametrize(("seed", "batch"), [(1, 1), (2, 7), (3, 1000)])
def test_at_every_size_it_has_the_root_of_the_envelopes(
    database: str, connection: Connection, seed: int, batch: int
) -> None:
    events = random_history(seed, 60).events
    record(database, events)
    project(database, [VIEW], batch)
    leaves = list(map(leaf, events))
    assert size(connection) == len(events)
    for count in range(len(events) + 1):
        assert root(count, nodes(connection, count)) == root_of(leaves[:count])


def test_beyond_a_tile_every_level_is_as_folded(database: str, connection: Connection) -> None:
    events = many_configs(400).events
    leaves = list(map(leaf, events))
    record(database, events[:500])
    project(database, [VIEW], 77)
    record(database, events[500:])
    project(database, [VIEW], 300)
    for count in (255, 256, 257, 500, 512, 513, len(events)):
        assert root(count, nodes(connection, count)) == root_of(leaves[:count])
    assert tile(connection, Tile(1, 0, 3)) == b"".join(
        root_of(leaves[first : first + 256]) for first in (0, 256, 512)
    )
    assert tile(connection, Tile(1, 0, 4)) is None


def test_the_tiles_do_not_tell_how_the_batches_were(database: str, connection: Connection) -> None:
    record(database, many_configs(300).events)
    project(database, [VIEW], 600)
    at_once = rows(database, VIEW.name)
    connection.execute("DELETE FROM liveops_tree")
    connection.execute("UPDATE liveops_projections SET position = 0 WHERE name = 'liveops_tree'")
    project(database, [VIEW], 13)
    assert rows(database, VIEW.name) == at_once


def test_every_event_is_proved_from_the_tiles(database: str, connection: Connection) -> None:
    events = many_configs(150).events
    record(database, events)
    project(database, [VIEW])
    held = nodes(connection, len(events))
    head = root(len(events), held)
    for index, recorded in enumerate(events):
        proof = inclusion(index, len(events), held)
        check_inclusion(leaf(recorded), index, len(events), proof, head)
    for old in range(1, len(events)):
        before = root(old, nodes(connection, old))
        check_consistency(old, len(events), consistency(old, len(events), held), before, head)


# --- What it refuses ---


def apply(connection: Connection, events: Sequence[Recorded]) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        VIEW.apply(cursor, events)


def test_a_missing_event_stops_it(database: str, connection: Connection) -> None:
    events = many_configs(5).events
    record(database, events)
    with psycopg.connect(database) as superuser:
        superuser.execute("ALTER TABLE liveops_events DISABLE TRIGGER USER")
        superuser.execute("DELETE FROM liveops_events WHERE position = 7")
    with pytest.raises(TreeBroken, match="event 7 is missing: 8 follows"):
        apply(connection, events)
    assert size(connection) == 0


def test_tiles_of_another_size_stop_it(database: str, connection: Connection) -> None:
    events = many_configs(5).events
    record(database, events[:8])
    project(database, [VIEW])
    connection.execute(
        "UPDATE liveops_tree SET width = 7, hashes = substr(hashes, 1, 224) WHERE level = 0"
    )
    record(database, events[8:])
    with pytest.raises(TreeBroken, match="holds 7 events and not 8"):
        apply(connection, events[8:])


def test_beyond_its_size_there_are_no_nodes(database: str, connection: Connection) -> None:
    record(database, many_configs(2).events)
    project(database, [VIEW])
    with pytest.raises(LedgerError, match=r"has no tile 0/000\.p/5"):
        root(5, nodes(connection, 5))
