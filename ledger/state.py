"""What matters to decisions at one position: configs with their revisions and activations.

`State` holds a `Live` for everything that resolution needs as well, and the version of every
stream, which is what an append is conditional on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from ledger.clock import Instant
from ledger.content import Content
from ledger.errors import NotFound
from ledger.events import (
    Activating,
    ConfigArchived,
    ConfigCreated,
    ConfigEvent,
    ConfigRevised,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Recorded,
)
from ledger.experiments import Experiment
from ledger.live import Activation, Live, Origin, evolve_live
from ledger.schedule import Window
from ledger.scopes import Place

Json = Any


class Status(StrEnum):
    """The stages in the life of a config."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    EXPIRED = "expired"
    INACTIVE = "inactive"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Revision:
    """An immutable version of a config's content."""

    number: int
    content: Content
    violations: tuple[Mapping[str, Json], ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Config:
    """A config's revisions, and its activations in time order, ended ones included."""

    config_id: UUID
    revisions: tuple[Revision, ...]
    history: tuple[Activation, ...] = ()
    archived: bool = False

    @property
    def latest(self) -> Revision:
        """The newest revision."""
        return self.revisions[-1]

    @property
    def created(self) -> Origin:
        """The event that created the config."""
        return self.revisions[0].origin

    @property
    def place(self) -> Place:
        """Where the config is set; it never moves."""
        return self.revisions[0].content.place

    def revision(self, number: int | None) -> Revision:
        """Find a revision, the newest for None; raises NotFound."""
        if number is None:
            return self.latest
        if not 1 <= number <= len(self.revisions):
            raise NotFound(f"config {self.config_id} has no revision {number}")
        return self.revisions[number - 1]


class Run(NamedTuple):
    """One time that an experiment runs or ran, as it was last."""

    experiment: Experiment
    started: Origin
    changed: Origin | None = None
    stopped: Origin | None = None


class Trial(NamedTuple):
    """All the times that an experiment has run; only the last one may be running still."""

    runs: tuple[Run, ...]

    @property
    def experiment(self) -> Experiment:
        """The experiment as it is, or was last."""
        return self.runs[-1].experiment

    @property
    def running(self) -> bool:
        """Tell whether it runs now."""
        return self.runs[-1].stopped is None


@dataclass(slots=True)
class State:
    """The state of the ledger at `live.position`, as far as decisions need it."""

    live: Live = field(default_factory=Live)
    configs: dict[UUID, Config] = field(default_factory=dict)
    experiments: dict[str, Trial] = field(default_factory=dict)
    versions: dict[UUID, int] = field(default_factory=dict)

    def config(self, config_id: UUID) -> Config:
        """Find a config; raises NotFound."""
        found = self.configs.get(config_id)
        if found is None:
            raise NotFound(f"there is no config {config_id}")
        return found

    def trial(self, experiment_id: str) -> Trial:
        """Find an experiment that runs or has run; raises NotFound."""
        found = self.experiments.get(experiment_id)
        if found is None:
            raise NotFound(f"there is no experiment {experiment_id}")
        return found

    def activation(self, config: Config) -> Activation | None:
        """Find the activation that no event has ended."""
        return self.live.activations.get(config.config_id)

    def status(self, config: Config, at: Instant) -> Status:
        """Tell at which stage of its life a config is at an instant."""
        if config.archived:
            return Status.ARCHIVED
        activation = self.activation(config)
        if activation is None:
            return Status.INACTIVE if config.history else Status.DRAFT
        return window_status(activation.pinned.window, self.live.clock(config.place, at))


def window_status(window: Window, clock: Instant) -> Status:
    """Tell whether an activation's window is still to come, open or over."""
    if window.valid_from is not None and clock < window.valid_from:
        return Status.SCHEDULED
    return Status.ACTIVE if window.holds(clock) else Status.EXPIRED


def evolve(state: State, recorded: Recorded) -> None:
    """Bring `state` from the position before an event to the event's own."""
    evolve_live(state.live, recorded)
    event = recorded.event
    state.versions[event.stream] = state.versions.get(event.stream, 0) + 1
    if isinstance(event, ConfigCreated):
        state.configs[event.config_id] = Config(event.config_id, (_revision(event, recorded),))
    elif isinstance(event, ConfigEvent):
        config = state.configs[event.config_id]
        state.configs[event.config_id] = _next(config, event, recorded, state.live)
    else:
        _evolve_trials(state.experiments, recorded)


def _next(config: Config, event: ConfigEvent, recorded: Recorded, live: Live) -> Config:
    if isinstance(event, ConfigRevised):
        return replace(config, revisions=(*config.revisions, _revision(event, recorded)))
    if isinstance(event, ConfigArchived):
        return replace(config, archived=True)
    if not isinstance(event, Activating):
        return config
    begun = live.activations[config.config_id]
    return replace(config, history=(*config.history, begun), archived=False)


def _evolve_trials(trials: dict[str, Trial], recorded: Recorded) -> None:
    origin = Origin.of(recorded)
    match event := recorded.event:
        case ExperimentStarted(experiment):
            before = trials.get(experiment.experiment_id, Trial(()))
            trials[experiment.experiment_id] = Trial((*before.runs, Run(experiment, origin)))
        case ExperimentChanged(experiment):
            *before_last, last = trials[experiment.experiment_id].runs
            changed = last._replace(experiment=experiment, changed=origin)
            trials[experiment.experiment_id] = Trial((*before_last, changed))
        case ExperimentStopped():
            *before_last, last = trials[event.experiment_id].runs
            trials[event.experiment_id] = Trial((*before_last, last._replace(stopped=origin)))


def _revision(event: ConfigCreated | ConfigRevised, recorded: Recorded) -> Revision:
    return Revision(event.revision, event.content, event.violations, Origin.of(recorded))


def replay(events: Iterable[Recorded], state: State | None = None) -> State:
    """Fold events in ledger order, from the beginning or onto an earlier state."""
    folded = State() if state is None else state
    for recorded in events:
        evolve(folded, recorded)
    return folded


def replay_live(events: Iterable[Recorded], live: Live | None = None) -> Live:
    """Fold events in ledger order into what resolution needs."""
    folded = Live() if live is None else live
    for recorded in events:
        evolve_live(folded, recorded)
    return folded
