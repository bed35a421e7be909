"""The published vectors, and an implementation in another language that agrees with ours."""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docs import vectors
from docs.generate import REFERENCE
from docs.vectors import ABOUT, Case
from ledger.clock import format_instant
from ledger.rollout import EVERYONE
from tests.model_levers import bucket_of, murmur3

Json = Any

PUBLISHED = REFERENCE / "rollout-vectors.json"
PAGE = (REFERENCE / "rollout.md").read_text(encoding="utf-8")
OTHER = Path(__file__).parent / "rollout.mjs"
NODE = shutil.which("node")
CASES = 600
"""Random ones of each kind."""

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not on this machine")


def published() -> dict[str, Json]:
    read: dict[str, Json] = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return read


def test_the_vectors_have_units_that_are_in_and_units_that_are_out() -> None:
    sections = published()
    assert sections.keys() == ABOUT.keys()
    included = {answer for c in sections["inclusions"]["cases"] for _, answer in c["included"]}
    assigned = {answer for c in sections["experiments"]["cases"] for _, answer in c["assigned"]}
    assert included == {True, False}
    assert assigned == {None, "control", "bold", "subtle", "a", "b"}


def test_the_vectors_are_those_of_a_murmur_written_from_its_description() -> None:
    sections = published()
    for case in sections["hashes"]["cases"]:
        assert case["hash"] == murmur3(bytes.fromhex(case["hex"]))
    for case in sections["buckets"]["cases"]:
        assert case["bucket"] == bucket_of(case["salt"], case["unit"])


# --- Node ---


def judged(file: Path) -> Json:
    """Have the other implementation answer all cases of a file."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(OTHER), str(file)], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


@needs_node
def test_javascript_answers_the_vectors_as_we_do() -> None:
    counts = {name: len(section["cases"]) for name, section in published().items()}
    assert judged(PUBLISHED) == {"checked": counts, "wrong": []}


@needs_node
def test_javascript_answers_thousands_of_random_questions_as_we_do(tmp_path: Path) -> None:
    file = tmp_path / "random.json"
    luck = random.Random(3)
    sections = {name: [make(luck) for _ in range(CASES)] for name, make in RANDOM.items()}
    file.write_text(vectors.written(sections), encoding="utf-8")
    assert judged(file) == {"checked": dict.fromkeys(ABOUT, CASES), "wrong": []}


@needs_node
@pytest.mark.parametrize("section", ABOUT)
def test_javascript_finds_an_answer_that_is_wrong(section: str, tmp_path: Path) -> None:
    sections = published()
    case = sections[section]["cases"][1]
    member = list(case)[-1]
    case[member] = [["session-1", "wrong"]] if type(case[member]) is list else "wrong"
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(sections), encoding="utf-8")
    found = [(each["section"], each["member"]) for each in judged(file)["wrong"]]
    assert found == [(section, member)]


# --- Random cases ---

_ALPHABET = "abz019:-_. éßЖ語✨😀\u0301\u200d\0"
_INSTANTS = range(1_767_225_600_000_000, 1_767_225_600_000_020)


def _text(luck: random.Random) -> str:
    return "".join(luck.choices(_ALPHABET, k=luck.randrange(12)))


def _name(luck: random.Random) -> str:
    return "".join(luck.choices("abcé語-", k=luck.randint(1, 8)))


def _double(luck: random.Random) -> float:
    scale = 10.0 ** luck.randint(-10, 24)
    drawn = struct.unpack(">d", luck.randbytes(8))[0]
    finite = drawn if abs(drawn) < 1.7e308 else 0.0
    return float(luck.choice([finite, luck.random() * scale, -scale, scale]))


def _unit(luck: random.Random) -> Json:
    makers: list[Callable[[], Json]] = [
        *(lambda: _text(luck), lambda: f"session-{luck.getrandbits(40)}"),
        *(
            lambda: _double(luck),
            lambda: luck.randint(-(2**53), 2**53),
            lambda: luck.random() < 0.5,
        ),
        lambda: luck.choice([None, [1], {}]),
    ]
    return luck.choices(makers, (3, 5, 2, 2, 1, 1))[0]()


def _percentage(luck: random.Random) -> float:
    return luck.choice([0, 100, luck.randint(0, EVERYONE) / 1000, luck.randint(0, 100)])


def _ramp(luck: random.Random) -> Json:
    at = sorted(luck.sample(_INSTANTS, luck.randint(1, 5)))
    return [{"at": format_instant(each), "percentage": _percentage(luck)} for each in at]


def _rollout(luck: random.Random) -> Json:
    rollout = {"percentage": _percentage(luck)} if luck.random() < 0.6 else {"ramp": _ramp(luck)}
    return rollout if luck.random() < 0.5 else rollout | {"salt": _name(luck)}


def _weights(luck: random.Random) -> list[int]:
    return [luck.choice([0, 1, luck.randrange(100), luck.randrange(10**5)]) for _ in range(5)] + [1]


def _experiment(luck: random.Random) -> Json:
    variations = [{"name": f"v{n}", "weight": w} for n, w in enumerate(_weights(luck))]
    experiment: Json = {"experiment_id": _name(luck), "variations": variations}
    experiment["percentage"] = _percentage(luck)
    if luck.random() < 0.5:
        cuts = sorted(luck.sample(range(EVERYONE + 1), 4))
        experiment |= {"group": _name(luck), "ranges": [cuts[:2], cuts[2:]]}
    if luck.random() < 0.5:
        experiment["holdout"] = {"name": _name(luck), "percentage": _percentage(luck)}
    return experiment


def _units(luck: random.Random) -> Iterator[Json]:
    return (_unit(luck) for _ in range(5))


RANDOM: dict[str, Callable[[random.Random], Case]] = {
    "hashes": lambda luck: vectors.hash_case(luck.randbytes(luck.randrange(40))),
    "buckets": lambda luck: vectors.bucket_case(_text(luck), _text(luck)),
    "unit_texts": lambda luck: vectors.unit_text_case(
        json.dumps(luck.choice([_unit(luck), luck.randrange(-(2**63), 2**64)]))
    ),
    "limits": lambda luck: vectors.limit_case(luck.randint(0, EVERYONE)),
    "ramps": lambda luck: vectors.ramp_case(_ramp(luck), luck.choice(_INSTANTS)),
    "inclusions": lambda luck: vectors.inclusion_case(
        _rollout(luck), _name(luck), luck.choice(_INSTANTS), list(_units(luck))
    ),
    "draws": lambda luck: vectors.draw_case(_weights(luck), luck.getrandbits(32)),
    "experiments": lambda luck: vectors.experiment_case(_experiment(luck), list(_units(luck))),
}


# --- The page ---


@pytest.mark.parametrize("section", ABOUT)
def test_the_page_names_each_section_and_its_members(section: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{section}` |"))
    assert set(published()[section]["cases"][0]) <= set(re.findall(r"`(\w+)`", row))


@pytest.mark.parametrize("salt", ["<experiment_id>:variation", "<group>:group", ":holdout"])
def test_the_page_names_the_salts(salt: str) -> None:
    assert salt in PAGE
