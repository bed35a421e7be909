"""Starting, changing and stopping experiments.

What holds of the experiments that run together, at every position: no two of one group have a
bucket in common, all of one group count by the same unit, and all that name one holdout agree on
its percentage and unit.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.decisions.decision import Decision
from ledger.decisions.freezes import refuse_frozen
from ledger.errors import Conflict
from ledger.events import (
    FREEZES_STREAM,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
)
from ledger.experiments import Experiment, Range, overlap, resize, room
from ledger.intents import ChangeExperiment, StartExperiment, StopExperiment, Terms
from ledger.rollout import percent
from ledger.state import State


def start_experiment(state: State, intent: StartExperiment, terms: Terms) -> Decision:
    """Run an experiment, with buckets of its own where it is of a group."""
    wanted = intent.experiment._replace(ranges=())
    if wanted.experiment_id in state.live.experiments:
        raise Conflict(f"experiment {wanted.experiment_id} runs already")
    others = others_running(state, wanted.experiment_id)
    refuse_clash(wanted, others)
    experiment = _resized(wanted, wanted.percentage, others)
    refuse_frozen(state, terms, experiment.places)
    return Decision((ExperimentStarted(experiment),), frozenset({FREEZES_STREAM}))


def change_experiment(state: State, intent: ChangeExperiment, terms: Terms) -> Decision:
    """Let a running experiment enrol more or fewer."""
    running = _running(state, intent.experiment_id)
    if running.percentage == intent.percentage:
        raise Conflict(
            f"experiment {running.experiment_id} enrols {percent(intent.percentage)} % already"
        )
    others = others_running(state, running.experiment_id)
    experiment = _resized(running, intent.percentage, others)
    refuse_frozen(state, terms, experiment.places)
    return Decision((ExperimentChanged(experiment),), frozenset({FREEZES_STREAM}))


def stop_experiment(state: State, intent: StopExperiment, terms: Terms) -> Decision:
    """End a running experiment."""
    running = _running(state, intent.experiment_id)
    refuse_frozen(state, terms, running.places)
    event = ExperimentStopped(running.experiment_id)
    return Decision((event,), frozenset({FREEZES_STREAM}))


def _running(state: State, experiment_id: str) -> Experiment:
    trial = state.trial(experiment_id)
    if not trial.running:
        raise Conflict(f"experiment {experiment_id} does not run")
    return trial.experiment


def others_running(state: State, experiment_id: str) -> list[Experiment]:
    """List the experiments that run beside one."""
    running = (running.experiment for running in state.live.experiments.values())
    return [other for other in running if other.experiment_id != experiment_id]


def refuse_clash(experiment: Experiment, others: Iterable[Experiment]) -> None:
    """Refuse an experiment that cannot run beside the others; raises Conflict."""
    for other in others:
        if experiment.group is not None and experiment.group == other.group:
            _refuse_in_group(experiment, other)
        if _holdouts_disagree(experiment, other):
            raise Conflict(
                f"experiment {other.experiment_id}, which runs, has another percentage or unit "
                f"for the holdout {other.holdout and other.holdout.name}"
            )


def _refuse_in_group(experiment: Experiment, other: Experiment) -> None:
    if experiment.unit != other.unit:
        raise Conflict(
            f"experiment {other.experiment_id}, which runs in group {other.group}, counts by "
            f"{other.unit}: all of one group must count by the same unit"
        )
    if overlap(experiment.ranges, other.ranges):
        raise Conflict(
            f"experiment {other.experiment_id} has buckets of group {other.group} by now that "
            f"{experiment.experiment_id} had: change or stop it first"
        )


def _holdouts_disagree(one: Experiment, other: Experiment) -> bool:
    if one.holdout is None or other.holdout is None or one.holdout.name != other.holdout.name:
        return False
    return one.holdout != other.holdout or one.unit != other.unit


def _resized(experiment: Experiment, percentage: int, others: list[Experiment]) -> Experiment:
    if experiment.group is None:
        return experiment._replace(percentage=percentage)
    taken: list[Range] = []
    for other in others:
        taken += other.ranges if other.group == experiment.group else ()
    ranges = resize(experiment.ranges, taken, percentage)
    if ranges is None:
        raise Conflict(
            f"experiment {experiment.experiment_id} cannot have {percent(percentage)} % of group "
            f"{experiment.group}: the others leave {percent(room(taken))} %"
        )
    return experiment._replace(percentage=percentage, ranges=ranges)
