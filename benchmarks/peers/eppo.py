"""Eppo's server SDK: a Rust core behind a Python module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import eppo_client

from benchmarks.peers import Peer
from benchmarks.workload import Knob, Test, Visitor
from ledger.catalog import LeverType

Json = Any

_SHARDS = 10_000
_KINDS = {
    LeverType.INTEGER: ("INTEGER", "get_integer_assignment"),
    LeverType.FLOAT: ("NUMERIC", "get_numeric_assignment"),
    LeverType.ENUM: ("STRING", "get_string_assignment"),
    LeverType.ENUM_LIST: ("JSON", "get_json_assignment"),
    LeverType.OBJECT: ("JSON", "get_json_assignment"),
}


def opened(knobs: tuple[Knob, ...]) -> Peer:
    """Hold the list as Eppo's flags."""
    flags = {knob.lever: _flag(knob) for knob in knobs}
    written = {
        "createdAt": "2026-01-01T00:00:00Z",
        "format": "SERVER",
        "environment": {"name": "Benchmark"},
        "flags": flags,
    }
    client = eppo_client.init(
        eppo_client.ClientConfig(
            api_key="no-key",
            assignment_logger=eppo_client.AssignmentLogger(),
            poll_interval_seconds=None,
            initial_configuration=eppo_client.Configuration(
                flags_configuration=json.dumps(written).encode()
            ),
        )
    )
    asked = [(knob.lever, getattr(client, _KINDS[knob.type][1]), knob.default) for knob in knobs]

    def answer(visitor: Visitor) -> Mapping[str, Json]:
        session, attributes = visitor
        return {lever: get(lever, session, attributes, default) for lever, get, default in asked}

    return Peer(
        "eppo-server-sdk",
        "Rust",
        "initial configuration; a typed assignment each; no polling, nothing logged",
        answer,
        client.shutdown,
    )


def _flag(knob: Knob) -> dict[str, Json]:
    kind = _KINDS[knob.type][0]
    value = json.dumps(knob.value) if kind == "JSON" else knob.value
    whole = 100 if knob.percentage is None else knob.percentage
    shard = {"salt": knob.lever, "ranges": [{"start": 0, "end": whole * _SHARDS // 100}]}
    allocation: dict[str, Json] = {
        "key": "in",
        "splits": [{"variationKey": "in", "shards": [] if whole == 100 else [shard]}],
        "doLog": False,
    }
    if knob.tests:
        allocation["rules"] = [{"conditions": [*map(_condition, knob.tests)]}]
    return {
        "key": knob.lever,
        "enabled": True,
        "variationType": kind,
        "variations": {"in": {"key": "in", "value": value}},
        "allocations": [allocation],
        "totalShards": _SHARDS,
    }


def _condition(test: Test) -> dict[str, Json]:
    if test.operator == "at_least":
        return {"attribute": test.attribute, "operator": "GTE", "value": test.value}
    values = list(test.value) if test.operator == "in" else [test.value]
    return {"attribute": test.attribute, "operator": "ONE_OF", "value": values}
