"""A small world for random histories: few of everything, so that what can meet does meet.

Instants lie on a grid of ten microseconds, and commands come on, just before and between its
points; contents touch few levers at few places. Everything is written as the model has it, with
instants as whole microseconds; the second half tells the product the same.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from ledger.clock import format_instant
from ledger.content import Content, Targeting
from ledger.experiments import Experiment
from ledger.rollout import Rollout
from ledger.schedule import Window
from ledger.scopes import Context, place
from tests.model_levers import bucket_of

Json = Any
Where = tuple[str, str]
Span = tuple[int | None, int | None]

SHIPPED = json.loads((Path(__file__).parents[1] / "ledger" / "catalog.json").read_text())
CONFIGS = [UUID(int=n) for n in range(1, 5)]
STRANGER = UUID(int=77)

START = 1_767_225_600_000_000
STEP = 10
GRID = [START + STEP * n for n in range(16)]
FAR = START + 10**12

# --- Who asks, and where things are set ---

EVERYWHERE: Where = ("global", "global")
PLACES: list[Where] = [
    EVERYWHERE,
    ("world", "w1"),
    ("world", "w2"),
    ("adventure", "a1"),
    ("experiment", "y"),
    ("experiment", "x:b"),
    ("experiment", "x"),
    ("session", "s1"),
]
# Each history is played in one of these, most of them narrow.
PALETTES = [PLACES, PLACES[:2], PLACES[:2], PLACES[1:4], PLACES[4:7], PLACES[5:8], PLACES[:1]]

CONTEXTS: list[dict[str, Json]] = [
    {
        "session_id": "s1",
        "world_id": "w1",
        "adventure_id": "a1",
        "experiments": {"y": "b"},
        "experiment_id": "x",
        "variation": "b",
        "attributes": {"level": 11, "region": "eu", "guild": "g2"},
    },
    {"session_id": "s1"},
    {"session_id": "s1", "world_id": "w1", "adventure_id": "a1", "experiment_id": "x"},
    {"session_id": "s2", "world_id": "w1", "experiment_id": "x", "variation": "b"},
    {"session_id": "s1", "world_id": "w2", "experiments": {"x": "b", "y": None}},
    {"session_id": "s1", "world_id": "w1", "attributes": {"level": 10, "region": "eu"}},
    {"session_id": "s2", "adventure_id": "a1", "attributes": {"level": 9.5, "region": "us"}},
    {"session_id": "s1", "turn_id": 3, "attributes": {"level": "high", "guild": "g1"}},
]

# --- Payloads ---

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"
LOW, HIGH = "VENDOR_MARGIN_MIN", "VENDOR_MARGIN_MAX"
MIX = "PARTY_INTENT_MIX_BIAS"
TOKENS = "AWF_MAX_INPUT_TOKENS"
TIERS = "AWF_MODEL_TIER_ALLOWLIST"
GATE = "DIALOGUE_GATE"
LEVERS = [TEMPO, LOW, HIGH, MIX, TOKENS, TIERS, GATE]

Payload = dict[str, Json]
MARGINS: list[Payload] = [
    {LOW: 0.2},
    {LOW: 0.35},
    {HIGH: 0.15},
    {HIGH: 0.4},
    {LOW: 0.3, HIGH: 0.35},
]
MIXES: list[Payload] = [
    {MIX: {"NEUTRAL": 0.7}},
    {MIX: {"NEUTRAL": 0.1, "COOPERATIVE": 0.9}, TEMPO: 1.5},
    {MIX: {"COMPETITIVE": 1.2}},
    {MIX: {"COOPERATIVE": "20%"}},
]
OTHERS: list[Payload] = [
    {TEMPO: 2.0},
    {TEMPO: "50%"},
    {TEMPO: 4.45, TOKENS: 5000.0},
    {GATE: " READONLY ", TOKENS: 6000},
    {TIERS: ["claude-3", "GPT-4"], GATE: "off"},
]
THEMES = [
    MARGINS + MIXES + OTHERS,
    MARGINS,
    MIXES,
    OTHERS,
    [margin | mix for margin in MARGINS for mix in MIXES],
]
BAD_PAYLOADS: list[Payload] = [
    {TEMPO: 4.46},  # a draft may hold these three
    {TOKENS: 12_001},
    {MIX: {"NEUTRAL": -0.6}},
    {LOW: 0.4, HIGH: 0.3},
    {TEMPO: "fast"},
    {"NO_SUCH_LEVER": 1},
    {TIERS: []},
]


def _catalogs() -> list[Json]:
    """Return the shipped one, two that take things away, one that writes values otherwise."""
    other = json.loads(json.dumps(SHIPPED))
    levers = {entry["name"]: entry for entry in other["levers"]}
    levers[GATE]["values"] = ["off", "full"]
    levers[TIERS]["default"] = ["claude-2"]
    del levers[MIX]["fields"]["COOPERATIVE"], levers[MIX]["default"]["COOPERATIVE"]
    levers[TOKENS] |= {"max": 5500, "default": 3000}
    levers[LOW]["default"] = 0.28
    left = [entry for entry in other["levers"] if entry["name"] not in (HIGH, TEMPO)]
    return [SHIPPED, other, {"levers": left}, _written_otherwise()]


def _written_otherwise() -> Json:
    """Return a catalog in which the same values have another type, or other capitals."""
    other = json.loads(json.dumps(SHIPPED))
    levers = {entry["name"]: entry for entry in other["levers"]}
    levers[GATE] |= {"values": ["Off", "ReadOnly", "Full"], "default": "Full"}
    levers[TOKENS] |= {"type": "float", "default": 4000.5}
    return other


CATALOGS = _catalogs()

# --- Targeting ---


def _level(bindings: Mapping[str, Json]) -> float:
    level = bindings["level"]
    if isinstance(level, bool) or not isinstance(level, int | float):
        raise TypeError(level)
    return level


def _either(*sides: Callable[[], bool]) -> bool:
    """Work out `one || other` as CEL does: a true side absorbs the other side's error."""
    errors: list[Exception] = []
    for side in sides:
        try:
            if side():
                return True
        except (KeyError, TypeError) as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return False


LATE = f'at >= timestamp("{format_instant(GRID[5])}")'
RULES: dict[str, Callable[[Mapping[str, Json]], Json]] = {
    "level >= 10": lambda b: _level(b) >= 10,
    'region == "eu"': lambda b: b["region"] == "eu",
    'level > 9 || region == "eu"': lambda b: _either(
        lambda: _level(b) > 9, lambda: b["region"] == "eu"
    ),
    'world_id == "w1"': lambda b: b["world_id"] == "w1",
    "nowhere == 1": lambda b: b["nowhere"] == 1,
    'session_id in ["s1", "s3"]': lambda b: b["session_id"] in ["s1", "s3"],
    "guild": lambda b: b["guild"],  # a text, never true or false
    LATE: lambda b: b["at"] >= GRID[5],
    "true": lambda b: True,
}
BROKEN_RULE = "level >="


def matches(text: str, bindings: Mapping[str, Json]) -> Json:
    """Answer for a rule as the model wants it: its value, or any exception."""
    return RULES[text](bindings)


TARGETINGS: list[Json] = [None] * 20 + [
    {"include": "level >= 10"},
    {"exclude": 'region == "eu"'},
    {"include": 'level > 9 || region == "eu"'},
    {"include": 'world_id == "w1"', "exclude": "level >= 10"},
    {"exclude": "nowhere == 1"},
    {"include": 'session_id in ["s1", "s3"]'},
    {"exclude": "guild"},
    {"include": LATE},
    {"exclude": LATE},
    {"include": "true", "exclude": 'level > 9 || region == "eu"'},
]

# --- Rollouts and windows ---


def percent(percentage: float, **more: str) -> Json:
    return {"unit": "session_id", "percentage": percentage} | more


def ramp(*steps: tuple[int, float]) -> Json:
    """Return a rollout in steps of (place in the grid, percentage)."""
    written = [{"at": GRID[where], "percentage": percentage} for where, percentage in steps]
    return {"unit": "session_id", "ramp": written}


def edges(salt: str, unit: str) -> list[float]:
    """Return the last percentage that leaves a unit out and the first that takes it in."""
    bucket = bucket_of(salt, unit)
    return [bucket / 1000, (bucket + 1) / 1000]


RAMPS = [ramp((2, 50), (5, 100)), ramp((4, 100), (8, 0)), ramp((5, 16.1), (6, 100))]
ROLLOUTS: list[Json] = [
    *[None] * 32,
    *[percent(edge, salt="S") for edge in edges("S", "s1")],
    *[percent(edge) for config_id in CONFIGS[:2] for edge in edges(str(config_id), "s1")],
    *RAMPS * 2,
    percent(50, unit="world_id"),
    percent(100, unit="guild"),
    percent(33.333, unit="guild", salt="S"),
    percent(0),
]
BAD_ROLLOUTS: list[Json] = [percent(100.001), percent(0.0005), ramp((3, 1), (3, 2))]

WINDOWS: list[Span] = [(None, None)] * 14 + [
    (GRID[begin] if begin else None, GRID[end] if end else None)
    for begin, end in [(3, 0), (4, 8), (0, 6), (6, 9), (2, 4), (7, 0), (8, 12)]
]
EMPTY_WINDOW: Span = (GRID[5], GRID[5])

# --- Experiments ---

GROUP = "g"
HALVES = [("a", 1), ("b", 1)]
SHARES: dict[str, list[float]] = {
    name: [*edges(name, "s1"), *edges(f"{GROUP}:group", "s1"), 40, 60, 100, 0]
    for name in ("x", "y", "z")
}
HOLDOUTS: list[Json] = [None] * 5 + [("h", edge) for edge in edges("h:holdout", "s1")]


@dataclass(frozen=True)
class Trial:
    """An experiment; `share` counts in what its id may have."""

    name: str
    variations: Json
    unit: str
    share: int
    group: str | None
    holdout: Json

    def experiment(self) -> dict[str, Json]:
        return {
            "experiment_id": self.name,
            "variations": self.variations,
            "unit": self.unit,
            "percentage": share_of(self.name, self.share),
            "group": self.group,
            "holdout": self.holdout,
        }


def share_of(name: str, nth: int) -> float:
    """Pick a percentage for an experiment, often one at the edge of a session's bucket."""
    return SHARES[name][nth % len(SHARES[name])]


# --- What is drawn ---


@dataclass(frozen=True)
class Draft:
    """A config's content; `payload` and `where` count in the history's theme and palette."""

    payload: int | Payload
    where: int
    window: Span
    targeting: Json
    rollout: Json
    priority: int

    def content(self, palette: list[Where], theme: list[Payload]) -> dict[str, Json]:
        scope, ref = palette[self.where % len(palette)]
        payload = self.payload
        if isinstance(payload, int):
            payload = theme[payload % len(theme)]
        return {
            "name": "n",
            "scope": scope,
            "scope_ref": ref,
            "payload": payload,
            "valid_from": self.window[0],
            "valid_to": self.window[1],
            "targeting": self.targeting,
            "rollout": self.rollout,
            "priority": self.priority,
        }


@dataclass(frozen=True)
class Question:
    """What to ask after a command; numbers are taken modulo what there is."""

    context: int
    instant: int
    shift: int
    position: int


def drafts(bad: int = 1) -> st.SearchStrategy[Draft]:
    """Draw contents, some of which break a rule; none does for bad=0."""
    numbers: list[int | Payload] = [*range(20)]
    return st.builds(
        Draft,
        st.sampled_from(numbers + BAD_PAYLOADS * bad),
        st.integers(0, 7),
        st.sampled_from(WINDOWS + [EMPTY_WINDOW] * bad),
        st.sampled_from(TARGETINGS + [{"include": BROKEN_RULE}] * bad),
        st.sampled_from(ROLLOUTS + BAD_ROLLOUTS * bad),
        st.sampled_from([0, 0, 0, 1, -1]),
    )


names = st.sampled_from(["x", "x", "y", "z"])
shares = st.integers(0, 7)
trials = st.builds(
    Trial,
    names,
    st.sampled_from([HALVES, HALVES, [("b", 1)], [("c", 0), ("b", 2), ("a", 1)]]),
    st.sampled_from(["session_id"] * 6 + ["guild", "world_id"]),
    shares,
    st.sampled_from([None, GROUP, GROUP]),
    st.sampled_from(HOLDOUTS),
)
nths = st.integers(0, 11)
wheres = st.integers(0, 7)
windows = st.none() | st.sampled_from([*WINDOWS, EMPTY_WINDOW])
rollouts = st.sampled_from(ROLLOUTS[32:] + BAD_ROLLOUTS)
waits = st.sampled_from([1, 1, 1, 2, 3, "edge", "edge", "before", 25])
revisions = st.sampled_from([None, None, None, None, 1, 1, 2, 3])
seen = st.sampled_from([None] * 6 + [0] * 3 + [-1])
glass = st.sampled_from([(False, "")] * 3 + [(True, "fire")] * 3 + [(True, "")])
questions = st.builds(
    Question,
    st.sampled_from([0, 0, 0, *range(1, len(CONTEXTS))]),
    st.integers(0, 99),
    st.sampled_from([0, 0, -1, 1]),
    st.integers(0, 40),
)

# --- The same for the product ---


def product_rollout(rollout: Json) -> Rollout:
    """Read a rollout as it comes over HTTP, its instants as text; raises Invalid."""
    steps = rollout.get("ramp")
    if steps is not None:
        rollout = rollout | {"ramp": [s | {"at": format_instant(s["at"])} for s in steps]}
    return Rollout.from_json(rollout)


def product_content(content: Mapping[str, Json]) -> Content:
    """Build the content that the product is given; raises Invalid."""
    return Content(
        name=content["name"],
        place=place(content["scope"], content["scope_ref"]),
        payload=content["payload"],
        window=Window(content["valid_from"], content["valid_to"]),
        targeting=Targeting.from_json(content["targeting"]),
        rollout=content["rollout"] and product_rollout(content["rollout"]),
        priority=content["priority"],
    )


def product_experiment(experiment: Mapping[str, Json]) -> Experiment:
    """Read an experiment as it comes over HTTP."""
    variations = [{"name": name, "weight": weight} for name, weight in experiment["variations"]]
    holdout = experiment["holdout"] and dict(
        zip(("name", "percentage"), experiment["holdout"], strict=True)
    )
    return Experiment.from_json({**experiment, "variations": variations, "holdout": holdout})


WHO = [Context(**context) for context in CONTEXTS]
