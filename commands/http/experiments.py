"""Experiments: starting, changing and stopping them, and reading those that ran."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from commands.experiments import ExperimentBody, PercentageBody
from commands.http.answers import respond
from commands.http.cursors import LONGEST, cursor, read_cursor
from commands.http.document import refusals
from commands.http.experiment_answers import (
    ExperimentDetail,
    ExperimentList,
    ExperimentOutcome,
    Stage,
    content_of,
    first_event,
    last_event,
    run_of,
    stage,
    view_of,
)
from commands.http.headers import ExpectedPosition
from commands.http.orders import AtLedger, Caller, Commander
from commands.http.requests import LedgerRoute
from commands.ledger import Plan
from commands.models import LAST_POSITION, Reasoned
from ledger.clock import format_instant
from ledger.errors import Moved
from ledger.events import ExperimentChanged, ExperimentStarted, ExperimentStopped
from ledger.intents import ChangeExperiment, Intent, StartExperiment, StopExperiment
from ledger.scopes import LONGEST_REF
from ledger.state import State, Trial

Json = Any

router = APIRouter(prefix="/experiments", tags=["experiments"], route_class=LedgerRoute)

NO_REASON = Reasoned()
PAGES = "experiments"

ExperimentId = Annotated[str, Path(max_length=LONGEST_REF, examples=["legendary-drops"])]


# --- Commands ---


@router.post(
    "",
    status_code=201,
    response_model=ExperimentOutcome,
    responses=refusals(409, 422, 423),
    summary="Start",
)
def start_experiment(caller: Caller, body: ExperimentBody) -> Response:
    """Run an experiment: every unit that takes part is in it, whether its context says so or not.

    An experiment of a group gets buckets of the group that no other one has: 409 when there are
    too few left.
    """
    intent = StartExperiment(body.experiment())
    return _carried_out(caller, lambda _: intent, body.reason, status=201)


@router.post(
    "/{experiment_id}/percentage",
    response_model=ExperimentOutcome,
    responses=refusals(404, 409, 412, 422, 423),
    summary="Change the percentage",
)
def change_percentage(
    experiment_id: ExperimentId, caller: Caller, position: ExpectedPosition, body: PercentageBody
) -> Response:
    """Let a running experiment enrol more units, who join those that are in, or fewer."""
    intent = ChangeExperiment(experiment_id, body.thousandths())
    return _carried_out(caller, _expecting(intent, position), body.reason)


@router.post(
    "/{experiment_id}/stop",
    response_model=ExperimentOutcome,
    responses=refusals(404, 409, 412, 423),
    summary="Stop",
)
def stop_experiment(
    experiment_id: ExperimentId,
    caller: Caller,
    position: ExpectedPosition,
    body: Reasoned = NO_REASON,
) -> Response:
    """End a running experiment: only contexts that name it are in it from then on."""
    intent = StopExperiment(experiment_id)
    return _carried_out(caller, _expecting(intent, position), body.reason)


def _expecting(intent: ChangeExperiment | StopExperiment, position: int | None) -> Plan:
    """Plan a change of an experiment that is as the caller knows it; raises Moved."""

    def plan(state: State) -> Intent:
        actual = last_event(state.trial(intent.experiment_id))
        if position not in (None, actual):
            message = f"the experiment was last changed at position {actual}, not {position}"
            raise Moved(message, expected=position, actual=actual)
        return intent

    return plan


def _carried_out(caller: Commander, plan: Plan, reason: str, *, status: int = 200) -> Response:
    recorded = caller.execute(plan, reason).events[-1]
    event = recorded.event
    assert isinstance(event, ExperimentStarted | ExperimentChanged | ExperimentStopped)  # noqa: S101
    answer = ExperimentOutcome.model_validate(
        {
            **_led_to(event),
            "position": recorded.position,
            "recorded_at": format_instant(recorded.recorded_at),
        }
    )
    return respond(answer, position=recorded.position, status=status, tag=recorded.position)


def _led_to(event: ExperimentStarted | ExperimentChanged | ExperimentStopped) -> dict[str, Json]:
    if isinstance(event, ExperimentStopped):
        return {"experiment_id": event.experiment_id, "status": "stopped", "experiment": None}
    content = content_of(event.experiment)
    return {"experiment_id": content["experiment_id"], "status": "running", "experiment": content}


# --- Reading ---


class ExperimentFilter(BaseModel):
    """Which experiments to list, and which page of them."""

    status: Stage | None = None
    group: str | None = Field(None, max_length=LONGEST_REF)
    cursor: str | None = Field(None, max_length=LONGEST, description="`next` of the page before")
    limit: int | None = Field(
        None, ge=1, le=10_000, description="no more than LIVEOPS_PREVIEW_MAX_DOCS is given"
    )

    def takes(self, trial: Trial) -> bool:
        """Tell whether an experiment is wanted."""
        return self.status in (None, stage(trial)) and self.group in (None, trial.experiment.group)


@router.get("", response_model=ExperimentList, summary="List")
def list_experiments(desk: AtLedger, wanted: Annotated[ExperimentFilter, Query()]) -> Response:
    """List experiments as they stand now, the one that was first started last in front."""
    most = min(wanted.limit or desk.settings.preview_max_docs, desk.settings.preview_max_docs)
    before = LAST_POSITION if wanted.cursor is None else read_cursor(PAGES, wanted.cursor)
    with desk.ledger.current() as state:
        trials = (
            trial
            for trial in reversed(state.experiments.values())
            if first_event(trial) < before and wanted.takes(trial)
        )
        taken = list(islice(trials, most + 1))
        following = cursor(PAGES, first_event(taken[most - 1])) if taken[most:] else None
        page = {"experiments": [view_of(trial) for trial in taken[:most]], "next": following}
        return respond(ExperimentList.model_validate(page), position=state.live.position)


@router.get(
    "/{experiment_id}", response_model=ExperimentDetail, responses=refusals(404), summary="Read"
)
def read_experiment(experiment_id: ExperimentId, desk: AtLedger) -> Response:
    """Read an experiment as it stands, and the times that it ran before."""
    with desk.ledger.current() as state:
        trial, position = state.trial(experiment_id), state.live.position
    earlier = [run_of(run) for run in reversed(trial.runs[:-1])]
    answer = ExperimentDetail.model_validate({**view_of(trial), "earlier": earlier})
    return respond(answer, position=position, tag=last_event(trial))
