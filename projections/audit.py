"""`liveops_audit`: one row for every event: who did what, where, why, and what it changed.

`diff` says for each member what stood `before` and `after`. What stood before is looked up in the
ledger itself, so that the view needs no other table and starts anywhere. An entry is found by the
levers that it concerns: those of its own config, those that differ between two catalogs, and those
that configs set in an experiment which it starts, changes or stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never
from uuid import UUID

import orjson

from ledger.catalog import Catalog
from ledger.content import Content
from ledger.events import (
    EXPERIMENTS_STREAM,
    CatalogAdopted,
    ConfigActivated,
    ConfigArchived,
    ConfigCreated,
    ConfigDeactivated,
    ConfigEvent,
    ConfigRevised,
    ConfigRolledBack,
    Event,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Frozen,
    LeverKilled,
    LeverRestored,
    Recorded,
    RolloutChanged,
    ShadowStarted,
    ShadowStopped,
    Unfrozen,
    decode,
)
from ledger.experiments import Experiment
from ledger.live import Activation, Origin
from ledger.scopes import Place, Scope
from projections import sql
from projections.views import Cursor, add_rows, as_json, plain, stamp

Json = Any

ACTIONS: Mapping[type[Event], str] = {
    ConfigCreated: "create",
    ConfigRevised: "revise",
    ConfigActivated: "activate",
    ConfigDeactivated: "deactivate",
    ConfigArchived: "archive",
    ConfigRolledBack: "rollback",
    RolloutChanged: "rollout",
    ShadowStarted: "shadow",
    ShadowStopped: "unshadow",
    Frozen: "freeze",
    Unfrozen: "unfreeze",
    LeverKilled: "kill",
    LeverRestored: "restore",
    ExperimentStarted: "start_experiment",
    ExperimentChanged: "change_experiment",
    ExperimentStopped: "stop_experiment",
    CatalogAdopted: "adopt_catalog",
}
"""The action by which an event is filed: the verb of the command that leads to it."""

EXPERIMENTING = tuple(
    ACTIONS[kind] for kind in (ExperimentStarted, ExperimentChanged, ExperimentStopped)
)
"""The actions that concern an experiment."""

_WRITING = (ConfigCreated, ConfigRevised, CatalogAdopted)
_ENDING = (ConfigDeactivated, ConfigArchived)
_LIVING = (ConfigActivated, ConfigRolledBack, RolloutChanged, *_ENDING)
_SHADOWING = (ShadowStarted, ShadowStopped, ConfigArchived)

_Experimenting = ExperimentStarted | ExperimentChanged | ExperimentStopped


class AuditView:
    """The view `liveops_audit`."""

    name = "liveops_audit"
    version = 2
    tables: tuple[str, ...] = (
        "liveops_audit",
        "liveops_audit_levers",
        "liveops_audit_experiments",
    )
    schema = sql.read("audit.sql")

    def apply(self, cursor: Cursor, batch: Sequence[Recorded]) -> None:
        """Add a row for each event of a batch."""
        past = _past(cursor, batch)
        rows = []
        for recorded in batch:
            entry = _entry(past, recorded)
            rows.append(_row(recorded, entry))
            past.add(recorded)
            past.add_setters(recorded, entry)
        add_rows(cursor, self.name, rows)
        span = {"first": batch[0].position, "last": batch[-1].position}
        cursor.execute(sql.queries()["audit_add_levers"], span)
        if past.set_in:
            _touch(cursor, past, span)


def _touch(cursor: Cursor, past: _Past, span: Mapping[str, int]) -> None:
    """File what happened to the batch's experiments under the levers that are set in them."""
    if past.setters:
        parameters = {"rows": as_json(list(past.setters.values()))}
        cursor.execute(sql.queries()["audit_set_in_experiments"], parameters)
    concerned = {"experiments": list(map(plain, past.set_in)), "actions": list(EXPERIMENTING)}
    cursor.execute(sql.queries()["audit_touch_levers"], {**span, **concerned})


# --- What stood before ---


@dataclass(slots=True)
class _Past:
    """What stood before an event, as far as later events of the batch ask."""

    contents: dict[UUID, Content] = field(default_factory=dict)
    activations: dict[UUID, Activation] = field(default_factory=dict)
    shadows: dict[UUID, Activation] = field(default_factory=dict)
    archived: set[UUID] = field(default_factory=set)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    catalog: Catalog | None = None
    set_in: dict[str, set[str]] = field(default_factory=dict)
    """The levers that configs have set in each of the batch's experiments."""
    setters: dict[tuple[str, str, UUID], dict[str, Json]] = field(default_factory=dict)

    def add(self, recorded: Recorded) -> None:
        """Go past an event."""
        self.add_shadow(recorded)
        self.add_experiment(recorded)
        match event := recorded.event:
            case ConfigCreated() | ConfigRevised():
                self.contents[event.config_id] = event.content
            case ConfigActivated() | ConfigRolledBack() | RolloutChanged():
                self.activations[event.config_id] = _began(event, recorded)
                self.archived.discard(event.config_id)
            case ConfigDeactivated():
                self.activations.pop(event.config_id, None)
            case ConfigArchived():
                self.activations.pop(event.config_id, None)
                self.archived.add(event.config_id)
            case CatalogAdopted():
                self.catalog = event.catalog

    def add_shadow(self, recorded: Recorded) -> None:
        """Go past an event, as far as shadows are concerned."""
        match event := recorded.event:
            case ShadowStarted():
                self.shadows[event.config_id] = _began(event, recorded)
            case ShadowStopped() | ConfigArchived():
                self.shadows.pop(event.config_id, None)

    def add_experiment(self, recorded: Recorded) -> None:
        """Go past an event, as far as experiments are concerned."""
        match event := recorded.event:
            case ExperimentStarted() | ExperimentChanged():
                self.experiments[event.experiment.experiment_id] = event.experiment
            case ExperimentStopped():
                self.experiments.pop(event.experiment_id, None)

    def add_setters(self, recorded: Recorded, entry: _Entry) -> None:
        """Take note that a config sets levers in an experiment."""
        event, place = recorded.event, entry.place
        if not isinstance(event, ConfigEvent) or place is None or place.scope != Scope.EXPERIMENT:
            return
        experiment = _experiment_of(place)
        self.set_in.setdefault(experiment, set()).update(entry.levers)
        for lever in entry.levers:
            row = {
                "experiment": experiment,
                "lever": lever,
                "config_id": event.config_id,
                "position": recorded.position,
            }
            self.setters.setdefault((experiment, lever, event.config_id), row)

    def place(self, config_id: UUID) -> Place:
        """Tell where a config is set that the batch ends."""
        activation = self.activations.get(config_id)
        return self.contents[config_id].place if activation is None else activation.pinned.place


def _began(
    event: ConfigActivated | ConfigRolledBack | RolloutChanged | ShadowStarted, recorded: Recorded
) -> Activation:
    return Activation(event.config_id, event.pinned, Origin.of(recorded))


def _experiment_of(place: Place) -> str:
    """Name the experiment that a place is, or is a variation of."""
    return place.ref.partition(":")[0]


def _experiment_id(event: _Experimenting) -> str:
    if isinstance(event, ExperimentStopped):
        return event.experiment_id
    return event.experiment.experiment_id


def _past(cursor: Cursor, batch: Sequence[Recorded]) -> _Past:
    """Read what the ledger says of the batch's configs, experiments and catalog before it."""
    past = _Past()
    for asking, answering, add in (
        ((ConfigRevised, *_ENDING, CatalogAdopted), _WRITING, past.add),
        (_LIVING, _LIVING, past.add),
        (_SHADOWING, _SHADOWING, past.add_shadow),
    ):
        firsts: dict[UUID, int] = {}
        for recorded in batch:
            if isinstance(recorded.event, asking):
                firsts.setdefault(recorded.event.stream, recorded.position)
        topics = [kind.__name__ for kind in answering]
        parameters = {"positions": list(firsts.values()), "topics": topics}
        cursor.execute(sql.queries()["audit_before"], parameters)
        for row in cursor.fetchall():
            if row[0] < batch[0].position:
                add(decode(*row))
    events = [r.event for r in batch if isinstance(r.event, _Experimenting)]
    experiments = sorted(set(map(_experiment_id, events)))
    past.set_in = {name: set() for name in experiments}
    known = {plain(name): name for name in experiments}
    cursor.execute(sql.queries()["audit_set_in"], {"experiments": list(known)})
    for experiment, lever in cursor.fetchall():
        past.set_in[known[experiment]].add(lever)
    for experiment_id in experiments:
        # Nothing but a member can read so in stored bytes: inside a text, quotes are escaped.
        named = b'"experiment_id":' + orjson.dumps(experiment_id)
        before = {"stream": EXPERIMENTS_STREAM, "before": batch[0].position, "named": named}
        cursor.execute(sql.queries()["audit_before_experiment"], before)
        for row in cursor.fetchall():
            past.add_experiment(decode(*row))
    return past


# --- What changed ---


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an event concerned, and what it changed."""

    diff: dict[str, Json]
    place: Place | None = None
    levers: tuple[str, ...] = ()
    revision: int | None = None
    break_glass: bool = False
    violations: tuple[Json, ...] = ()


def _entry(past: _Past, recorded: Recorded) -> _Entry:
    match event := recorded.event:
        case ConfigCreated() | ConfigRevised():
            return _written(past.contents.get(event.config_id), event)
        case ConfigActivated() | ConfigRolledBack() | RolloutChanged():
            return _activated(past, _began(event, recorded), event)
        case ConfigDeactivated() | ConfigArchived():
            return _ended(past, event)
        case ShadowStarted():
            return _shadowed(past.shadows.get(event.config_id), _began(event, recorded), event)
        case ShadowStopped():
            return _unshadowed(past.shadows[event.config_id])
        case Frozen() | Unfrozen():
            frozen = isinstance(event, Frozen)
            return _Entry({"frozen": _change(not frozen, frozen)}, event.place)
        case LeverKilled() | LeverRestored():
            killed = isinstance(event, LeverKilled)
            diff = {"killed": _change(not killed, killed)}
            return _Entry(diff, levers=(event.lever,), break_glass=event.break_glass)
        case ExperimentStarted() | ExperimentChanged() | ExperimentStopped():
            return _experimented(past, event)
        case CatalogAdopted():
            return _adopted(past.catalog, event.catalog)
    assert_never(event)


def _written(before: Content | None, event: ConfigCreated | ConfigRevised) -> _Entry:
    old, new = {} if before is None else before.to_json(), event.content.to_json()
    return _Entry(
        _differences(old, new),
        event.content.place,
        _levers(old, new),
        event.revision,
        violations=event.violations,
    )


def _activated(
    past: _Past,
    activation: Activation,
    event: ConfigActivated | ConfigRolledBack | RolloutChanged,
) -> _Entry:
    old, new = _activation(past.activations.get(event.config_id)), _activation(activation)
    diff = _differences(old, new)
    if event.config_id in past.archived:
        diff["archived"] = _change(True, False)
    if isinstance(event, ConfigRolledBack):
        diff["restores"] = _change(None, event.restores)
    return _Entry(
        diff,
        activation.pinned.place,
        _levers(old, new),
        activation.pinned.revision,
        isinstance(event, ConfigRolledBack) and event.break_glass,
        event.violations if isinstance(event, ConfigActivated) else (),
    )


def _ended(past: _Past, event: ConfigDeactivated | ConfigArchived) -> _Entry:
    old = _activation(past.activations.get(event.config_id))
    diff = _differences(old, {})
    shadow: Mapping[str, Json] = {}
    if isinstance(event, ConfigArchived):
        diff["archived"] = _change(False, True)
        shadow = _activation(past.shadows.get(event.config_id))
        diff |= {"shadow": _change(shadow["revision"], None)} if shadow else {}
    return _Entry(
        diff,
        past.place(event.config_id),
        _levers(old, shadow),
        old.get("revision"),
        isinstance(event, ConfigDeactivated) and event.break_glass,
    )


def _shadowed(before: Activation | None, after: Activation, event: ShadowStarted) -> _Entry:
    old, new, pinned = _activation(before), _activation(after), after.pinned
    return _Entry(
        _differences(old, new),
        pinned.place,
        _levers(old, new),
        pinned.revision,
        violations=event.violations,
    )


def _unshadowed(before: Activation) -> _Entry:
    old = _activation(before)
    return _Entry(
        _differences(old, {}), before.pinned.place, _levers(old, {}), before.pinned.revision
    )


def _experimented(past: _Past, event: _Experimenting) -> _Entry:
    experiment_id = _experiment_id(event)
    before = past.experiments.get(experiment_id)
    old = {} if before is None else before.to_json()
    new = {} if isinstance(event, ExperimentStopped) else event.experiment.to_json()
    return _Entry(
        _differences(old, new, nested=None),
        Place(Scope.EXPERIMENT, experiment_id),
        tuple(sorted(past.set_in[experiment_id])),
        break_glass=event.break_glass,
    )


def _adopted(before: Catalog | None, after: Catalog) -> _Entry:
    old, new = ({} if c is None else _by_lever(c) for c in (before, after))
    diff = _differences(old, new, nested="levers")
    rules = [set() if c is None else set(c.rules) for c in (before, after)]
    ruled = {lever for rule in rules[0] ^ rules[1] for lever in rule.levers}
    return _Entry(diff, levers=tuple(sorted(ruled.union(diff.get("levers", ())))))


def _by_lever(catalog: Catalog) -> dict[str, Json]:
    written = catalog.to_json()
    return {**written, "levers": {entry["name"]: entry for entry in written["levers"]}}


def _activation(activation: Activation | None) -> dict[str, Json]:
    """Write an activation with the rank that it has, be it its own or a restored one."""
    return {} if activation is None else {**activation.pinned.to_json(), "rank": activation.rank}


def _levers(old: Mapping[str, Json], new: Mapping[str, Json]) -> tuple[str, ...]:
    return tuple(sorted(old.get("payload", {}).keys() | new.get("payload", {}).keys()))


def _differences(
    old: Mapping[str, Json], new: Mapping[str, Json], nested: str | None = "payload"
) -> dict[str, Json]:
    """List the members that differ, and for the nested one its own members that do."""
    found: dict[str, Json] = {}
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if name == nested:
            inner = _differences(before or {}, after or {}, None)
            found |= {name: inner} if inner else {}
        elif before != after or type(before) is not type(after):
            found[name] = _change(before, after)
    return found


def _change(before: Json, after: Json) -> dict[str, Json]:
    return {"before": before, "after": after}


def _row(recorded: Recorded, entry: _Entry) -> dict[str, Json]:
    event, cause = recorded.event, recorded.cause
    return {
        "id": recorded.event_id,
        "config_id": event.config_id if isinstance(event, ConfigEvent) else None,
        "action": ACTIONS[type(event)],
        "actor": cause.actor,
        "diff": entry.diff,
        "ts": stamp(recorded.recorded_at),
        "position": recorded.position,
        "reason": cause.reason,
        "correlation_id": cause.correlation_id,
        "causation_id": cause.causation_id,
        "scope": entry.place and entry.place.scope.value,
        "scope_ref": entry.place and entry.place.ref,
        "revision": entry.revision,
        "levers": entry.levers,
        "break_glass": entry.break_glass,
        "violations": entry.violations,
    }
