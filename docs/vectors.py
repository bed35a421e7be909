"""Vectors of the rollout hash: what any implementation in any language must answer.

Each case has its inputs and what comes of them. Those that the page shows are chosen by hand for
their corners; a test makes thousands more of the same shapes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ledger.clock import Instant, format_instant, parse_instant
from ledger.experiments import Experiment
from ledger.rollout import (
    EVERYONE,
    Rollout,
    bucket,
    choose,
    gate_limit,
    hash_bytes,
    unit_hash,
    unit_text,
)

Json = Any
Case = dict[str, Json]

ABOUT = {
    "hashes": "murmur3_x86_32 of the bytes, seed 0, unsigned. `hex` are the bytes.",
    "buckets": (
        "h = the hash of the UTF-8 bytes of salt + ':' + unit; bucket = (h * 100000) >> 32, "
        "from 0 to 99999."
    ),
    "unit_texts": (
        "The text that a unit's value is hashed as. `json` is the value as JSON writes it; null: "
        "it is no unit, and nothing includes it."
    ),
    "limits": (
        "thousandths = percentage * 1000, a whole number. Included: bucket < thousandths, which is "
        "h < limit with limit = ceil(thousandths * 2**32 / 100000)."
    ),
    "ramps": (
        "The percentage in force at an instant: of the last step not after it; before the first 0."
    ),
    "inclusions": (
        "Whether units are in a rollout at an instant. Without a salt of its own a rollout is "
        "salted by its config's id."
    ),
    "draws": (
        "The index of the variation that a hash falls to: the first whose cumulative weight is "
        "above (h * total weight) >> 32."
    ),
    "experiments": (
        "The variations of units in a running experiment; null: not in it. Salts: "
        "`<experiment_id>` for enrolment (in when bucket < thousandths), `<group>:group` in place "
        "of it where there is a group (in when the bucket is in a range: begin <= bucket < end), "
        "`<holdout>:holdout` (out when bucket < thousandths), `<experiment_id>:variation` for the "
        "draw."
    ),
}


# --- Cases: inputs with what our implementation makes of them ---


def hash_case(key: bytes) -> Case:
    """Hash bytes."""
    return {"hex": key.hex(), "hash": hash_bytes(key)}


def bucket_case(salt: str, unit: str) -> Case:
    """Hash a unit for one purpose."""
    hashed, place = unit_hash(salt, unit), bucket(salt, unit)
    return {"salt": salt, "unit": unit, "hash": hashed, "bucket": place}


def unit_text_case(source: str) -> Case:
    """Write a unit's value, given as JSON."""
    return {"json": source, "text": unit_text(json.loads(source))}


def limit_case(thousandths: int) -> Case:
    """Turn a percentage to the limit of a hash."""
    percentage = Rollout(thousandths).to_json()["percentage"]
    return {"percentage": percentage, "thousandths": thousandths, "limit": gate_limit(thousandths)}


def ramp_case(ramp: Json, at: Instant) -> Case:
    """Find the percentage of a ramp at an instant."""
    thousandths = Rollout.from_json({"ramp": ramp}).threshold(at)
    return {"ramp": ramp, "at": format_instant(at), "thousandths": thousandths}


def inclusion_case(rollout: Json, config_id: str, at: Instant, units: Sequence[Json]) -> Case:
    """Decide for each unit whether it is in."""
    read = Rollout.from_json(rollout)
    included = [[unit, read.includes(unit_text(unit), config_id, at)] for unit in units]
    asked = {"rollout": rollout, "config_id": config_id, "at": format_instant(at)}
    return {**asked, "included": included}


def draw_case(weights: Sequence[int], hashed: int) -> Case:
    """Draw a variation."""
    return {"weights": list(weights), "hash": hashed, "index": choose(weights, hashed)}


def experiment_case(experiment: Json, units: Sequence[Json]) -> Case:
    """Assign each unit."""
    read = Experiment.from_json(experiment)
    return {"experiment": experiment, "assigned": [[unit, read.assign(unit)] for unit in units]}


# --- What is published ---

_CONFIG_ID = "0190a1b2-0000-7000-8000-000000000001"
_UNITS = ["session-1", "session-2", "session-3", "", "séance-✨", "e\u0301", "é", "森の民", "a:b"]
_SALTS = [_CONFIG_ID, "boost", "größe", "a", "a:b"]
_JSON = [
    *('"gold"', '""', '"7"', "true", "false", "null", "[1]", "{}", "0", "-0", "-0.0", "7", "7.0"),
    *("7e0", "-7", "0.25", "0.1", "0.30000000000000004", "1e-6", "1e-7", "-1.5e-7", "5e-324"),
    *("123456789.125", "9007199254740992", "9007199254740993", "9007199254740992.0", "1e16"),
    *("1.5e300", "1e20", "1e21", "-1.25e20", "9223372036854775807", "18446744073709551615"),
    *("-9223372036854775808", "1.7976931348623157e308"),
]
_NEW_YEAR = parse_instant("2026-01-01T00:00:00Z")
_HOUR = 3_600_000_000
_RAMP = [
    {"at": "2026-01-01T00:00:00Z", "percentage": 0.5},
    {"at": "2026-01-01T02:00:00+01:00", "percentage": 33.333},
    {"at": "2026-01-01T02:00:00.000001Z", "percentage": 0},
    {"at": "2026-01-01T03:00:00Z", "percentage": 100},
]
_VARIATIONS = [
    {"name": "control", "weight": 50},
    {"name": "bold", "weight": 30},
    {"name": "off", "weight": 0},
    {"name": "subtle", "weight": 20},
]
_EXPERIMENTS: list[Json] = [
    {"experiment_id": "boost", "variations": _VARIATIONS},
    {"experiment_id": "boost", "variations": _VARIATIONS, "percentage": 50},
    {
        "experiment_id": "boost",
        "variations": _VARIATIONS,
        "percentage": 40,
        "group": "economy",
        "ranges": [[0, 25000], [60000, 75000]],
    },
    {
        "experiment_id": "boost",
        "variations": _VARIATIONS,
        "holdout": {"name": "nobody", "percentage": 30},
    },
    {
        "experiment_id": "größe",
        "variations": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}],
        "percentage": 75,
        "group": "größe",
        "ranges": [[25000, 100000]],
        "holdout": {"name": "größe", "percentage": 12.5},
    },
]


def _hashes() -> Iterator[Case]:
    for length in range(10):
        yield hash_case(bytes(range(1, length + 1)))
    yield hash_case(b"\xff" * 31)
    yield hash_case(b"The quick brown fox jumps over the lazy dog")


def _ramp_instants() -> Iterator[Instant]:
    for step in _RAMP:
        at = parse_instant(str(step["at"]))
        yield from (at - 1, at)


def _edges(weights: Sequence[int]) -> Iterator[int]:
    """List hashes on both sides of each limit of a draw."""
    total = sum(weights)
    for index in range(1, len(weights)):
        edge = sum(weights[:index]) * 2**32 // total
        yield from (max(edge - 1, 0), edge, min(edge + 1, 2**32 - 1))


def sections() -> dict[str, list[Case]]:
    """Make every published case."""
    weights = [[1, 1], [50, 30, 0, 20], [1], [0, 0, 3], [1, 1, 1], [333_333, 666_667]]
    units = [*(f"session-{number}" for number in range(1, 17)), "", True, 7, 0.25, None]
    rollouts = [{"percentage": 35}, {"percentage": 35, "salt": "boost"}, {"ramp": _RAMP}]
    return {
        "hashes": list(_hashes()),
        "buckets": [bucket_case(salt, unit) for salt in _SALTS for unit in _UNITS],
        "unit_texts": list(map(unit_text_case, _JSON)),
        "limits": list(map(limit_case, [0, 1, 2, 999, 1000, 33_333, 50_000, 99_999, EVERYONE])),
        "ramps": [ramp_case(_RAMP, at) for at in _ramp_instants()],
        "inclusions": [
            inclusion_case(rollout, _CONFIG_ID, _NEW_YEAR + _HOUR, units) for rollout in rollouts
        ],
        "draws": [
            draw_case(each, hashed)
            for each in weights
            for hashed in sorted({0, 2**31, 2**32 - 1, *_edges(each)})
        ],
        "experiments": [experiment_case(experiment, units) for experiment in _EXPERIMENTS],
    }


def written(cases: Mapping[str, Sequence[Case]]) -> str:
    """Write sections of cases as JSON, one case a line."""
    parts = [
        f'"{name}": {{\n"about": {json.dumps(ABOUT[name])},\n"cases": [\n{_lines(section)}\n]}}'
        for name, section in cases.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _lines(section: Sequence[Case]) -> str:
    return ",\n".join(json.dumps(case, ensure_ascii=False) for case in section)


def vectors_page() -> str:
    """Write the published vectors."""
    return written(sections())
