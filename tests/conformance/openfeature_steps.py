"""The steps of OpenFeature's scenarios, against our provider over a replica fed from memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import (
    FlagEvaluationDetails,
    FlagEvaluationOptions,
    FlagType,
)
from openfeature.hook import Hook, HookContext, HookHints

from consumers.openfeature import LedgerProvider
from consumers.replica import Replica
from tests.integration.patience import eventually
from tests.unit.feeding import Topics, published
from tests.unit.publishing import Chronicle

Json = Any
Step = Callable[..., None]

SECONDS = 20.0

STEPS: list[tuple[re.Pattern[str], Step]] = []


def step(text: str) -> Callable[[Step], Step]:
    """Have a function carry out the steps that match; what is captured are its arguments."""

    def register(carry_out: Step) -> Step:
        STEPS.append((re.compile(text), carry_out))
        return carry_out

    return register


def carry_out(world: World, text: str) -> None:
    """Carry out one step of a scenario; exactly one definition fits it."""
    fitting = [(found, do) for pattern, do in STEPS if (found := pattern.fullmatch(text))]
    assert len(fitting) == 1, f"{len(fitting)} definitions fit the step {text!r}"
    found, do = fitting[0]
    do(world, *found.groups())


class Recorder(Hook):
    """Writes down when it was called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self._name, self._calls = name, calls

    def before(self, hook_context: HookContext, hints: HookHints) -> None:
        self._calls.append(f"before {self._name}")

    def after(
        self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints
    ) -> None:
        self._calls.append(f"after {self._name}")

    def finally_after(
        self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints
    ) -> None:
        self._calls.append(f"finally {self._name}")


@dataclass
class World:
    """What one scenario has set up and seen."""

    topics: Topics
    chronicle: Chronicle
    opened: ExitStack
    client: OpenFeatureClient = field(default_factory=api.get_client)
    type: FlagType = FlagType.BOOLEAN
    key: str = ""
    fallback: Json = None
    attributes: dict[str, Json] = field(default_factory=dict)
    hooks: FlagEvaluationOptions = field(default_factory=FlagEvaluationOptions)
    calls: list[str] = field(default_factory=list)
    details: FlagEvaluationDetails[Any] | None = None

    def replica(self) -> Replica:
        """Open a replica, until the scenario is over."""
        return self.opened.enter_context(Replica("memory"))

    def context(self) -> EvaluationContext:
        """Give the context of the call; the session is in the one that is global."""
        return EvaluationContext(attributes=self.attributes)

    def read(self, text: str, kind: str | None = None) -> Json:
        """Read a value as the scenarios write one of some type, by default that of the flag."""
        match (kind or self.type).upper():
            case "BOOLEAN":
                return {"true": True, "false": False}[text]
            case "INTEGER":
                return int(text)
            case "FLOAT":
                return float(text)
            case "OBJECT":
                return orjson.loads(text.replace('\\"', '"'))
        return text

    def seen(self) -> FlagEvaluationDetails[Any]:
        """Give what the last evaluation came to."""
        assert self.details is not None
        return self.details


# --- Given ---


@step("a stable provider")
def a_stable_provider(world: World) -> None:
    world.topics.down = False
    world.topics.hold(published(world.chronicle))
    api.set_provider_and_wait(LedgerProvider(world.replica(), timeout=SECONDS))


@step("a not ready provider")
def a_not_ready_provider(world: World) -> None:
    world.topics.down = True
    api.set_provider(LedgerProvider(world.replica(), timeout=SECONDS))


@step("a error provider")
def an_error_provider(world: World) -> None:
    world.topics.down = True
    _fail_with(LedgerProvider(world.replica(), timeout=0.05))


@step("a fatal provider")
def a_fatal_provider(world: World) -> None:
    world.topics.down = True
    replica = world.replica()
    replica.close()
    _fail_with(LedgerProvider(replica))


def _fail_with(provider: LedgerProvider) -> None:
    before = api.get_client().provider
    with pytest.raises(OpenFeatureError):
        api.set_provider_and_wait(provider)
    before.shutdown()  # the SDK forgets to, where the next one fails


@step("a stale provider")
def a_stale_provider(world: World) -> None:
    with world.topics.moved:
        world.topics.down, world.topics.log = True, []
    eventually(lambda: world.client.get_provider_status().value != "READY")


@step(r'a (\w+)-flag with key "([^"]*)" and a fallback value "(.*)"')
def a_flag(world: World, kind: str, key: str, fallback: str) -> None:
    world.type, world.key = FlagType(kind.upper()), key
    world.fallback = world.read(fallback)


@step(r'a context containing a key "([^"]*)", with type "(\w+)" and with value "([^"]*)"')
def a_context(world: World, name: str, kind: str, value: str) -> None:
    world.attributes[name] = world.read(value, kind)


@step(r'a context containing a key "([^"]*)" with null value')
def a_context_with_null(world: World, name: str) -> None:
    world.attributes[name] = None


@step("an evaluation context with modifiable data")
def a_context_with_modifiable_data(world: World) -> None:
    world.attributes = {"tags": ["a", "b"], "guild": {"name": "iron", "ranks": [1, 2]}}


@step("evaluation options containing specific hooks")
def options_with_hooks(world: World) -> None:
    first, second = (Recorder(name, world.calls) for name in ("first", "second"))
    world.hooks = FlagEvaluationOptions([first, second])


# --- When ---


@step("the flag was evaluated with details(?: using the evaluation options)?")
def evaluated(world: World) -> None:
    world.details = world.client.evaluate_flag_details(
        world.type, world.key, world.fallback, world.context(), world.hooks
    )


@step("the flag was evaluated with details asynchronously")
def evaluated_asynchronously(world: World) -> None:
    question = world.client.evaluate_flag_details_async(
        world.type, world.key, world.fallback, world.context()
    )
    world.details = asyncio.run(asyncio.wait_for(question, SECONDS))


# --- Then ---


@step(r'the resolved details value should be "(.*)"')
def the_value(world: World, expected: str) -> None:
    value = world.seen().value
    assert (value, type(value)) == (world.read(expected), type(world.fallback))


@step(r'the reason should be "(\w+)"')
def the_reason(world: World, expected: str) -> None:
    assert world.seen().reason == expected


@step(r'the error-code should be "(\w+)"')
def the_error_code(world: World, expected: str) -> None:
    assert world.seen().error_code == expected


@step(r'the flag key should be "([^"]*)"')
def the_key(world: World, expected: str) -> None:
    assert world.seen().flag_key == expected


@step(r'the variant should be "([^"]*)"')
def the_variant(world: World, expected: str) -> None:
    assert world.seen().variant == expected


@step(r'the provider status should be "(\w+)"')
def the_status(world: World, expected: str) -> None:
    assert world.client.get_provider_status().value == expected


@step("the specified hooks should execute during evaluation")
def the_hooks_ran(world: World) -> None:
    assert len(world.calls) == 6


@step("the hook order should be maintained")
def the_order_of_hooks(world: World) -> None:
    there, back = ("first", "second"), ("second", "first")
    ordered = [f"before {name}" for name in there]
    ordered += [f"{stage} {name}" for stage in ("after", "finally") for name in back]
    assert world.calls == ordered


@step("the original evaluation context should remain unmodified")
def the_context_is_as_it_was(world: World) -> None:
    before = dict(world.attributes)
    a_context_with_modifiable_data(world)
    assert before == world.attributes


@step("the evaluation details should be immutable")
def the_details_are_immutable(world: World) -> None:
    metadata: Any = world.seen().flag_metadata
    with pytest.raises(TypeError):
        metadata["version"] = 0


@step("the evaluation should complete without blocking")
def it_completed(world: World) -> None:
    assert world.seen().error_code is None
