"""LaunchDarkly's server SDK, fed by its file data source."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldclient import Config, Context, LDClient
from ldclient.integrations import Files

from benchmarks.peers import Peer
from benchmarks.workload import Knob, Test, Visitor

Json = Any

_IN, _OUT = 0, 1


def opened(knobs: tuple[Knob, ...]) -> Peer:
    """Hold the list as LaunchDarkly's flags."""
    logging.getLogger("ldclient").setLevel(logging.ERROR)
    client = _client({"flags": {knob.lever: _flag(knob) for knob in knobs}})
    fallbacks = [(knob.lever, knob.default) for knob in knobs]

    def answer(visitor: Visitor) -> Mapping[str, Json]:
        builder = Context.builder(visitor.session)
        for name, value in visitor.attributes.items():
            builder.set(name, value)
        context, variation = builder.build(), client.variation
        return {lever: variation(lever, context, fallback) for lever, fallback in fallbacks}

    return Peer(
        "launchdarkly-server-sdk",
        "Python",
        "file data source; variation each; no events, no diagnostics",
        answer,
        client.close,
    )


def _client(data: dict[str, Json]) -> LDClient:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "flags.json")
        file.write_text(json.dumps(data), encoding="utf-8")
        config = Config(
            "no-key",
            update_processor_class=Files.new_data_source(paths=[str(file)]),
            send_events=False,
            diagnostic_opt_out=True,
        )
        return LDClient(config, start_wait=10)


def _flag(knob: Knob) -> dict[str, Json]:
    flag: dict[str, Json] = {
        "key": knob.lever,
        "version": 1,
        "on": True,
        "salt": knob.lever,
        "variations": [knob.value, knob.default],
        "offVariation": _OUT,
        "fallthrough": {"variation": _OUT if knob.tests else _IN},
    }
    if knob.tests:
        flag["rules"] = [{"id": "r", "variation": _IN, "clauses": [*map(_clause, knob.tests)]}]
    if knob.percentage is not None:
        share = knob.percentage * 1000
        weights = [(_IN, share), (_OUT, 100_000 - share)]
        variations = [{"variation": index, "weight": weight} for index, weight in weights]
        flag["fallthrough"] = {"rollout": {"contextKind": "user", "variations": variations}}
    return flag


def _clause(test: Test) -> dict[str, Json]:
    values = list(test.value) if test.operator == "in" else [test.value]
    operator = "greaterThanOrEqual" if test.operator == "at_least" else "in"
    return {"contextKind": "user", "attribute": test.attribute, "op": operator, "values": values}
