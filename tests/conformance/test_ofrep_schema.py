"""Our answers, held against OFREP's published OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.store import LedgerStore
from tests.conformance.ofrep_schema import Protocol, patched, published
from tests.integration.calling import Api, serving
from tests.integration.evaluating import FLAGS, GLADE, evaluate

Json = Any

VALUES = {
    "float": "DROP_RATE_LEGENDARY_MULTIPLIER",
    "integer": "AWF_MAX_INPUT_TOKENS",
    "enum": "DIALOGUE_GATE",
    "object": "PARTY_INTENT_MIX_BIAS",
    "enum list": "AWF_MODEL_TIER_ALLOWLIST",
}


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return Protocol(patched(published()))


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def test_every_lever_is_a_flag_as_the_protocol_has_it(api: Api, protocol: Protocol) -> None:
    targeted = {"include": "tier == 'gold'"}
    api.activated(name="Gold", targeting=targeted, payload={"VENDOR_MARGIN_MIN": 0.05})
    api.activated(name="Half", rollout={"percentage": 100}, payload={"TOOLS_GATE": "off"})
    api.activated(name="Mix", payload={"PARTY_INTENT_MIX_BIAS": {"NEUTRAL": 0.5}})
    api.post("/levers/MODS_GATE/kill")
    answer = evaluate(api, context={**GLADE, "tier": "gold"})
    assert protocol.faults(answer) == []
    reasons = {flag["reason"] for flag in answer.json()["flags"]}
    assert reasons == {"DEFAULT", "STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED"}


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_of_each_type_is_one_of_the_protocols(
    api: Api, protocol: Protocol, kind: str
) -> None:
    answer = evaluate(api, VALUES[kind])
    assert answer.status_code == 200
    assert protocol.faults(answer) == []


def test_no_change_is_told_as_the_protocol_has_it(api: Api, protocol: Protocol) -> None:
    answer = evaluate(api, If_None_Match=evaluate(api).headers["etag"])
    assert answer.status_code == 304
    assert protocol.faults(answer) == []


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "{",
        '{"context":{"targetingKey":7}}',
        '{"context":{"targetingKey":"s","turn_id":"x"}}',
        '{"context":{"targetingKey":"s","x":"\\u0000"}}',
    ],
)
def test_what_is_refused_is_told_as_the_protocol_has_it(
    api: Api, protocol: Protocol, body: str
) -> None:
    for path in (FLAGS, f"{FLAGS}/{VALUES['float']}"):
        answer = api.client.post(path, content=body)
        assert answer.status_code == 400
        assert protocol.faults(answer) == []


def test_what_is_not_found_is_told_as_the_protocol_has_it(api: Api, protocol: Protocol) -> None:
    answer = evaluate(api, "NO_SUCH_LEVER")
    assert answer.status_code == 404
    assert protocol.faults(answer) == []


def test_who_may_not_ask_is_told_as_the_protocol_has_it(api: Api, protocol: Protocol) -> None:
    answer = evaluate(api, Authorization="Bearer other")
    assert answer.status_code == 401
    assert protocol.faults(answer) == []


def test_a_failure_is_told_as_the_protocol_has_it(
    api: Api, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(api.ledger, "now", fail)
    for answer in (evaluate(api), evaluate(api, VALUES["float"])):
        assert answer.status_code == 500
        assert protocol.faults(answer) == []


def test_the_protocol_finds_what_is_wrong(api: Api, protocol: Protocol) -> None:
    answer = evaluate(api, VALUES["float"])
    answer._content = answer.content.replace(b"DEFAULT", b"BECAUSE")
    assert protocol.faults(answer)
    answer._content = answer.content.replace(b'"key"', b'"name"')
    assert len(protocol.faults(answer)) > 1


def test_as_published_the_protocol_refuses_every_value(api: Api) -> None:
    as_published = Protocol(published())
    for kind in ("float", "integer", "enum", "object"):
        assert as_published.faults(evaluate(api, VALUES[kind])), "it needs no patch any more"
