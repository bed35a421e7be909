"""The OpenFeature provider on a real broker, and the program on its page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext

from commands.embedded.broker import EmbeddedBroker
from commands.identity import uuid7
from consumers.openfeature import LedgerProvider
from consumers.replica import Replica
from ledger.content import Content
from ledger.intents import ActivateConfig, CreateConfig
from tests.integration.patience import eventually
from tests.integration.publishing import TEMPO, Operator, Publishing

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PAGE = Path(__file__).parents[2] / "docs/reference/openfeature.md"
WEEKEND = {
    "name": "Weekend drops",
    "scope": "world",
    "scope_ref": "world.forest_glade",
    "payload": {"DROP_RATE_LEGENDARY_MULTIPLIER": 2.5},
}
WHO = EvaluationContext("s", {"world_id": "w1"})
SECONDS = 20.0


@pytest.fixture
def bootstrap(broker: EmbeddedBroker) -> str:
    """Where a broker is that can be stopped, and that has no other topics."""
    return broker.bootstrap


@pytest.fixture
def prefix() -> str:
    """What topics are called where nobody says otherwise."""
    return "liveops"


@pytest.fixture
def client(
    operator: Operator, publishing: Publishing, bootstrap: str
) -> Iterator[OpenFeatureClient]:
    publishing.thread()
    with Replica(bootstrap) as replica:
        api.set_provider_and_wait(LedgerProvider(replica, timeout=SECONDS))
        yield api.get_client()
        api.shutdown()


def test_the_program_on_the_page_prints_what_the_page_says(
    operator: Operator,
    publishing: Publishing,
    bootstrap: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config_id = uuid7()
    operator.do(CreateConfig(config_id, Content.from_json(WEEKEND)))
    operator.do(ActivateConfig(config_id))
    publishing.thread()
    monkeypatch.setenv("LIVEOPS_KAFKA_BOOTSTRAP", bootstrap)
    shown = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    exec(compile(shown[1], PAGE.name, "exec"), {})
    assert capsys.readouterr().out == shown[2]


def test_changes_arrive(operator: Operator, client: OpenFeatureClient) -> None:
    assert client.get_float_details(TEMPO, 0.0, WHO).reason == "DEFAULT"
    operator.config(1.5)
    eventually(lambda: client.get_float_value(TEMPO, 0.0, WHO) == 1.5)
    kill = operator.kill(TEMPO)
    eventually(lambda: client.get_float_details(TEMPO, 0.0, WHO).reason == "DISABLED")
    assert client.get_float_details(TEMPO, 0.0, WHO).flag_metadata["version"] == kill


def test_a_broker_that_goes_and_comes_back(
    operator: Operator, client: OpenFeatureClient, broker: EmbeddedBroker
) -> None:
    operator.config(1.5)
    eventually(lambda: client.get_float_value(TEMPO, 0.0, WHO) == 1.5)
    broker.stop()
    eventually(lambda: client.get_provider_status().value == "STALE")
    stale = client.get_float_details(TEMPO, 0.0, WHO)
    assert (stale.value, stale.reason) == (1.5, "STALE")
    broker.start()
    eventually(lambda: client.get_provider_status().value == "READY", 60)
    assert client.get_float_details(TEMPO, 0.0, WHO).reason == "STATIC"
