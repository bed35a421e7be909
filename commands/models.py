"""What a caller may say: one model per request body, strict, with nothing unknown let through.

A model checks shapes and sizes. What only the ledger can know (is there such a lever, does the
window end after it begins) is decided on the ledger; `Invalid` from here names a member that
does not go with another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from ledger.catalog_file import CONTEXT_NAMES
from ledger.clock import Instant, format_instant, parse_instant
from ledger.content import Content, Targeting
from ledger.errors import Invalid
from ledger.rollout import Rollout
from ledger.schedule import Window
from ledger.scopes import EVERYWHERE, LONGEST_REF, Context, Place, Scope, place

Json = Any

LAST_POSITION = 2**63 - 1
LONGEST_REASON = 2000
LONGEST_RULE = 4096
LARGEST_CONTEXT = 16_384
LONGEST_TOKEN = 131_072

_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _instant(value: object) -> Instant:
    if not isinstance(value, str):
        raise ValueError("an instant is a text like 2026-01-31T18:05:00Z")  # noqa: TRY004 - for pydantic
    return parse_instant(value)


def _one_line(text: str) -> str:
    if _BREAKS.search(text):
        raise ValueError("must be one line without control characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Moment = Annotated[
    Instant,
    BeforeValidator(_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""RFC 3339 with an offset outside, an Instant inside."""

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_one_line),
    AfterValidator(_not_blank),
]
Ref = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_REF), AfterValidator(_one_line)
]
Reason = Annotated[str, StringConstraints(max_length=LONGEST_REASON)]
Position = Annotated[int, Field(ge=0, le=LAST_POSITION)]
RevisionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
ScopeName = Annotated[Scope, Field(strict=False)]
Rule = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_RULE)]
Percentage = Annotated[float, Field(ge=0, le=100, description="in steps of 0.001")]
Payload = Annotated[
    dict[str, Any],
    Field(max_length=2000, description="lever values by name", examples=[{"DIALOGUE_GATE": "off"}]),
]
LabelName = Annotated[
    str, StringConstraints(min_length=1, max_length=100), AfterValidator(_one_line)
]
LabelText = Annotated[str, StringConstraints(max_length=200), AfterValidator(_one_line)]


class Body(BaseModel):
    """A request body: types as they are written, and no member that is not known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Reasoned(Body):
    """A command that needs nothing but, if one likes, a reason."""

    reason: Reason = Field("", description="why; it stays in the ledger")


class TargetingBody(Body):
    """Whom a config is for: CEL expressions over the context."""

    include: Rule | None = Field(None, examples=['tier == "gold"'])
    exclude: Rule | None = None

    def rules(self) -> Targeting | None:
        """Give the rules as the ledger keeps them."""
        return Targeting.from_json(self.model_dump(exclude_none=True))


class RampStepBody(Body):
    """From an instant on, this percentage."""

    at: Moment
    percentage: Percentage


Ramp = Annotated[list[RampStepBody], Field(min_length=1, max_length=1000)]


class RolloutBody(Body):
    """Which units of the audience are in: a percentage, or a ramp of them."""

    percentage: Percentage | None = None
    unit: str = Field("session_id", max_length=128)
    salt: str | None = Field(None, max_length=256)
    ramp: Ramp | None = None

    def rollout(self) -> Rollout:
        """Give the rollout as the ledger keeps it; raises InvalidRollout."""
        return Rollout.from_json(self.model_dump(mode="json", exclude_none=True))


class ContentBody(Reasoned):
    """The content of a config, or some of it."""

    name: Name | None = None
    scope: ScopeName | None = None
    scope_ref: Ref | None = None
    payload: Payload = Field(default_factory=dict)
    valid_from: Moment | None = None
    valid_to: Moment | None = None
    targeting: TargetingBody | None = None
    rollout: RolloutBody | None = None
    priority: int = Field(0, ge=-(2**31), le=2**31 - 1)
    labels: dict[LabelName, LabelText] = Field(default_factory=dict, max_length=64)

    def rules(self) -> Targeting | None:
        """Give the targeting rules as the ledger keeps them."""
        return None if self.targeting is None else self.targeting.rules()


class ConfigBody(ContentBody):
    """The whole content of a config."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Forest Glade Economy Boost",
                    "scope": "world",
                    "scope_ref": "world.forest_glade",
                    "payload": {
                        "DROP_RATE_LEGENDARY_MULTIPLIER": 1.5,
                        "ECONOMIC_ACTIVITY_MULTIPLIER": 1.2,
                        "VENDOR_MARGIN_MIN": 0.05,
                    },
                }
            ]
        }
    )

    name: Name
    scope: ScopeName
    scope_ref: Ref
    payload: Payload

    def content(self) -> Content:
        """Give the content as the ledger keeps it; raises Invalid."""
        return Content(
            name=self.name,
            place=place(self.scope, self.scope_ref),
            payload=self.payload,
            window=Window(self.valid_from, self.valid_to),
            targeting=self.rules(),
            rollout=None if self.rollout is None else self.rollout.rollout(),
            priority=self.priority,
            labels=self.labels,
        )


class ActivateBody(Reasoned):
    """Which revision to put in force, and when; nothing named: the newest, in its own window."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"immediate": True}]})

    immediate: bool = Field(False, description="true: do not wait for valid_from")
    revision: RevisionNumber | None = None
    valid_from: Moment | None = None
    valid_to: Moment | None = None

    def window(self) -> Window | None:
        """Give the window, or None where the request names neither side of it."""
        if self.model_fields_set.isdisjoint({"valid_from", "valid_to"}):
            return None
        return Window(self.valid_from, self.valid_to)


class BreakableBody(Reasoned):
    """A command that may be given in spite of a freeze."""

    break_glass: bool = Field(False, description="true: in spite of a freeze; needs a reason")


class RollBackConfigBody(BreakableBody):
    """Which revision's last activation to restore; nothing named: the activation before."""

    revision: RevisionNumber | None = None


class ShadowBody(Reasoned):
    """Which revision to evaluate in shadow; nothing named: the newest."""

    revision: RevisionNumber | None = None


class RolloutChangeBody(Reasoned):
    """The live activation's new rollout; its unit and salt stay as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"percentage": 25}]})

    percentage: Percentage | None = None
    ramp: Ramp | None = None

    def onto(self, present: Rollout | None) -> Rollout:
        """Give the rollout that takes the place of the present one; raises InvalidRollout."""
        kept = {} if present is None else present.to_json()
        kept = {name: kept[name] for name in ("unit", "salt") if name in kept}
        named = self.model_dump(mode="json", exclude_none=True, include={"percentage", "ramp"})
        return Rollout.from_json(kept | named)


class FreezeBody(Reasoned):
    """What to freeze or unfreeze; nothing named: everything."""

    scope: ScopeName = Scope.GLOBAL
    scope_ref: Ref = "global"

    def place(self) -> Place:
        """Give the place; raises Invalid."""
        return place(self.scope, self.scope_ref)


class RollBackBody(BreakableBody):
    """To which point of the ledger to go back, and where; nothing named: everywhere."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"position": 4, "plan": True}]})

    position: Position | None = None
    timestamp: Moment | None = None
    scope: ScopeName | None = None
    scope_ref: Ref | None = None
    plan: bool = Field(False, description="true: only tell what would change")

    def place(self) -> Place | None:
        """Give the place, None for everything; raises Invalid."""
        if self.scope is None:
            if self.scope_ref is not None:
                raise Invalid.at("/scope", "a scope_ref needs its scope")
            return None
        if self.scope_ref is None and self.scope is not Scope.GLOBAL:
            raise Invalid.at("/scope_ref", f"name which {self.scope.value}")
        return place(self.scope, self.scope_ref or EVERYWHERE.ref)

    def refuse_unless_one_point(self) -> None:
        """Raise Invalid unless exactly one of position and timestamp is named."""
        if (self.position is None) == (self.timestamp is None):
            raise Invalid.at("/position", "name either a position or a timestamp")


def _attribute(name: str) -> str:
    if name in CONTEXT_NAMES:
        raise ValueError("is a member of the context itself: name it there")
    return name


AttributeName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    AfterValidator(_one_line),
    AfterValidator(_attribute),
]


class ContextBody(Body):
    """Who asks: a session, and what else is known of its turn."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"session_id": "test", "world_id": "world.forest_glade"}]}
    )

    session_id: Ref
    turn_id: int | None = Field(None, ge=0, le=2**31 - 1)
    world_id: Ref | None = None
    adventure_id: Ref | None = None
    experiment_id: Ref | None = None
    variation: Ref | None = None
    experiments: dict[Ref, Ref | None] = Field(
        default_factory=dict, max_length=64, description="variations by experiment"
    )
    attributes: dict[AttributeName, Any] = Field(default_factory=dict, max_length=100)

    @model_validator(mode="after")
    def _refuse_large(self) -> Self:
        # Whole, it has to fit into the token of an answer.
        if len(self.model_dump_json()) > LARGEST_CONTEXT:
            raise ValueError(f"a context may have {LARGEST_CONTEXT} characters as JSON")
        return self

    def context(self) -> Context:
        """Give the context as resolution takes it; raises Invalid."""
        if self.variation is not None and self.experiment_id is None:
            raise Invalid.at("/context/variation", "a variation needs its experiment_id")
        return Context(**dict(self))


class ResolveBody(Body):
    """A question: a context, and when; or a token alone, which repeats an answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"context": {"session_id": "test", "world_id": "world.forest_glade"}},
                {"context": {"session_id": "test"}, "as_of": "2026-01-31T18:05:00Z"},
            ]
        }
    )

    context: ContextBody | None = None
    at: Moment | None = Field(None, description="the instant it is resolved for")
    as_of: Moment | None = Field(None, description="what was known at this instant")
    position: Position | None = Field(None, description="what was known at this position")
    explain: bool = Field(False, description="true: tell where each value comes from")
    shadow: bool = Field(False, description="true: tell what the configs in shadow would change")
    token: str | None = Field(None, max_length=LONGEST_TOKEN)

    def refuse_contradictions(self) -> None:
        """Raise Invalid unless it is one question: a token alone, or a context and one prefix."""
        named = self.model_fields_set - {"token"}
        if self.token is not None and named:
            raise Invalid.at(f"/{min(named)}", "a token is the whole question: name nothing else")
        if self.token is None and self.context is None:
            raise Invalid.at("/context", "name a context, or a token alone")
        if self.as_of is not None and self.position is not None:
            raise Invalid.at("/position", "name either as_of or a position")


class ValidateBody(ContentBody):
    """What to check without storing it: a config, or only some members of one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"payload": {"AWF_INPUT_TOKEN_MULTIPLIER": "120%"}}]}
    )

    def faults(self) -> Iterator[Mapping[str, str]]:
        """Name what is wrong beside the payload and the rules, each with a JSON pointer."""
        for check in (self._place, self._rollout, self._window):
            try:
                check()
            except Invalid as invalid:
                yield from invalid.errors

    def _place(self) -> None:
        if self.scope is not None:
            place(self.scope, EVERYWHERE.ref if self.scope_ref is None else self.scope_ref)

    def _rollout(self) -> None:
        if self.rollout is not None:
            self.rollout.rollout()

    def _window(self) -> None:
        Window.from_json(self.model_dump(mode="json", include={"valid_from", "valid_to"}))
