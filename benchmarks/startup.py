"""What a game pays before its first turn: importing us, and loading what the compacted topic holds.

Both are measured in interpreters that have done nothing else yet: `python -m benchmarks.startup`.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID

import orjson

from benchmarks.bench import Row
from consumers.prefix import Prefix, start_from
from ledger.catalog import shipped_catalog
from ledger.cloudevents import Record, Stamp, head_record, thing_record
from ledger.content import Pinned, Targeting
from ledger.levers import Lever, LeverType
from ledger.live import Activation, Live, Origin, activate, things
from ledger.rollout import EVERYONE, Rollout, Step
from ledger.schedule import Window
from ledger.scopes import EVERYWHERE, Place, Scope

CONFIGS = 5_000
RUNS = 15
IMPORT_BAR_MS = 40.0
LOAD_BAR_MS = 300.0

OURS: Mapping[str, str] = {
    "consumers.replica": "",
    # An adapter is for games that have the SDK anyway.
    "consumers.openfeature": "openfeature.api",
}
"""What a game imports, and what is imported before the clock runs."""
PEERS: Mapping[str, str] = {
    "growthbook": "GrowthBook",
    "ldclient": "LaunchDarkly",
    "UnleashClient": "Unleash",
    "eppo_client": "Eppo",
    "openfeature.contrib.provider.flagd": "flagd",
}

START = 1_767_225_600_000_000
DAY = 86_400_000_000

_IMPORT = """
import time{before}
began = time.perf_counter()
import {module}
print((time.perf_counter() - began) * 1000)
"""
_LOAD = """
from benchmarks.startup import load_ms
print(*load_ms({file!r}))
"""


def rows() -> Iterator[Row]:
    """Measure the imports beside the peers', and the loading beside parsing the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _import_rows(folder)
        yield from _load_rows(folder)


def medians(programs: Mapping[str, str], bytecode: str) -> dict[str, list[float]]:
    """Run programs in turns in fresh interpreters; gives medians of the numbers that each prints.

    Noise of the machine hits all alike. What they import is compiled beforehand, as it is for a
    package that was installed.
    """
    said: dict[str, list[list[float]]] = {name: [] for name in programs}
    for number in range(RUNS + 1):
        for name, program in programs.items():
            printed = _run(program, bytecode)
            if number:
                said[name].append(printed)
    return {
        name: [statistics.median(each) for each in zip(*runs, strict=True)]
        for name, runs in said.items()
    }


def _run(program: str, bytecode: str) -> list[float]:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    argv = [sys.executable, "-c", program]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    return [float(number) for number in ran.stdout.split()]


# --- Importing ---


def _import_rows(bytecode: str) -> Iterator[Row]:
    befores = {**dict.fromkeys(PEERS, ""), **OURS}
    programs = {
        module: _IMPORT.format(module=module, before=before and f", {before}")
        for module, before in befores.items()
        if has(module)
    }
    took = {module: each for module, (each,) in medians(programs, bytecode).items()}
    for module, before in OURS.items():
        if module in took:
            what = f"import {module}" + (before and ", the SDK there already")
            yield Row(what, took[module], IMPORT_BAR_MS, "the bar", "ms", bar=1)
    for module, name in PEERS.items():
        if module in took:
            ours, theirs = took["consumers.replica"], took[module]
            yield Row("import consumers.replica", ours, theirs, f"import of {name}'s SDK", "ms")


def has(module: str) -> bool:
    """Tell whether a module is installed."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


# --- Loading ---


def _load_rows(folder: str) -> Iterator[Row]:
    file = Path(folder, "active.json")
    file.write_bytes(orjson.dumps(compacted(CONFIGS)))
    ours, parsed = medians({"load": _LOAD.format(file=str(file))}, folder)["load"]
    what = f"load {CONFIGS:,} configs"
    yield Row(what, ours, LOAD_BAR_MS, "the bar", "ms", bar=1)
    yield Row(what, ours, parsed, "orjson.loads of the same bytes", "ms")


def load_ms(file: str) -> tuple[float, float]:
    """Load what a file holds until it could be served, and only parse it; in milliseconds."""
    held = {key: text.encode() for key, text in orjson.loads(Path(file).read_bytes()).items()}
    began = time.perf_counter()
    prefix = Prefix(start_from(held))
    loaded = time.perf_counter()
    parsed = [orjson.loads(value) for value in held.values()]
    ended = time.perf_counter()
    if len(prefix.live.activations) != len(parsed) - 1:
        raise ValueError(f"{file} does not hold a whole state")
    return (loaded - began) * 1000, (ended - loaded) * 1000


def compacted(configs: int) -> dict[str, str]:
    """Make up what the compacted topic holds: by key, the JSON of each thing and of the head."""
    live = Live(recorded_at=START)
    chance = random.Random(7)
    for number in range(1, configs + 1):
        activate(live, _activation(chance, number))
        live.position, live.recorded_at = number, START + number
    stamp = Stamp(live.position, live.recorded_at)
    found = things(live)
    records = [thing_record(thing_id, thing, stamp) for thing_id, thing in found.items()]
    return dict(map(_text, [*records, head_record(stamp, len(found))]))


def _text(record: Record) -> tuple[str, str]:
    return record.key.decode(), (record.value or b"").decode()


def _activation(chance: random.Random, number: int) -> Activation:
    levers = chance.sample(list(shipped_catalog().levers.values()), chance.randint(1, 6))
    pinned = Pinned(
        revision=chance.randint(1, 9),
        name=f"A config of some length, number {number}",
        place=_place(chance),
        payload={lever.name: _value(chance, lever) for lever in levers},
        window=_window(chance),
        targeting=_targeting(chance) if number % 3 == 0 else None,
        rollout=_rollout(chance) if number % 3 == 1 else None,
        priority=chance.choice([0, 0, 0, 10]),
        rank=chance.choice([None, None, None, number]),
    )
    actor = UUID(int=chance.getrandbits(128))
    origin = Origin(number, START + number, actor, "a reason of some length, as people write")
    return Activation(UUID(int=chance.getrandbits(128)), pinned, origin)


def _place(chance: random.Random) -> Place:
    kind = chance.randrange(10)
    if kind == 0:
        return EVERYWHERE
    if kind < 4:
        return Place(Scope.WORLD, f"world.{chance.randrange(100)}")
    return Place(Scope.ADVENTURE, f"adventure.{chance.randrange(300)}")


def _window(chance: random.Random) -> Window:
    begin = START + chance.randrange(DAY)
    return chance.choice([Window(), Window(), Window(begin), Window(begin, begin + DAY)])


def _targeting(chance: random.Random) -> Targeting:
    level, region = chance.randrange(100), chance.choice(["eu", "us", "asia"])
    include = f'level >= {level} && (region == "{region}" || tier in ["gold", "{region}"])'
    return Targeting(include, chance.choice([None, f"banned || playtime < {level}.5"]))


def _rollout(chance: random.Random) -> Rollout:
    if chance.randrange(4):
        return Rollout(chance.randrange(EVERYONE), chance.choice(["session_id", "world_id"]))
    steps = [Step(START + day * DAY, (day + 1) * EVERYONE // 5) for day in range(5)]
    return Rollout(ramp=tuple(steps), salt="a salt of its own")


def _value(chance: random.Random, lever: Lever) -> object:
    match lever.type:
        case LeverType.INTEGER | LeverType.FLOAT | LeverType.DURATION:
            share = chance.random()
            between = (lever.min or 0) + share * ((lever.max or 0) - (lever.min or 0))
            return round(between) if lever.type is LeverType.INTEGER else round(between, 3)
        case LeverType.ENUM:
            return chance.choice(lever.values or ("",))
    return lever.default


if __name__ == "__main__":
    for row in rows():
        print(f"{row.what:54} {row.ours:6.1f} ms  {row.against:31} {row.limit:6.1f} ms")
