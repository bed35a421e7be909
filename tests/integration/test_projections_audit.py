"""liveops_audit tells of every event who did what and what it changed, and lists by any filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ledger.catalog import Catalog, shipped_catalog
from ledger.clock import Instant
from ledger.content import Content
from ledger.events import (
    ConfigCreated,
    ConfigEvent,
    ConfigRevised,
    ConfigRolledBack,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Frozen,
    LeverKilled,
    LeverRestored,
    Recorded,
    ShadowStarted,
    ShadowStopped,
    Unfrozen,
)
from ledger.intents import AdoptCatalog, ArchiveConfig, CreateConfig, RollBackConfig
from ledger.scopes import EVERYWHERE, Place
from ledger.state import State, replay
from projections.audit import ACTIONS
from projections.catalogue import install
from projections.trail import Audited, AuditFilters, list_audit
from tests.conftest import temporary_database
from tests.integration.projecting import LEVERS, columns, project, random_history, record
from tests.unit.history import ACTOR, History

Json = Any
Shared = tuple[psycopg.Connection, History]


@pytest.fixture
def url(database: str) -> str:
    install(database)
    return database


# --- A recount by folding one event at a time and comparing whole states ---


def told(state: State, config_id: UUID) -> dict[str, Json]:
    """Write all that an audit can tell of a config's activation."""
    activation = state.live.activations.get(config_id)
    config = state.configs.get(config_id)
    written = {} if activation is None else {**activation.pinned.to_json(), "rank": activation.rank}
    shadow = state.live.shadows.get(config_id)
    told = {**written, "archived": config is not None and config.archived}
    return told | ({"shadow": shadow.pinned.revision} if shadow else {})


def shadow(state: State, config_id: UUID) -> dict[str, Json]:
    standing = state.live.shadows.get(config_id)
    return {} if standing is None else {**standing.pinned.to_json(), "rank": standing.rank}


def running(state: State, experiment_id: str) -> dict[str, Json]:
    standing = state.live.experiments.get(experiment_id)
    return {} if standing is None else standing.experiment.to_json()


def written(state: State, config_id: UUID) -> dict[str, Json]:
    config = state.configs.get(config_id)
    return {} if config is None else config.latest.content.to_json()


def changed(old: dict[str, Json], new: dict[str, Json]) -> dict[str, Json]:
    diff = {}
    for name in {*old, *new} - {"payload"}:
        if old.get(name) != new.get(name):
            diff[name] = {"before": old.get(name), "after": new.get(name)}
    payload = (
        changed(old["payload"], new["payload"])
        if "payload" in old and "payload" in new
        else {
            lever: {
                "before": old.get("payload", {}).get(lever),
                "after": new.get("payload", {}).get(lever),
            }
            for lever in {**old.get("payload", {}), **new.get("payload", {})}
        }
    )
    return diff | ({"payload": payload} if payload else {})


def expected_diff(before: State, after: State, recorded: Recorded) -> dict[str, Json]:
    match event := recorded.event:
        case ConfigCreated() | ConfigRevised():
            return changed(written(before, event.config_id), written(after, event.config_id))
        case ShadowStarted() | ShadowStopped():
            return changed(shadow(before, event.config_id), shadow(after, event.config_id))
        case ConfigEvent():
            diff = changed(told(before, event.config_id), told(after, event.config_id))
            if isinstance(event, ConfigRolledBack):
                diff["restores"] = {"before": None, "after": event.restores}
            return diff
        case Frozen() | Unfrozen():
            frozen = [is_frozen(state, event.place) for state in (before, after)]
            return {"frozen": {"before": frozen[0], "after": frozen[1]}}
        case LeverKilled() | LeverRestored():
            killed = [event.lever in state.live.kills for state in (before, after)]
            return {"killed": {"before": killed[0], "after": killed[1]}}
        case ExperimentStarted() | ExperimentChanged() | ExperimentStopped():
            experiment_id = experiment_of(event)
            return changed(running(before, experiment_id), running(after, experiment_id))
    return {}


def experiment_of(event: ExperimentStarted | ExperimentChanged | ExperimentStopped) -> str:
    if isinstance(event, ExperimentStopped):
        return event.experiment_id
    return event.experiment.experiment_id


def is_frozen(state: State, place: Place) -> bool:
    return any(freeze.end is None for freeze in state.live.freezes.get(place, ()))


def recount(events: list[Recorded]) -> Iterator[tuple[Recorded, dict[str, Json]]]:
    for index, recorded in enumerate(events):
        before = replay(events[:index])
        after = replay(events[: index + 1])
        yield recorded, expected_diff(before, after, recorded)


@pytest.mark.parametrize("seed", range(3))
def test_every_event_is_told_with_what_it_changed(url: str, seed: int) -> None:
    history = random_history(seed)
    record(url, history.events)
    project(url, batch=13)
    rows = columns(url, "liveops_audit")
    assert [row["position"] for row in rows] == [e.position for e in history.events]
    for row, (recorded, diff) in zip(rows, recount(history.events), strict=True):
        assert row["action"] == ACTIONS[type(recorded.event)]
        assert row["action"] == "adopt_catalog" or row["diff"] == diff


@pytest.mark.parametrize("seed", range(3))
def test_a_row_repeats_the_envelope(url: str, seed: int) -> None:
    history = random_history(seed)
    record(url, history.events)
    project(url)
    for row, recorded in zip(columns(url, "liveops_audit"), history.events, strict=True):
        cause = recorded.cause
        assert (row["id"], row["ts"], row["actor"]) == (
            recorded.event_id,
            recorded.recorded_at,
            cause.actor,
        )
        assert row["reason"] == cause.reason.replace("\0", "\ufffd")
        assert (row["correlation_id"], row["causation_id"]) == (
            cause.correlation_id,
            cause.causation_id,
        )
        assert row["violations"] == list(getattr(recorded.event, "violations", ()))
        assert row["break_glass"] == getattr(recorded.event, "break_glass", False)


@pytest.mark.parametrize("seed", range(3))
def test_a_row_names_what_the_event_concerned(url: str, seed: int) -> None:
    history = random_history(seed)
    record(url, history.events)
    project(url)
    for row, recorded in zip(columns(url, "liveops_audit"), history.events, strict=True):
        place, levers = concerned(history, recorded)
        assert (row["scope"], row["scope_ref"]) == place
        assert row["config_id"] == getattr(recorded.event, "config_id", None)
        assert levers <= set(row["levers"])


def concerned(
    history: History, recorded: Recorded
) -> tuple[tuple[str | None, str | None], set[str]]:
    event = recorded.event
    if isinstance(event, ConfigEvent):
        place = history.state.configs[event.config_id].place
        holder = getattr(event, "content", getattr(event, "pinned", None))
        return (place.scope.value, place.ref), set(holder.payload if holder else ())
    if isinstance(event, Frozen | Unfrozen):
        return (event.place.scope.value, event.place.ref), set()
    if isinstance(event, ExperimentStarted | ExperimentChanged | ExperimentStopped):
        return ("experiment", experiment_of(event)), set()
    return (None, None), {event.lever} if isinstance(event, LeverKilled | LeverRestored) else set()


def test_a_catalog_is_told_lever_by_lever(url: str) -> None:
    history, shipped = History(), shipped_catalog().to_json()
    history.do(AdoptCatalog(shipped_catalog()))
    shipped["levers"][0] |= {"description": "other"}
    history.do(AdoptCatalog(Catalog.from_json({**shipped, "levers": shipped["levers"][:-1]})))
    record(url, history.events)
    project(url, batch=1)
    first, second = columns(url, "liveops_audit")
    changed, gone = shipped["levers"][0]["name"], shipped["levers"][-1]["name"]
    assert first["levers"] == sorted(lever["name"] for lever in shipped["levers"])
    assert second["levers"] == sorted([changed, gone])
    assert second["diff"]["levers"][gone]["after"] is None


def test_what_was_archived_shows_as_back_to_life(url: str) -> None:
    history = History()
    config_id = history.config(1, "global", "global", payload={LEVERS[0]: 0.25})
    history.do(ArchiveConfig(config_id))
    history.do(RollBackConfig(config_id))
    record(url, history.events)
    project(url, batch=1)
    *_, archived, back = columns(url, "liveops_audit")
    assert archived["diff"]["archived"] == {"before": False, "after": True}
    assert back["diff"]["archived"] == {"before": True, "after": False}


def test_a_draft_that_is_archived_has_its_place(url: str) -> None:
    history = History()
    history.do(CreateConfig(UUID(int=1), Content("n", EVERYWHERE, {})))
    history.do(ArchiveConfig(UUID(int=1)))
    record(url, history.events)
    project(url, batch=1)
    assert columns(url, "liveops_audit")[-1]["scope"] == "global"


# --- Lists ---


@pytest.fixture(scope="module")
def shared(postgres_url: str, template: str) -> Iterator[Shared]:
    with temporary_database(postgres_url, template) as database:
        install(database)
        history = random_history(5, steps=500)
        record(database, history.events)
        project(database)
        with psycopg.connect(database, autocommit=True) as connected:
            connected.execute("SET ROLE liveops_reader")
            yield connected, history


def everything(shared: Shared) -> list[Audited]:
    return list(list_audit(shared[0], limit=10_000).rows)


def middle(shared: Shared) -> tuple[Instant, Instant]:
    events = shared[1].events
    return events[len(events) // 3].recorded_at, events[2 * len(events) // 3].recorded_at


Filter = Callable[[Audited], bool]


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        (AuditFilters(actor=ACTOR), lambda row: row.actor == ACTOR),
        (AuditFilters(actor=UUID(int=1)), lambda _: False),
        (AuditFilters(action="rollback"), lambda row: row.action == "rollback"),
        (AuditFilters(actions=["kill", "freeze"]), lambda row: row.action in ("kill", "freeze")),
        (AuditFilters(actions=["kill"]), lambda row: row.action == "kill"),
        (
            AuditFilters(actions=["create", "revise"], lever=LEVERS[1], scope="world"),
            lambda row: (
                row.action in ("create", "revise")
                and LEVERS[1] in row.levers
                and row.scope == "world"
            ),
        ),
        (AuditFilters(correlation_id=UUID(int=1)), lambda row: row.correlation_id.int == 1),
        (AuditFilters(correlation_id=UUID(int=3)), lambda _: False),
        (AuditFilters(upto=100), lambda row: row.position <= 100),
        (AuditFilters(lever=LEVERS[1]), lambda row: LEVERS[1] in row.levers),
        (AuditFilters(scope="world"), lambda row: row.scope == "world"),
        (AuditFilters(scope_ref="w2"), lambda row: row.scope_ref == "w2"),
        (AuditFilters(config_id=UUID(int=3)), lambda row: row.config_id == UUID(int=3)),
        (
            AuditFilters(action="freeze", scope="world", scope_ref="w1"),
            lambda row: (row.action, row.scope_ref) == ("freeze", "w1"),
        ),
    ],
)
def test_lists_by(shared: Shared, filters: AuditFilters, holds: Filter) -> None:
    rows = list_audit(shared[0], limit=10_000, **filters).rows
    assert list(rows) == [row for row in everything(shared) if holds(row)]


def test_lists_a_span_of_time(shared: Shared) -> None:
    since, until = middle(shared)
    rows = list_audit(shared[0], since=since, until=until, limit=10_000).rows
    assert list(rows) == [row for row in everything(shared) if since <= row.ts < until]
    assert rows[-1].ts == since


@pytest.mark.parametrize("filters", [AuditFilters(since=2 * 10**15), AuditFilters(until=0)])
def test_a_span_without_events_is_empty(shared: Shared, filters: AuditFilters) -> None:
    assert list_audit(shared[0], **filters).rows == ()


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 10_000])
@pytest.mark.parametrize("actions", [None, ["activate", "kill", "rollback"]])
def test_pages_are_the_list(
    shared: Shared, oldest_first: bool, limit: int, actions: list[str] | None
) -> None:
    rows, after = list[Audited](), None
    filters = AuditFilters(actions=actions)
    while True:
        page = list_audit(shared[0], limit=limit, after=after, oldest_first=oldest_first, **filters)
        rows.extend(page.rows)
        if page.next is None:
            break
        after = page.next
    listed = [row for row in everything(shared) if not actions or row.action in actions]
    assert rows == sorted(listed, key=lambda r: r.position, reverse=not oldest_first)


def test_an_entry_is_written_as_json(shared: Shared) -> None:
    entry = everything(shared)[0]
    written = entry.to_json()
    assert (written["id"], written["ts"][-1]) == (str(entry.id), "Z")


@pytest.mark.parametrize("filters", [AuditFilters(scope="planet"), AuditFilters(action="dance")])
def test_what_does_not_exist_is_refused(shared: Shared, filters: AuditFilters) -> None:
    with pytest.raises(ValueError, match=r"planet|dance"):
        list_audit(shared[0], **filters)
