"""What the API answers: one model per answer, and the headers that go with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from ledger.levers import LeverType
from ledger.resolve import Reason
from ledger.scopes import Scope
from ledger.state import Status

Json = Any
Number = int | float

POSITION_HEADER = "Ledger-Position"

Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 in UTC with six fractional digits and a Z."""


class Answer(BaseModel):
    """An answer body."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Violation(Answer):
    """One thing that is wrong, or doubtful, with a lever's value."""

    lever: str
    value: Any
    severity: Literal["error", "critical", "warning"]
    code: str
    message: str
    bounds: dict[str, Any] | None
    field: str | None = None


class Fault(Answer):
    """One thing that is wrong with a request: where it is, as a JSON pointer."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    detail: str
    pointer: str
    where: Literal["body", "query", "path", "header"] = Field(alias="in")


class ProblemDetails(Answer):
    """RFC 9457 problem details; `type` tells kinds apart, and is stable."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:liveops:problem:frozen",
                    "title": "A freeze is in force there",
                    "status": 423,
                    "detail": "everything has been frozen since 2026-01-31T18:05:00.000000Z",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None
    violations: list[Violation] | None = None


class Origin(Answer):
    """The event behind a fact."""

    position: int
    recorded_at: Moment
    actor: UUID
    reason: str


# --- Configs ---


class ConfigOutcome(Answer):
    """What a command on one config led to, as of its event."""

    config_id: UUID
    revision: int = Field(description="what was written or put in force; else the newest")
    status: Status
    position: int
    recorded_at: Moment
    violations: list[Violation]


class Targeting(Answer):
    """Whom a config is for."""

    include: str | None = None
    exclude: str | None = None


class RampStep(Answer):
    """From an instant on, this percentage."""

    at: Moment
    percentage: Number


class Rollout(Answer):
    """Which units of the audience are in."""

    percentage: Number | None = None
    unit: str
    salt: str | None = None
    ramp: list[RampStep] | None = None


class Pinned(Answer):
    """A revision as an activation has it: what resolution knows of it."""

    revision: int
    rank: int
    payload: dict[str, Any]
    valid_from: Moment | None
    valid_to: Moment | None
    targeting: Targeting | None
    rollout: Rollout | None
    priority: int


class Activation(Pinned):
    """An activation, and the event with which it began."""

    origin: Origin


class Content(Answer):
    """The content of a config."""

    name: str
    scope: Scope
    scope_ref: str
    payload: dict[str, Any]
    valid_from: Moment | None
    valid_to: Moment | None
    targeting: Targeting | None
    rollout: Rollout | None
    priority: int
    labels: dict[str, str]


class Revision(Content):
    """A revision of a config, and the event that wrote it."""

    revision: int
    violations: list[Violation]
    origin: Origin


class Config(Content):
    """A config as it stands: its newest revision, and what of it is in force."""

    config_id: UUID
    revision: int
    status: Status
    violations: list[Violation]
    created: Origin
    revised: Origin
    activation: Activation | None
    shadow: Activation | None = Field(
        description="what of it is evaluated beside what is in force; `origin` tells since when"
    )


class ConfigList(Answer):
    """A page of configs; `next` is the cursor of the page after it."""

    configs: list[Config]
    next: str | None


class ConfigHistory(Answer):
    """All that happened to a config, in ledger order."""

    config_id: UUID
    revisions: list[Revision]
    activations: list[Activation]
    events: list[dict[str, Any]] = Field(description="the events' envelopes, as they are recorded")


# --- Freezes and levers ---


class FreezeOutcome(Answer):
    """A place that was frozen or unfrozen."""

    scope: Scope
    scope_ref: str
    frozen: bool
    position: int
    recorded_at: Moment


class LeverOutcome(Answer):
    """A lever that was killed or restored."""

    lever: str
    killed: bool
    position: int
    recorded_at: Moment


class Lever(Answer):
    """A lever of the catalog in force; bounds and defaults of durations are in seconds."""

    name: str
    group: str
    type: LeverType
    default: Any
    min: Number | None = None
    max: Number | None = None
    values: list[str] | None = None
    fields: dict[str, dict[str, Any]] | None = None
    unit: str | None = None
    critical: bool
    description: str
    killed: Origin | None


class LeverList(Answer):
    """The catalog in force."""

    catalog_version: int
    levers: list[Lever]
    rules: list[dict[str, Any]]
    attributes: dict[str, str] | None


# --- Rolling back ---


class Change(Answer):
    """What a rollback does to one config, and for whom."""

    action: Literal["activate", "replace", "deactivate"]
    config_id: UUID
    name: str
    scope: Scope
    scope_ref: str
    levers: list[str] = Field(description="whose values may change there")
    now: Pinned | None
    then: Pinned | None


# --- Questions ---


class Difference(Answer):
    """A lever's value as it is, and as it would be."""

    live: Any
    shadow: Any


class Shadowed(Answer):
    """What would be in force if every config in shadow were."""

    values: dict[str, Any]
    differs: dict[str, Difference] = Field(description="the levers whose values would be others")
    explanation: dict[str, dict[str, Any]] | None = None


class Resolved(Answer):
    """The effective values, when they held, and the token that repeats the answer."""

    values: dict[str, Any]
    position: int
    at: Moment
    reason: Reason
    experiments: dict[str, str] = Field(
        description="the variation of each experiment that the context is in: as it says, or given"
    )
    explanation: dict[str, dict[str, Any]] | None = None
    shadow: Shadowed | None = None
    token: str


class LeverChange(Answer):
    """A change of a lever's value; null is a lever that the catalog in force does not have."""

    at: Moment
    before: Any
    after: Any
    cause: dict[str, Any] = Field(
        description="its kind: what an event did (its `action` in the audit trail), or "
        "window_open, window_close, ramp_step or rule, with the config whose edge it was"
    )
    also: list[dict[str, Any]] = Field(description="what else happened at that instant")
    source: dict[str, Any] | None = Field(description="where the value comes from since")


class History(Answer):
    """The changes of a lever's value for a context over an interval; `next` pages on."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    lever: str
    from_: Moment = Field(alias="from")
    to: Moment
    since: Moment = Field(description="where this page begins: at `from`, or behind its cursor")
    value: Any = Field(description="what it was at `since`")
    changes: list[LeverChange]
    exact: bool
    inexact: list[dict[str, Any]] = Field(description="rules whose changes may be missing")
    next: str | None


class Blamed(Answer):
    """Per lever its value, and who is behind it."""

    position: int
    at: Moment
    token: str
    levers: dict[str, dict[str, Any]]


class Diff(Answer):
    """What changed between two points; `levers` where a context was named."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_: dict[str, Any] = Field(alias="from")
    to: dict[str, Any]
    levers: dict[str, dict[Literal["before", "after"], dict[str, Any] | None]] | None = None
    differences: list[dict[str, Any]]
    events: dict[str, Any]
    words: list[str]


class RuleCheck(Answer):
    """A targeting rule that was checked: the names that it reads, or what is wrong with it."""

    valid: bool
    reads: list[str]
    types: dict[str, str] = Field(
        description="the type of each name that it reads; dyn where only the context will tell"
    )
    detail: str | None = None
    at: int | None = Field(None, description="the character at which it goes wrong, from 0")
    shown: str | None = Field(None, description="its line, and a caret under that character")


class Validated(Answer):
    """What the ledger would say of a content."""

    valid: bool = Field(description="it can be drafted")
    activatable: bool = Field(description="it can be activated as well")
    payload: dict[str, Any] = Field(description="the values as they would be stored")
    violations: list[Violation]
    errors: list[Fault]
    targeting: dict[Literal["include", "exclude"], RuleCheck]


# --- The ledger itself ---


class EventList(Answer):
    """Events as they are recorded, after a position; `next` goes on after the last of them."""

    events: list[dict[str, Any]]
    next: int
    head: int


class AuditEntry(Answer):
    """Who did what, where and why, and what it changed."""

    model_config = ConfigDict(extra="allow")

    position: int
    ts: Moment
    action: str
    actor: UUID
    reason: str
    config_id: UUID | None
    diff: dict[str, Any] | None


class AuditList(Answer):
    """A page of the audit trail, the newest first; `next` is the cursor of the page after it."""

    entries: list[AuditEntry]
    next: str | None


class Snapshot(Answer):
    """A sample of what a game was given in one turn of a session."""

    model_config = ConfigDict(extra="allow")

    id: UUID
    session_id: str
    turn_id: int
    resolved: dict[str, Any]
    ts: Moment = Field(description="when it was taken, by the game's clock")
    position: int
    at: Moment
    reason: str
    context: dict[str, Any]
    mixed: list[dict[str, Any]] = Field(description="levers that come from other versions")


class SnapshotList(Answer):
    """A page of snapshots; `next` is the cursor of the page behind it."""

    snapshots: list[Snapshot]
    count: int
    next: str | None


class Forgotten(Answer):
    """How many snapshots were deleted."""

    forgotten: int


# --- Sending ---


def respond(
    answer: Answer, *, position: int, status: int = 200, tag: int | None = None
) -> Response:
    """Write an answer, where in the ledger it stands, and what If-Match is to name next."""
    content = answer.model_dump_json(by_alias=True, exclude_unset=True).encode()
    return written(content, position=position, status=status, tag=tag)


def written(
    content: bytes,
    *,
    position: int,
    status: int = 200,
    tag: int | None = None,
    media_type: str = "application/json",
) -> Response:
    """Send bytes that are an answer already."""
    headers = {POSITION_HEADER: str(position)}
    if tag is not None:
        headers["ETag"] = f'"{tag}"'
    return Response(content, status, headers, media_type)
