"""Events: their bytes, their envelope, and reading what older versions wrote."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest

from ledger import events
from ledger.catalog import shipped_catalog
from ledger.events import (
    EVENT_TYPES,
    CatalogAdopted,
    Frozen,
    Recorded,
    decode,
    decode_envelope,
    encode,
    envelope,
)
from ledger.experiments import Experiment, Holdout, Variation
from ledger.intents import (
    AdoptCatalog,
    ArchiveConfig,
    ChangeExperiment,
    ChangeRollout,
    DeactivateConfig,
    Freeze,
    KillLever,
    RestoreLever,
    ReviseConfig,
    RollBackConfig,
    StartExperiment,
    StartShadow,
    StopExperiment,
    StopShadow,
    Unfreeze,
)
from ledger.rollout import Rollout
from ledger.scopes import EVERYWHERE
from tests.unit.history import History

VARIATIONS = (Variation("a", 1), Variation("b", 3))
EXPERIMENT = Experiment("x", VARIATIONS, group="g", holdout=Holdout("h", 5_000), description="why")


@pytest.fixture(scope="module")
def one_of_each() -> list[Recorded]:
    """A history in which every kind of event happens."""
    history = History()
    history.do(AdoptCatalog(shipped_catalog()))
    payload = {"PARTY_INTENT_MIX_BIAS": {"NEUTRAL": 0.5}, "MODS_GATE": "off"}
    config_id = history.config(
        1, "world", "w1", payload=payload, targeting={"include": "turn_id > 3"}
    )
    history.do(ReviseConfig(config_id, history.state.config(config_id).latest.content))
    history.do(ChangeRollout(config_id, Rollout.from_json({"percentage": 12.5, "salt": "s"})))
    history.do(RollBackConfig(config_id))
    history.do(DeactivateConfig(config_id))
    history.do(StartShadow(config_id))
    history.do(StopShadow(config_id))
    history.do(ArchiveConfig(config_id))
    history.do(StartExperiment(EXPERIMENT))
    history.do(ChangeExperiment("x", 12_500))
    history.do(StopExperiment("x"))
    history.do(KillLever("MODS_GATE"))
    history.do(RestoreLever("MODS_GATE"))
    history.do(Freeze())
    history.do(Unfreeze())
    return history.events


def test_every_kind_of_event_is_tried_here(one_of_each: list[Recorded]) -> None:
    assert {type(recorded.event).__name__ for recorded in one_of_each} == set(EVENT_TYPES)


def test_what_is_written_is_read(one_of_each: list[Recorded]) -> None:
    for recorded in one_of_each:
        state = encode(recorded.event, recorded.event_id, recorded.cause)
        assert decode(recorded.position, recorded.recorded_at, state) == recorded


def test_the_envelope_holds_what_was_stored_and_is_read_the_same(
    one_of_each: list[Recorded],
) -> None:
    for recorded in one_of_each:
        state = encode(recorded.event, recorded.event_id, recorded.cause)
        value = envelope(recorded.position, recorded.recorded_at, state)
        assert value.endswith(state[1:])
        assert decode_envelope(value) == recorded


def test_the_envelope_has_the_names_of_the_specification(one_of_each: list[Recorded]) -> None:
    recorded = one_of_each[1]
    state = encode(recorded.event, recorded.event_id, recorded.cause)
    members = orjson.loads(envelope(7, recorded.recorded_at, state))
    assert list(members) == [
        "position",
        "recorded_at",
        "event_id",
        "type",
        "schema_version",
        "config_id",
        "actor",
        "reason",
        "correlation_id",
        "causation_id",
        "data",
    ]


def test_an_older_version_is_read_as_the_newest(
    monkeypatch: pytest.MonkeyPatch, one_of_each: list[Recorded]
) -> None:
    stored = orjson.dumps(
        {
            **orjson.loads(encode(Frozen(EVERYWHERE), UUID(int=1), one_of_each[0].cause)),
            "schema_version": 0,
            "data": {"place": "global"},
        }
    )
    upcast = {("Frozen", 0): lambda data: {"scope": data["place"], "scope_ref": data["place"]}}
    monkeypatch.setattr(events, "UPCASTS", upcast)
    assert decode(1, 0, stored).event == Frozen(EVERYWHERE)


def test_a_newer_version_is_refused_by_name(one_of_each: list[Recorded]) -> None:
    state = orjson.loads(encode(Frozen(EVERYWHERE), UUID(int=1), one_of_each[0].cause))
    with pytest.raises(ValueError, match="Frozen v2 was written by a newer"):
        decode(1, 0, orjson.dumps(state | {"schema_version": 2}))


def test_a_catalog_survives_its_event(one_of_each: list[Recorded]) -> None:
    adopted = one_of_each[0].event
    assert isinstance(adopted, CatalogAdopted)
    assert adopted.catalog == shipped_catalog()
