"""Unleash's client: a Rust core that is asked through ctypes, in JSON."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from UnleashClient import UnleashClient
from UnleashClient.cache import FileCache

from benchmarks.peers import Peer
from benchmarks.workload import Knob, Test, Visitor
from ledger.catalog import LeverType

Json = Any

_READ: dict[LeverType, tuple[str, Callable[[str], Json]]] = {
    LeverType.INTEGER: ("number", int),
    LeverType.FLOAT: ("number", float),
    LeverType.ENUM: ("string", str),
    LeverType.ENUM_LIST: ("json", json.loads),
    LeverType.OBJECT: ("json", json.loads),
}


def opened(knobs: tuple[Knob, ...]) -> Peer:
    """Hold the list as Unleash's toggles, each with one variant that carries the value."""
    folder = tempfile.TemporaryDirectory()
    cache = FileCache("benchmark", directory=folder.name)
    cache.bootstrap_from_dict({"version": 2, "features": [_toggle(knob) for knob in knobs]})
    client = UnleashClient(
        "http://127.0.0.1:1/api",
        "benchmark",
        cache=cache,
        disable_metrics=True,
        disable_registration=True,
    )
    asked = [(knob.lever, _READ[knob.type][1], knob.default) for knob in knobs]

    def answer(visitor: Visitor) -> Mapping[str, Json]:
        context = {"userId": visitor.session, "properties": visitor.attributes}
        values: dict[str, Json] = {}
        for lever, read, default in asked:
            variant = client.get_variant(lever, context)
            values[lever] = read(variant["payload"]["value"]) if variant["enabled"] else default
        return values

    def close() -> None:
        folder.cleanup()

    return Peer(
        "unleashclient",
        "Rust",
        "bootstrapped cache; get_variant each; no polling, registration, metrics or events",
        answer,
        close,
    )


def _toggle(knob: Knob) -> dict[str, Json]:
    kind = _READ[knob.type][0]
    value = json.dumps(knob.value) if kind != "string" else knob.value
    share = 100 if knob.percentage is None else knob.percentage
    variant = {
        "name": "in",
        "weight": 1000,
        "weightType": "variable",
        "stickiness": "userId",
        "payload": {"type": kind, "value": value},
    }
    strategy = {
        "name": "flexibleRollout",
        "parameters": {"rollout": str(share), "stickiness": "userId", "groupId": knob.lever},
        "constraints": [*map(_constraint, knob.tests)],
        "variants": [variant],
    }
    return {"name": knob.lever, "type": "release", "enabled": True, "strategies": [strategy]}


def _constraint(test: Test) -> dict[str, Json]:
    if test.operator == "at_least":
        return {"contextName": test.attribute, "operator": "NUM_GTE", "value": str(test.value)}
    values = list(test.value) if test.operator == "in" else [test.value]
    return {"contextName": test.attribute, "operator": "IN", "values": values}
