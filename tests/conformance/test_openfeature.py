"""The evaluation scenarios of OpenFeature's specification, against our provider.

They are read where they lie beside the project, in ../shared/peers, and are not copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from gherkin.parser import Parser
from gherkin.pickles.compiler import Compiler
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from consumers import replica as replica_module
from tests.conformance.openfeature_flags import NotALever, chronicle_of, lever_of
from tests.conformance.openfeature_steps import World, carry_out
from tests.unit.feeding import MemoryFeed, Topics
from tests.unit.publishing import Chronicle

Json = Any

SCENARIOS = Path(__file__).parents[2] / "../shared/peers/openfeature"
if not SCENARIOS.is_dir():
    pytest.skip("there is no ../shared/peers/openfeature here", allow_module_level=True)

FLAGS: Mapping[str, Json] = orjson.loads((SCENARIOS / "test-flags.json").read_bytes())

CACHED = "CACHED would hide why: an answer kept for its turn keeps its reason"
METADATA = "metadata says where a value is from in the ledger, not what an author wishes"
FIELDS = "a killed lever has its catalog's default, not the caller's: an object has its fields"

NOT_OURS = {
    "CACHED reason: Boolean boolean-flag": CACHED,
    "CACHED reason: String string-flag": CACHED,
    "Flag metadata in evaluation details: Boolean metadata-flag": METADATA,
    "DISABLED reason: Object object-disabled-flag": FIELDS,
}
NO_LEVERS = [
    "Empty evaluation context: Object object-targeted-zero-flag",
    "Empty evaluation context: String string-targeted-zero-flag",
    "Null context values: Object object-targeted-zero-flag",
    "Null context values: String string-targeted-zero-flag",
    "Resolves zero value with targeting using default: Object object-targeted-zero-flag",
    "Resolves zero value with targeting using default: String string-targeted-zero-flag",
    "Resolves zero value with targeting: Object object-targeted-zero-flag",
    "Resolves zero value with targeting: String string-targeted-zero-flag",
    "Resolves zero value: Object object-zero-flag",
    "Resolves zero value: String string-zero-flag",
]
"""Those of flags whose value is an empty text or object, which no lever has."""


def scenarios() -> dict[str, list[str]]:
    """Read the scenarios, one for each row of examples: the texts of its steps by its name."""
    document: Json = Parser().parse((SCENARIOS / "evaluation_v2.feature").read_text())
    document["uri"] = "evaluation_v2.feature"
    read: dict[str, list[str]] = {}
    for pickle in Compiler().compile(document):
        steps = [step["text"] for step in pickle["steps"]]
        named = f"{pickle['name']}: {_subject(steps)}"
        assert named not in read
        read[named] = steps
    return read


def _subject(steps: list[str]) -> str:
    for text in steps:
        if found := re.match(r'a (\w+)-flag with key "([^"]*)"', text):
            return f"{found[1]} {found[2]}"
    return steps[1]


def skipped(steps: list[str]) -> str | None:
    """Say why no lever can be the flag of a scenario; None when one can."""
    key = _subject(steps).partition(" ")[2]
    try:
        if key in FLAGS:
            lever_of(key, FLAGS[key])
    except NotALever as why:
        return str(why)
    return None


ALL = scenarios()


@pytest.fixture(scope="module")
def chronicle() -> Chronicle:
    return chronicle_of(FLAGS)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, chronicle: Chronicle) -> Iterator[World]:
    topics = Topics()
    monkeypatch.setattr(MemoryFeed, "topics", topics, raising=False)
    monkeypatch.setattr(replica_module, "Feed", MemoryFeed)
    api.set_evaluation_context(EvaluationContext("a session"))
    with ExitStack() as opened:
        yield World(topics, chronicle, opened)
        api.shutdown()


@pytest.mark.parametrize("name", ALL)
def test_scenario(name: str, world: World) -> None:
    if why := NOT_OURS.get(name) or skipped(ALL[name]):
        pytest.skip(why)
    for text in ALL[name]:
        carry_out(world, text)


def test_no_other_scenario_is_skipped() -> None:
    assert sorted(name for name in ALL if skipped(ALL[name])) == NO_LEVERS
    assert ALL.keys() >= NOT_OURS.keys()
