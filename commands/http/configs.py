"""Configs: drafting, reading, and every step of their life."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from commands.http import answers
from commands.http.answers import ConfigHistory, ConfigList, ConfigOutcome, respond, written
from commands.http.cursors import cursor, read_cursor
from commands.http.document import refusals
from commands.http.headers import ExpectedRevision, RequiredRevision
from commands.http.orders import AtLedger, Caller, Commander
from commands.http.requests import LedgerRoute
from commands.identity import uuid7
from commands.ledger import Ledger, Plan, Standing
from commands.models import (
    LAST_POSITION,
    ActivateBody,
    ConfigBody,
    Reasoned,
    RollBackConfigBody,
    RolloutChangeBody,
    ShadowBody,
)
from ledger.clock import format_instant
from ledger.events import (
    ConfigActivated,
    ConfigCreated,
    ConfigEvent,
    ConfigRevised,
    ConfigRolledBack,
    Recorded,
    RolloutChanged,
    ShadowStarted,
)
from ledger.intents import (
    ActivateConfig,
    ArchiveConfig,
    ChangeRollout,
    CreateConfig,
    DeactivateConfig,
    ReviseConfig,
    RollBackConfig,
    StartShadow,
    StopShadow,
)
from ledger.live import Activation
from ledger.rollout import Rollout
from ledger.scopes import Scope
from ledger.state import Config, Revision, State, Status

Json = Any

router = APIRouter(prefix="/configs", tags=["configs"], route_class=LedgerRoute)

NO_REASON = Reasoned()
PAGES = "configs"
AS_IT_IS = ActivateBody()
THE_ONE_BEFORE = RollBackConfigBody()
THE_NEWEST = ShadowBody()


# --- Drafting ---


@router.post(
    "", status_code=201, response_model=ConfigOutcome, responses=refusals(422), summary="Create"
)
def create_config(caller: Caller, body: ConfigBody) -> Response:
    """Draft a config as revision 1. Nothing resolves by it until it is activated."""
    content = body.content()
    intent = CreateConfig(uuid7(), content)
    return _carried_out(caller, lambda _: intent, body.reason, status=201)


@router.put(
    "/{config_id}",
    response_model=ConfigOutcome,
    responses=refusals(404, 409, 412, 422, 428),
    summary="Revise",
)
def revise_config(
    config_id: UUID, caller: Caller, revision: RequiredRevision, body: ConfigBody
) -> Response:
    """Draft a further revision: the whole content. What is in force stays until it is activated."""
    intent = ReviseConfig(config_id, body.content(), revision)
    return _carried_out(caller, lambda _: intent, body.reason)


# --- Its life ---


@router.post(
    "/{config_id}/activate",
    response_model=ConfigOutcome,
    responses=refusals(404, 409, 412, 422, 423),
    summary="Activate",
)
def activate_config(
    config_id: UUID, caller: Caller, revision: ExpectedRevision, body: ActivateBody = AS_IT_IS
) -> Response:
    """Put a revision in force for its window, in place of what is in force of this config."""
    intent = ActivateConfig(config_id, body.revision, body.window(), body.immediate, revision)
    return _carried_out(caller, lambda _: intent, body.reason)


@router.post(
    "/{config_id}/deactivate",
    response_model=ConfigOutcome,
    responses=refusals(404, 409, 412, 423),
    summary="Deactivate",
)
def deactivate_config(
    config_id: UUID, caller: Caller, revision: ExpectedRevision, body: Reasoned = NO_REASON
) -> Response:
    """End a config's activation."""
    return _carried_out(caller, lambda _: DeactivateConfig(config_id, revision), body.reason)


@router.post(
    "/{config_id}/archive",
    response_model=ConfigOutcome,
    responses=refusals(404, 409, 412, 423),
    summary="Archive",
)
def archive_config(
    config_id: UUID, caller: Caller, revision: ExpectedRevision, body: Reasoned = NO_REASON
) -> Response:
    """Put a config away, ending its activation if it has one."""
    return _carried_out(caller, lambda _: ArchiveConfig(config_id, revision), body.reason)


@router.post(
    "/{config_id}/rollback",
    response_model=ConfigOutcome,
    responses=refusals(404, 409, 412, 422, 423),
    summary="Roll back one config",
)
def roll_back_config(
    config_id: UUID,
    caller: Caller,
    revision: ExpectedRevision,
    body: RollBackConfigBody = THE_ONE_BEFORE,
) -> Response:
    """Put an earlier activation in force again: the one before, or the last of a revision."""
    intent = RollBackConfig(config_id, body.revision, body.break_glass, revision)
    return _carried_out(caller, lambda _: intent, body.reason)


@router.post(
    "/{config_id}/rollout",
    response_model=ConfigOutcome,
    responses=refusals(404, 409, 412, 422, 423),
    summary="Change the rollout",
)
def change_rollout(
    config_id: UUID, caller: Caller, revision: ExpectedRevision, body: RolloutChangeBody
) -> Response:
    """Reach more of the audience of a live config, or less."""
    body.onto(None)  # what is wrong with it is wrong whatever the config's rollout is now

    def plan(state: State) -> ChangeRollout:
        rollout = body.onto(_present_rollout(state, config_id))
        return ChangeRollout(config_id, rollout, revision)

    return _carried_out(caller, plan, body.reason)


@router.post(
    "/{config_id}/shadow",
    response_model=ConfigOutcome,
    responses=refusals(404, 409, 412, 422),
    summary="Shadow",
)
def start_shadow(
    config_id: UUID, caller: Caller, revision: ExpectedRevision, body: ShadowBody = THE_NEWEST
) -> Response:
    """Evaluate a revision beside what is in force, for whoever asks with `shadow`.

    It changes nothing: no freeze refuses it, and values that could not be activated are listed.
    """
    intent = StartShadow(config_id, body.revision, revision)
    return _carried_out(caller, lambda _: intent, body.reason)


@router.post(
    "/{config_id}/unshadow",
    response_model=ConfigOutcome,
    responses=refusals(404, 409, 412),
    summary="Unshadow",
)
def stop_shadow(
    config_id: UUID, caller: Caller, revision: ExpectedRevision, body: Reasoned = NO_REASON
) -> Response:
    """End a config's shadow."""
    return _carried_out(caller, lambda _: StopShadow(config_id, revision), body.reason)


def _present_rollout(state: State, config_id: UUID) -> Rollout | None:
    activation = state.live.activations.get(config_id)
    return None if activation is None else activation.pinned.rollout


# --- What a command led to ---


def _carried_out(caller: Commander, plan: Plan, reason: str, *, status: int = 200) -> Response:
    recorded = caller.execute(plan, reason).events[-1]
    standing = caller.ledger.standing(recorded)
    return respond(
        _outcome(recorded, standing),
        position=recorded.position,
        status=status,
        tag=standing.revision,
    )


def _outcome(recorded: Recorded, standing: Standing) -> ConfigOutcome:
    event = recorded.event
    assert isinstance(event, ConfigEvent)  # noqa: S101 - every command here is on a config
    return ConfigOutcome.model_validate(
        {
            "config_id": event.config_id,
            "revision": _revision(event) or standing.revision,
            "status": standing.status,
            "position": recorded.position,
            "recorded_at": format_instant(recorded.recorded_at),
            "violations": _violations(event),
        }
    )


def _revision(event: ConfigEvent) -> int | None:
    match event:
        case ConfigCreated() | ConfigRevised():
            return event.revision
        case ConfigActivated() | ConfigRolledBack() | RolloutChanged() | ShadowStarted():
            return event.pinned.revision
    return None


def _violations(event: ConfigEvent) -> list[Json]:
    if isinstance(event, ConfigCreated | ConfigRevised | ConfigActivated | ShadowStarted):
        return list(event.violations)
    return []


# --- Reading ---


class ConfigFilter(BaseModel):
    """Which configs to list, and which page of them."""

    scope: Scope | None = None
    scope_ref: str | None = Field(None, max_length=256)
    status: Status | None = None
    lever: str | None = Field(None, max_length=200, description="sets this lever")
    shadow: bool | None = Field(None, description="is in shadow, or is not")
    q: str | None = Field(None, max_length=200, description="has this text in its name")
    cursor: str | None = Field(None, max_length=64, description="`next` of the page before")
    limit: int | None = Field(
        None, ge=1, le=10_000, description="no more than LIVEOPS_PREVIEW_MAX_DOCS is given"
    )

    def takes(self, state: State, config: Config) -> bool:
        """Tell whether a config is wanted, if its status is."""
        place, name = config.place, config.latest.content.name
        return (
            self.scope in (None, place.scope)
            and self.scope_ref in (None, place.ref)
            and self.shadow in (None, config.config_id in state.live.shadows)
            and (self.lever is None or _sets(state, config, self.lever))
            and (self.q is None or self.q.casefold() in name.casefold())
        )


@router.get("", response_model=ConfigList, summary="List")
def list_configs(desk: AtLedger, wanted: Annotated[ConfigFilter, Query()]) -> Response:
    """List configs as they stand now, the newest first."""
    most = min(wanted.limit or desk.settings.preview_max_docs, desk.settings.preview_max_docs)
    before = LAST_POSITION if wanted.cursor is None else read_cursor(PAGES, wanted.cursor)
    with desk.ledger.current() as state:
        chosen = (
            config
            for config in reversed(state.configs.values())
            if config.created.position < before
            and wanted.takes(state, config)
            and wanted.status in (None, desk.ledger.status(state, config))
        )
        taken = list(islice(chosen, most + 1))
        views = [_view(desk.ledger, state, config) for config in taken[:most]]
        following = cursor(PAGES, taken[most - 1].created.position) if taken[most:] else None
        page = ConfigList(configs=views, next=following)
        return respond(page, position=state.live.position)


def _sets(state: State, config: Config, lever: str) -> bool:
    pinned = (state.activation(config), state.live.shadows.get(config.config_id))
    return lever in config.latest.content.payload or any(
        lever in activation.pinned.payload for activation in pinned if activation is not None
    )


@router.get("/{config_id}", response_model=answers.Config, responses=refusals(404), summary="Read")
def read_config(config_id: UUID, desk: AtLedger) -> Response:
    """Read a config: its newest revision, and what of it is in force."""
    with desk.ledger.current() as state:
        config = state.config(config_id)
        view = _view(desk.ledger, state, config)
        return respond(view, position=state.live.position, tag=config.latest.number)


@router.get(
    "/{config_id}/history",
    response_model=ConfigHistory,
    responses=refusals(404),
    summary="Read its history",
)
def read_history(config_id: UUID, desk: AtLedger) -> Response:
    """Read every revision and activation of a config, and every event, in ledger order."""
    with desk.ledger.current() as state:
        config = state.config(config_id)
        position, versions = state.live.position, state.versions[config_id]
    events = desk.ledger.store.events_of(config_id, versions)
    content = b'{"config_id":"%s","revisions":%s,"activations":%s,"events":[%s]}' % (
        str(config_id).encode(),
        _array(map(_revision_view, config.revisions)),
        _array(map(_activation, config.history)),
        b",".join(stored.envelope() for stored in events),
    )
    return written(content, position=position, tag=config.latest.number)


def _array(views: Iterable[answers.Answer]) -> bytes:
    return b"[%s]" % b",".join(view.model_dump_json(exclude_unset=True).encode() for view in views)


def _view(ledger: Ledger, state: State, config: Config) -> answers.Config:
    activation, shadow = state.activation(config), state.live.shadows.get(config.config_id)
    newest = config.latest
    return answers.Config.model_validate(
        {
            "config_id": config.config_id,
            "revision": newest.number,
            "status": ledger.status(state, config),
            **newest.content.to_json(),
            "violations": list(newest.violations),
            "created": config.created.to_json(),
            "revised": newest.origin.to_json(),
            "activation": None if activation is None else _activation(activation),
            "shadow": None if shadow is None else _activation(shadow),
        }
    )


def _revision_view(revision: Revision) -> answers.Revision:
    return answers.Revision.model_validate(
        {
            "revision": revision.number,
            **revision.content.to_json(),
            "violations": list(revision.violations),
            "origin": revision.origin.to_json(),
        }
    )


def _activation(activation: Activation) -> answers.Activation:
    return answers.Activation.model_validate(
        pinned_view(activation) | {"origin": activation.origin.to_json()}
    )


def pinned_view(activation: Activation) -> dict[str, Json]:
    """Write what an activation has in force, the same for an equal one that began elsewhere."""
    written = {**activation.pinned.to_json(), "rank": activation.rank}
    return {name: written[name] for name in answers.Pinned.model_fields}
