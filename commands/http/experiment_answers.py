"""What the API answers of experiments: one model per answer, and how they are filled."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from commands.http.answers import Answer, Moment, Number, Origin
from ledger.experiments import Experiment as Kept
from ledger.state import Run as KeptRun
from ledger.state import Trial

Json = Any
Stage = Literal["running", "stopped"]


class Variation(Answer):
    """One arm of an experiment, and its share among all of them."""

    name: str
    weight: int


class Holdout(Answer):
    """Units that are kept out of every experiment that names it."""

    name: str
    percentage: Number


class ExperimentContent(Answer):
    """What an experiment is."""

    experiment_id: str
    variations: list[Variation]
    unit: str
    percentage: Number
    group: str | None
    ranges: list[tuple[int, int]] | None = Field(
        description="the buckets of its group that are its own, each until just before the second"
    )
    holdout: Holdout | None
    description: str


class Run(ExperimentContent):
    """One time that an experiment runs or ran, as it was last, and the events behind it."""

    started: Origin
    changed: Origin | None
    stopped: Origin | None


class Experiment(Run):
    """An experiment as it stands: the last time that it was started."""

    status: Stage


class ExperimentDetail(Experiment):
    """An experiment as it stands, and the times that it ran before."""

    earlier: list[Run]


class ExperimentList(Answer):
    """A page of experiments; `next` is the cursor of the page after it."""

    experiments: list[Experiment]
    next: str | None


class ExperimentOutcome(Answer):
    """What a command on an experiment led to, as of its event."""

    experiment_id: str
    status: Stage
    position: int
    recorded_at: Moment
    experiment: ExperimentContent | None = Field(description="null: it is stopped")


class ExperimentChange(Answer):
    """What a rollback does to one experiment; null: it does not run."""

    experiment_id: str
    action: Literal["start", "change", "restart", "stop"]
    now: ExperimentContent | None
    then: ExperimentContent | None


# --- Filling them ---


def view_of(trial: Trial) -> dict[str, Json]:
    """Write an experiment as it stands."""
    return {**run_of(trial.runs[-1]), "status": stage(trial)}


def run_of(run: KeptRun) -> dict[str, Json]:
    """Write one time that an experiment runs or ran."""
    origins = {name: getattr(run, name) for name in ("started", "changed", "stopped")}
    return content_of(run.experiment) | {
        name: None if origin is None else origin.to_json() for name, origin in origins.items()
    }


def content_of(experiment: Kept) -> dict[str, Json]:
    """Write an experiment with every member, null where absent."""
    return {"group": None, "ranges": None, "holdout": None, **experiment.to_json()}


def stage(trial: Trial) -> Stage:
    """Tell whether an experiment runs."""
    return "running" if trial.running else "stopped"


def first_event(trial: Trial) -> int:
    """Tell where in the ledger an experiment was first started: lists go by it."""
    return trial.runs[0].started.position


def last_event(trial: Trial) -> int:
    """Tell where an experiment was last changed: If-Match goes by it."""
    last = trial.runs[-1]
    return (last.stopped or last.changed or last.started).position
