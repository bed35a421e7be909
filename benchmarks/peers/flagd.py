"""flagd's evaluator in Python: what its OpenFeature provider asks when it resolves in process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from benchmarks.peers import Peer
from benchmarks.workload import Knob, Test, Visitor
from ledger.catalog import LeverType

Json = Any

_KINDS = {
    LeverType.INTEGER: "resolve_integer_value",
    LeverType.FLOAT: "resolve_float_value",
    LeverType.ENUM: "resolve_string_value",
    LeverType.ENUM_LIST: "resolve_object_value",
    LeverType.OBJECT: "resolve_object_value",
}


def opened(knobs: tuple[Knob, ...]) -> Peer:
    """Hold the list as flagd's flags."""
    logging.getLogger("openfeature").setLevel(logging.CRITICAL)
    core = FlagdCore()
    core.set_flags({"flags": {knob.lever: _flag(knob) for knob in knobs}})
    asked = [(knob.lever, getattr(core, _KINDS[knob.type]), knob.default) for knob in knobs]

    def answer(visitor: Visitor) -> Mapping[str, Json]:
        context = EvaluationContext(visitor.session, dict(visitor.attributes))
        return {lever: resolve(lever, default, context).value for lever, resolve, default in asked}

    return Peer(
        "openfeature-flagd-core",
        "Python",
        "set_flags; a typed resolve each, without the OpenFeature client around it",
        answer,
    )


def _flag(knob: Knob) -> dict[str, Json]:
    return {
        "state": "ENABLED",
        "variants": {"in": knob.value, "out": knob.default},
        "defaultVariant": "out" if knob.tests or knob.percentage else "in",
        **({"targeting": targeting} if (targeting := _targeting(knob)) else {}),
    }


def _targeting(knob: Knob) -> dict[str, Json] | None:
    if knob.tests:
        return {"if": [{"and": [*map(_condition, knob.tests)]}, "in", "out"]}
    if knob.percentage is None:
        return None
    return {"fractional": [["in", knob.percentage], ["out", 100 - knob.percentage]]}


def _condition(test: Test) -> dict[str, Json]:
    operator = {"is": "==", "in": "in", "at_least": ">="}[test.operator]
    value = list(test.value) if test.operator == "in" else test.value
    return {operator: [{"var": test.attribute}, value]}
