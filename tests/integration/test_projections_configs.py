"""liveops_configs holds what a recount of the ledger finds, and lists by any filter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ledger.clock import Instant, format_instant, parse_instant
from ledger.content import Content
from ledger.events import ConfigEvent, Recorded
from ledger.intents import CreateConfig, Freeze, Unfreeze
from ledger.scopes import EVERYWHERE, Place, Scope
from ledger.state import State, Status, evolve
from projections.catalogue import install
from projections.configs import ConfigFilters, ListedConfig, list_configs
from tests.conftest import temporary_database
from tests.integration.projecting import (
    LEVERS,
    PLACES,
    SECOND,
    all_rows,
    columns,
    many_configs,
    project,
    random_history,
    record,
)
from tests.unit.history import START, History

Json = Any
SEEDS = range(4)


@pytest.fixture
def url(database: str) -> str:
    install(database)
    return database


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connected:
        connected.execute("SET ROLE liveops_writer")
        yield connected


# --- A recount that shares nothing with the view but the ledger's own fold ---


def recount(events: list[Recorded]) -> tuple[State, list[dict[str, Json]]]:
    """Fold one event at a time and note the status of its config at that instant."""
    state, statuses, last = State(), dict[UUID, str](), dict[UUID, Recorded]()
    for recorded in events:
        evolve(state, recorded)
        if isinstance(recorded.event, ConfigEvent):
            config_id = recorded.event.config_id
            last[config_id] = recorded
            statuses[config_id] = state.status(state.configs[config_id], recorded.recorded_at)
    found = [counted(state, config_id, statuses[config_id], last[config_id]) for config_id in last]
    return state, sorted(found, key=lambda row: row["position"])


def counted(state: State, config_id: UUID, status: str, last: Recorded) -> dict[str, Json]:
    config = state.configs[config_id]
    content = config.latest.content.to_json()
    activation = state.activation(config)
    pinned = None if activation is None else activation.pinned
    shadow = state.live.shadows.get(config_id)
    sources = [each.payload for each in (pinned, shadow and shadow.pinned) if each]
    return {
        **content,
        "valid_from": instant(content["valid_from"]),
        "valid_to": instant(content["valid_to"]),
        "config_id": config_id,
        "status": status,
        "created_by": config.created.actor,
        "created_at": config.created.recorded_at,
        "updated_at": last.recorded_at,
        "revision": config.latest.number,
        "active_revision": pinned and pinned.revision,
        "active_from": pinned and pinned.window.valid_from,
        "active_to": pinned and pinned.window.valid_to,
        "activated_at": activation and activation.origin.recorded_at,
        "activated_position": activation and activation.origin.position,
        "activation": pinned and {**pinned.to_json(), "rank": activation and activation.rank},
        "shadow_revision": shadow and shadow.pinned.revision,
        "shadowed_at": shadow and shadow.origin.recorded_at,
        "shadowed_position": shadow and shadow.origin.position,
        "shadow": shadow and {**shadow.pinned.to_json(), "rank": shadow.rank},
        "levers": sorted({*content["payload"], *(name for each in sources for name in each)}),
        "created_position": config.created.position,
        "position": last.position,
    }


def instant(text: str | None) -> Instant | None:
    return None if text is None else parse_instant(text)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_table_is_what_a_recount_finds(url: str, seed: int) -> None:
    history = random_history(seed)
    record(url, history.events)
    project(url)
    assert columns(url, "liveops_configs") == recount(history.events)[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_freezes_are_those_that_still_matter(url: str, seed: int) -> None:
    history = random_history(seed)
    record(url, history.events)
    project(url)
    found = {
        (row["scope"], row["scope_ref"], row["begun_at"], row["ended_at"])
        for row in columns(url, "liveops_freezes")
    }
    assert found == {
        (place.scope.value, place.ref, freeze.begin, freeze.end)
        for place, freezes in history.live.freezes.items()
        for freeze in freezes
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_batches_leave_no_trace(url: str, new_installed: str, seed: int) -> None:
    history = random_history(seed)
    for database, batch in ((url, 1), (new_installed, 17)):
        record(database, history.events)
        project(database, batch=batch)
    assert all_rows(url) == all_rows(new_installed)


@pytest.fixture
def new_installed(postgres_url: str, template: str) -> Iterator[str]:
    with temporary_database(postgres_url, template) as database:
        install(database)
        yield database


# --- The status at an instant ---


@pytest.mark.parametrize("seed", SEEDS)
def test_the_status_listed_is_the_one_at_the_instant(
    url: str, connection: psycopg.Connection, seed: int
) -> None:
    history = random_history(seed)
    record(url, history.events)
    project(url)
    for ahead in range(0, 200, 7):
        at = history.now + ahead * SECOND
        expected = {
            c.config_id: history.state.status(c, at) for c in history.state.configs.values()
        }
        assert {c.config_id: c.status for c in list_configs(connection, at=at).rows} == expected
        assert asked_in_sql(connection, at) == expected


def asked_in_sql(connection: psycopg.Connection, at: Instant) -> dict[UUID, str]:
    query = "SELECT config_id, status FROM liveops_configs_at(%s)"
    return dict(connection.execute(query, (format_instant(at),)).fetchall())


def test_clocks_chain_through_freezes_that_overlap(
    url: str, connection: psycopg.Connection
) -> None:
    world, history = Place(Scope.WORLD, "w1"), History()
    first = history.do(Freeze(world)).recorded_at
    second = history.do(Freeze(EVERYWHERE)).recorded_at
    history.do(Unfreeze(world))
    record(url, history.events)
    project(url)
    query = (
        "SELECT scope::text, scope_ref, liveops_instant(clock) FROM liveops_clocks('2100-01-01')"
    )
    assert set(connection.execute(query)) == {("world", "w1", first), ("global", "global", second)}


def test_the_past_of_the_view_is_not_asked(url: str, connection: psycopg.Connection) -> None:
    record(url, many_configs(1).events)
    project(url)
    long_ago = list_configs(connection, at=START - 1)
    assert [config.status for config in long_ago.rows] == [Status.ACTIVE]


# --- Lists ---


@pytest.fixture(scope="module")
def shared(postgres_url: str, template: str) -> Iterator[tuple[psycopg.Connection, History]]:
    with temporary_database(postgres_url, template) as database:
        install(database)
        history = random_history(11, steps=400)
        record(database, history.events)
        project(database)
        with psycopg.connect(database, autocommit=True) as connected:
            yield connected, history


Shared = tuple[psycopg.Connection, History]


@pytest.mark.parametrize("status", list(Status))
def test_lists_by_status(shared: Shared, status: Status) -> None:
    connection, history = shared
    for ahead in (0, 60, 3600):
        at = history.now + ahead * SECOND
        expected = {
            c.config_id
            for c in history.state.configs.values()
            if history.state.status(c, at) is status
        }
        page = list_configs(connection, status=status.value, at=at)
        assert {config.config_id for config in page.rows} == expected


@pytest.mark.parametrize("place", PLACES)
def test_lists_by_place(shared: Shared, place: Place) -> None:
    connection, history = shared
    page = list_configs(connection, scope=place.scope.value, scope_ref=place.ref)
    assert ids(page.rows) == {
        c.config_id for c in history.state.configs.values() if c.place == place
    }


@pytest.mark.parametrize("lever", [*LEVERS, "DIALOGUE_GATE"])
def test_lists_by_lever_of_revision_or_activation(shared: Shared, lever: str) -> None:
    connection, history = shared
    counted = recount(history.events)[1]
    expected = {row["config_id"] for row in counted if lever in row["levers"]}
    assert ids(list_configs(connection, lever=lever).rows) == expected


@pytest.mark.parametrize(
    ("q", "found"), [("CONFIG", 8), ("%_", 8), ("_%", 0), ("\\", 0), ("\0", 0)]
)
def test_a_text_is_looked_for_as_it_stands(shared: Shared, q: str, found: int) -> None:
    assert len(list_configs(shared[0], q=q).rows) == found


def test_a_text_may_be_in_the_ref(shared: Shared) -> None:
    rows = list_configs(shared[0], q="W1").rows
    assert {row.scope_ref for row in rows} == {"w1"}


def test_pages_are_the_list_newest_first(shared: Shared) -> None:
    whole = list_configs(shared[0]).rows
    assert [row.created_position for row in whole] == sorted(
        (row.created_position for row in whole), reverse=True
    )
    assert paged(shared[0], limit=3) == list(whole)
    assert paged(shared[0], limit=len(whole)) == list(whole)


def paged(connection: psycopg.Connection, limit: int) -> list[ListedConfig]:
    rows, after = list[ListedConfig](), None
    while True:
        page = list_configs(connection, limit=limit, after=after)
        rows.extend(page.rows)
        if page.next is None:
            return rows
        after = page.next


def test_a_config_is_found_by_its_id(shared: Shared) -> None:
    (row,) = list_configs(shared[0], config_id=UUID(int=1)).rows
    assert row.to_json()["config_id"] == str(UUID(int=1))
    assert row.to_json()["created_at"].endswith("Z")


@pytest.mark.parametrize("filters", [ConfigFilters(scope="planet"), ConfigFilters(status="asleep")])
def test_what_does_not_exist_is_refused(shared: Shared, filters: ConfigFilters) -> None:
    with pytest.raises(ValueError, match=r"planet|asleep"):
        list_configs(shared[0], **filters)


def test_a_number_beyond_64_bits_comes_as_a_float(url: str, connection: psycopg.Connection) -> None:
    history = History()
    content = Content("n", EVERYWHERE, {}, labels={})
    created = history.do(CreateConfig(UUID(int=1), content))
    record(url, [created])
    project(url)
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("UPDATE liveops_configs SET payload = '{\"X\": 1e30}'")
    assert list_configs(connection).rows[0].payload == {"X": 1e30}


def ids(rows: tuple[ListedConfig, ...]) -> set[UUID]:
    return {row.config_id for row in rows}
