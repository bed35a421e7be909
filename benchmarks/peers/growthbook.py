"""GrowthBook's Python SDK: one GrowthBook object per visitor, as its documentation says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from growthbook import GrowthBook

from benchmarks.peers import Peer
from benchmarks.workload import Knob, Test, Visitor

Json = Any


def opened(knobs: tuple[Knob, ...]) -> Peer:
    """Hold the list as GrowthBook's features."""
    features = GrowthBook(features={knob.lever: _feature(knob) for knob in knobs}).get_features()
    fallbacks = [(knob.lever, knob.default) for knob in knobs]

    def answer(visitor: Visitor) -> Mapping[str, Json]:
        attributes = {"id": visitor.session, **visitor.attributes}
        client = GrowthBook(attributes=attributes, features=features)
        value = client.get_feature_value
        return {lever: value(lever, fallback) for lever, fallback in fallbacks}

    return Peer(
        "growthbook",
        "Python",
        "features given, read once; a client per visitor; get_feature_value each; no callbacks",
        answer,
    )


def _feature(knob: Knob) -> dict[str, Json]:
    rule: dict[str, Json] = {"force": knob.value}
    if knob.tests:
        rule["condition"] = {test.attribute: _operator(test) for test in knob.tests}
    if knob.percentage is not None:
        rule |= {"coverage": knob.percentage / 100, "hashAttribute": "id", "hashVersion": 2}
    return {"defaultValue": knob.default, "rules": [rule]}


def _operator(test: Test) -> Json:
    match test.operator:
        case "is":
            return test.value
        case "in":
            return {"$in": list(test.value)}
    return {"$gte": test.value}
