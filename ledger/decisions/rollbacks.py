"""Going back: one config to an earlier activation, a place or everything to an earlier prefix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ledger.decisions.decision import Decision, expected_config
from ledger.decisions.experiments import others_running, refuse_clash
from ledger.decisions.freezes import refuse_frozen
from ledger.errors import Conflict
from ledger.events import (
    FREEZES_STREAM,
    ConfigDeactivated,
    ConfigRolledBack,
    Event,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
)
from ledger.experiments import Experiment, overlap
from ledger.intents import RollBack, RollBackConfig, Terms
from ledger.live import Activation, Live
from ledger.scopes import Place, Scope
from ledger.state import Config, State


def roll_back_config(state: State, intent: RollBackConfig, terms: Terms) -> Decision:
    """Put an earlier activation in force again."""
    config = expected_config(state, intent.config_id, intent.expected_revision)
    restored = _earlier(state, config, intent.revision)
    refuse_frozen(state, terms, [config.place], break_glass=intent.break_glass)
    event = _restoring(restored, break_glass=intent.break_glass)
    return Decision((event,), frozenset({FREEZES_STREAM}))


def _earlier(state: State, config: Config, revision: int | None) -> Activation:
    live = state.activation(config)
    ended = config.history if live is None else config.history[:-1]
    for activation in reversed(ended):
        if revision in (None, activation.pinned.revision):
            return activation
    which = "activation" if revision is None else f"activation of revision {revision}"
    raise Conflict(f"config {config.config_id} has no earlier {which} to restore")


def _restoring(activation: Activation, *, break_glass: bool) -> ConfigRolledBack:
    pinned = activation.pinned.ranked(activation.rank)
    return ConfigRolledBack(activation.config_id, pinned, activation.origin.position, break_glass)


@dataclass(frozen=True, slots=True)
class Change:
    """What a rollback does to one config: from the activation `now` to the one `then`."""

    config: Config
    now: Activation | None
    then: Activation | None


def plan_rollback(state: State, target: Live, place: Place | None) -> tuple[Change, ...]:
    """List what must change so that the activations in force equal those of `target`.

    In the order in which the configs were created; configs that agree are left out.
    """
    concerned = state.live.activations.keys() | target.activations.keys()
    configs = sorted(
        (state.configs[config_id] for config_id in concerned),
        key=lambda config: config.created.position,
    )
    changes = (
        Change(config, state.activation(config), target.activations.get(config.config_id))
        for config in configs
        if place is None or config.place == place
    )
    return tuple(change for change in changes if not _agrees(change))


def _agrees(change: Change) -> bool:
    if change.now is None:
        return change.then is None
    return change.now.same_effect(change.then)


def _back(change: Change, *, break_glass: bool) -> Event:
    if change.then is None:
        return ConfigDeactivated(change.config.config_id, break_glass)
    return _restoring(change.then, break_glass=break_glass)


class Turn(NamedTuple):
    """What a rollback does to one experiment: from `now` to `then`, None where it does not run."""

    experiment_id: str
    now: Experiment | None
    then: Experiment | None


def plan_experiments(state: State, target: Live, place: Place | None) -> tuple[Turn, ...]:
    """List what must change so that the experiments that run are those of `target`, by id.

    Raises Conflict where one cannot run again beside those that a rollback of its place leaves.
    """
    concerned = sorted(state.live.experiments.keys() | target.experiments.keys())
    turns = (
        Turn(
            experiment_id,
            _experiment(state.live, experiment_id),
            _experiment(target, experiment_id),
        )
        for experiment_id in concerned
        if place in (None, Place(Scope.EXPERIMENT, experiment_id))
    )
    changed = tuple(turn for turn in turns if turn.now != turn.then)
    if place is not None:
        for turn in changed:
            if turn.then is not None:
                refuse_clash(turn.then, others_running(state, turn.experiment_id))
    return changed


def _experiment(live: Live, experiment_id: str) -> Experiment | None:
    running = live.experiments.get(experiment_id)
    return None if running is None else running.experiment


def _turned(state: State, turns: Iterable[Turn], *, break_glass: bool) -> list[Event]:
    """Give the events, in an order in which two of a group never share a bucket in between."""
    stops: list[Event] = []
    changes: list[Event] = []
    starts: list[Event] = []
    for turn in turns:
        if turn.now is not None and turn.then is not None and _changes(state, turn.now, turn.then):
            changes.append(ExperimentChanged(turn.then, break_glass))
            continue
        if turn.now is not None:
            stops.append(ExperimentStopped(turn.experiment_id, break_glass))
        if turn.then is not None:
            starts.append(ExperimentStarted(turn.then, break_glass))
    return [*stops, *changes, *starts]


def _changes(state: State, now: Experiment, then: Experiment) -> bool:
    """Tell whether a change of percentage leads there, past buckets that are another's still."""
    if now._replace(percentage=then.percentage, ranges=then.ranges) != then:
        return False
    others = others_running(state, now.experiment_id)
    return not any(o.group == then.group and overlap(o.ranges, then.ranges) for o in others)


def roll_back(state: State, intent: RollBack, terms: Terms) -> Decision:
    """Make what is in force equal to that of an earlier prefix."""
    changes = plan_rollback(state, intent.target, intent.place)
    turns = plan_experiments(state, intent.target, intent.place)
    places = [change.config.place for change in changes]
    for turn in turns:
        for experiment in (turn.now, turn.then):
            places += experiment.places if experiment else ()
    refuse_frozen(state, terms, places, break_glass=intent.break_glass)
    back = [_back(change, break_glass=intent.break_glass) for change in changes]
    turned = _turned(state, turns, break_glass=intent.break_glass)
    return Decision((*back, *turned), whole=True)
