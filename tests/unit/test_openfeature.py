"""The OpenFeature provider over a replica that is fed from memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from threading import Thread
from threading import enumerate as enumerate_threads
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, OpenFeatureError, ProviderNotReadyError
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import ProviderStatus
from openfeature.telemetry import EvaluationEvent, TelemetryAttribute, create_evaluation_event
from openfeature.track import TrackingEventDetails

from consumers.openfeature import LedgerProvider, Tracked
from consumers.replica import Replica
from ledger.catalog import Catalog
from ledger.intents import AdoptCatalog, DeactivateConfig, KillLever
from ledger.scopes import Context
from tests.integration.patience import eventually
from tests.unit.feeding import Topics, fed_from_memory, published
from tests.unit.publishing import Chronicle

SECONDS = 20.0
WHO = EvaluationContext("s1", {"world_id": "w1", "level": 12})

CATALOG = Catalog.from_json(
    {
        "levers": [
            {
                "name": "MODS",
                "group": "gates",
                "type": "enum",
                "default": "full",
                "values": ["off", "full"],
            },
            {
                "name": "TIERS",
                "group": "g",
                "type": "enum_list",
                "default": ["a"],
                "values": ["a", "b"],
            },
            {"name": "QUOTA", "group": "g", "type": "integer", "default": 5, "min": 0, "max": 10},
            {"name": "TEMPO", "group": "g", "type": "float", "default": 1.0, "min": 0, "max": 4},
            {"name": "HINTS", "group": "g", "type": "boolean", "default": False},
            {
                "name": "PAUSE",
                "group": "g",
                "type": "duration",
                "default": "90s",
                "min": 0,
                "max": "1h",
            },
            {
                "name": "BIAS",
                "group": "g",
                "type": "object",
                "default": {"X": 0.5, "Y": 0.5},
                "fields": {
                    "X": {"type": "float", "min": 0, "max": 1},
                    "Y": {"type": "float", "min": 0, "max": 1},
                },
            },
        ]
    }
)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    return fed_from_memory(monkeypatch)


@pytest.fixture
def chronicle() -> Chronicle:
    chronicle = Chronicle()
    chronicle.do(AdoptCatalog(CATALOG))
    payload = {"TEMPO": 2.0, "QUOTA": 7, "HINTS": True, "TIERS": ["b"], "BIAS": {"X": 0.1}}
    chronicle.config(1, "world", "w1", name="Weekend", payload=payload)
    return chronicle


@pytest.fixture
def replica(topics: Topics, chronicle: Chronicle) -> Iterator[Replica]:
    topics.hold(published(chronicle))
    with Replica("memory") as started:
        assert started.wait_for(3, SECONDS)
        yield started


@pytest.fixture
def client() -> Iterator[OpenFeatureClient]:
    yield api.get_client()
    api.shutdown()


@pytest.fixture
def ready(replica: Replica, client: OpenFeatureClient) -> OpenFeatureClient:
    api.set_provider_and_wait(LedgerProvider(replica, timeout=SECONDS))
    return client


def heard(event: ProviderEvent) -> list[EventDetails]:
    events: list[EventDetails] = []
    api.add_handler(event, events.append)
    return events


def cut(topics: Topics) -> None:
    """Take the broker away, and what it held."""
    with topics.moved:
        topics.down, topics.log = True, []


# --- Values, and where they come from ---


def test_all_five_types(ready: OpenFeatureClient) -> None:
    assert ready.get_boolean_value("HINTS", False, WHO) is True
    assert ready.get_string_value("MODS", "", WHO) == "full"
    assert ready.get_integer_value("QUOTA", 0, WHO) == 7
    assert ready.get_float_value("TEMPO", 0.0, WHO) == 2.0
    assert ready.get_object_value("BIAS", {}, WHO) == {"X": 0.1, "Y": 0.5}


def test_what_is_of_more_types_than_its_own(ready: OpenFeatureClient) -> None:
    assert ready.get_object_value("TIERS", [], WHO) == ["b"]
    assert ready.get_integer_value("PAUSE", 0, WHO) == 90
    seconds = ready.get_float_details("PAUSE", 0.0, WHO)
    assert (seconds.value, type(seconds.value), seconds.error_code) == (90.0, float, None)


def test_details_name_the_config_and_the_event(ready: OpenFeatureClient) -> None:
    details = ready.get_float_details("TEMPO", 0.0, WHO)
    assert (details.reason, details.variant) == (Reason.STATIC, "Weekend")
    metadata = dict(details.flag_metadata)
    assert metadata.pop("config_id") == "00000000-0000-0000-0000-000000000001"
    expected = {"version": 3, "revision": 1, "scope": "world", "scope_ref": "w1"}
    assert metadata == {**expected, "ledger_position": 3}


def test_details_can_be_written_but_their_metadata_not_changed(ready: OpenFeatureClient) -> None:
    details = ready.get_float_details("TEMPO", 0.0, WHO)
    assert asdict(details)["flag_metadata"]["version"] == 3
    with pytest.raises(TypeError):
        details.flag_metadata["version"] = 4  # type: ignore[index]


def test_telemetry_names_the_event_that_a_value_is_from(ready: OpenFeatureClient) -> None:
    told: list[EvaluationEvent[Any]] = []

    class Telemetry(Hook):
        def finally_after(
            self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints
        ) -> None:
            told.append(create_evaluation_event(hook_context, details))

    ready.add_hooks([Telemetry()])
    ready.get_float_value("TEMPO", 0.0, WHO)
    names = (TelemetryAttribute.VERSION, TelemetryAttribute.PROVIDER_NAME)
    assert [told[0].attributes[name] for name in names] == [3, "liveops-ledger"]


def test_a_value_that_is_changed_is_the_callers_own(ready: OpenFeatureClient) -> None:
    for flag_key in ("BIAS", "TIERS"):
        value: Any = ready.get_object_value(flag_key, {}, WHO)
        value.clear()
        assert ready.get_object_value(flag_key, {}, WHO)


def test_one_turn_keeps_its_answer(
    ready: OpenFeatureClient, replica: Replica, chronicle: Chronicle, topics: Topics
) -> None:
    turn = EvaluationContext("s1", {"world_id": "w1", "turn_id": 4})
    assert ready.get_integer_value("QUOTA", 0, turn) == 7
    chronicle.config(2, "session", "s1", payload={"QUOTA": 9})
    topics.hold(published(chronicle))
    assert replica.wait_for(5, SECONDS)
    assert ready.get_integer_value("QUOTA", 0, turn) == 7
    assert ready.get_integer_value("QUOTA", 0, WHO) == 9


def test_asynchronous_questions_have_the_same_answers(ready: OpenFeatureClient) -> None:
    async def ask() -> list[object]:
        return [
            await ready.get_boolean_value_async("HINTS", False, WHO),
            await ready.get_string_value_async("MODS", "", WHO),
            await ready.get_integer_value_async("QUOTA", 0, WHO),
            await ready.get_float_value_async("TEMPO", 0.0, WHO),
            await ready.get_object_value_async("TIERS", [], WHO),
        ]

    assert asyncio.run(ask()) == [True, "full", 7, 2.0, ["b"]]


def test_where_the_system_is_disabled_every_flag_is(
    topics: Topics, chronicle: Chronicle, client: OpenFeatureClient
) -> None:
    topics.hold(published(chronicle))
    with Replica("memory", enabled=False) as replica:
        api.set_provider_and_wait(LedgerProvider(replica, timeout=SECONDS))
        cut(topics)
        eventually(lambda: replica.problem is not None)
        details = client.get_float_details("TEMPO", 0.0, WHO)
    assert (details.value, details.reason, details.variant) == (1.0, Reason.DISABLED, "default")


# --- What cannot be answered ---


@pytest.mark.parametrize(
    ("flag_key", "who", "code", "told"),
    [
        ("TEMPOS", WHO, ErrorCode.FLAG_NOT_FOUND, "no lever 'TEMPOS' in the catalog"),
        ("TEMPO", WHO, ErrorCode.TYPE_MISMATCH, "TEMPO is a float"),
        ("MODS", WHO, ErrorCode.TYPE_MISMATCH, "MODS is a string"),
        ("HINTS", WHO, ErrorCode.TYPE_MISMATCH, "HINTS is a boolean"),
        ("QUOTA", None, ErrorCode.TARGETING_KEY_MISSING, "targeting key"),
        ("QUOTA", EvaluationContext("s", {"turn_id": -1}), ErrorCode.INVALID_CONTEXT, "turn_id"),
    ],
)
def test_an_error_says_what_is_wrong(
    ready: OpenFeatureClient,
    flag_key: str,
    who: EvaluationContext | None,
    code: ErrorCode,
    told: str,
) -> None:
    details = ready.get_integer_details(flag_key, 42, who)
    assert (details.value, details.reason, details.error_code) == (42, Reason.ERROR, code)
    assert told in (details.error_message or "")


def test_it_is_not_ready_before_it_is_initialised_and_after_its_end(replica: Replica) -> None:
    provider = LedgerProvider(replica)
    with pytest.raises(ProviderNotReadyError):
        provider.resolve_boolean_details("HINTS", False, WHO)
    provider.initialize(EvaluationContext())
    assert provider.resolve_boolean_details("HINTS", False, WHO).value
    provider.shutdown()
    with pytest.raises(ProviderNotReadyError):
        provider.resolve_boolean_details("HINTS", False, WHO)


# --- Its life, as states and events ---


def test_it_waits_for_data(topics: Topics, chronicle: Chronicle, client: OpenFeatureClient) -> None:
    with Replica("memory") as replica:
        provider = LedgerProvider(replica, timeout=SECONDS)
        waiting = Thread(target=api.set_provider_and_wait, args=[provider])
        waiting.start()
        eventually(lambda: client.provider is provider)
        assert client.get_provider_status() is ProviderStatus.NOT_READY
        topics.hold(published(chronicle))
        waiting.join(SECONDS)
        assert client.get_provider_status() is ProviderStatus.READY


def test_data_that_comes_late_ends_the_error(
    topics: Topics, chronicle: Chronicle, client: OpenFeatureClient
) -> None:
    changes = heard(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    topics.down = True
    with Replica("memory") as replica:
        with pytest.raises(OpenFeatureError) as refused:
            api.set_provider_and_wait(LedgerProvider(replica, timeout=0.2))
        assert "no broker takes connections" in (refused.value.error_message or "")
        assert client.get_provider_status() is ProviderStatus.ERROR
        topics.hold(published(chronicle))
        topics.down = False
        eventually(lambda: client.get_provider_status() is ProviderStatus.READY)
        assert client.get_integer_value("QUOTA", 0, WHO) == 7
    assert changes == []


def test_a_closed_replica_is_fatal(topics: Topics, client: OpenFeatureClient) -> None:
    with Replica("memory") as replica:
        pass
    with pytest.raises(OpenFeatureError) as refused:
        api.set_provider_and_wait(LedgerProvider(replica))
    assert refused.value.error_code is ErrorCode.PROVIDER_FATAL
    assert client.get_provider_status() is ProviderStatus.FATAL


def test_a_cut_feed_is_stale_and_served_on(
    ready: OpenFeatureClient, replica: Replica, topics: Topics
) -> None:
    stale = heard(ProviderEvent.PROVIDER_STALE)
    cut(topics)
    eventually(lambda: ready.get_provider_status() is ProviderStatus.STALE)
    details = ready.get_float_details("TEMPO", 0.0, WHO)
    assert (details.value, details.reason, details.error_code) == (2.0, Reason.STALE, None)
    assert details.flag_metadata["reason"] == "STATIC"
    eventually(lambda: len(stale) == 1)
    assert (stale[0].message, stale[0].metadata) == (replica.problem, {"ledger_position": 3})


def test_a_gate_that_closes_without_fresh_data_says_so(
    topics: Topics, chronicle: Chronicle, client: OpenFeatureClient
) -> None:
    levers = CATALOG.to_json()["levers"]
    levers[0]["when_stale"] = {"do": "close", "after": 0.05}
    chronicle.do(AdoptCatalog(Catalog.from_json({"levers": levers})))
    topics.hold(published(chronicle))
    with Replica("memory") as replica:
        api.set_provider_and_wait(LedgerProvider(replica, timeout=SECONDS))
        cut(topics)
        eventually(lambda: client.get_string_value("MODS", "", WHO) == "off")
        details = client.get_string_details("MODS", "", WHO)
    assert (details.reason, details.variant) == (Reason.STALE, "fallback")
    assert details.flag_metadata == {"fallback": True, "ledger_position": 4, "reason": "DEFAULT"}


def test_a_feed_that_is_back_is_ready_again(
    ready: OpenFeatureClient, topics: Topics, chronicle: Chronicle
) -> None:
    cut(topics)
    eventually(lambda: ready.get_provider_status() is ProviderStatus.STALE)
    topics.down = False
    topics.hold(published(chronicle))
    eventually(lambda: ready.get_provider_status() is ProviderStatus.READY)
    assert ready.get_float_details("TEMPO", 0.0, WHO).reason == Reason.STATIC


def test_a_change_names_its_flags(
    ready: OpenFeatureClient, topics: Topics, chronicle: Chronicle
) -> None:
    changes = heard(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    chronicle.do(DeactivateConfig(chronicle.config(2, "global", "global", payload={"HINTS": True})))
    chronicle.do(KillLever("MODS"))
    topics.hold(published(chronicle))
    eventually(lambda: {flag for each in changes for flag in each.flags_changed or ()} >= {"MODS"})
    assert ready.get_string_details("MODS", "", WHO).reason == Reason.DISABLED
    assert changes[-1].metadata == {"ledger_position": 7}


def test_it_can_be_ended_and_begun_again(replica: Replica, client: OpenFeatureClient) -> None:
    provider = LedgerProvider(replica, timeout=SECONDS)
    for _ in range(2):
        api.set_provider_and_wait(provider)
        assert client.get_integer_value("QUOTA", 0, WHO) == 7
        api.shutdown()
    assert replica.ready
    assert client.get_provider_status() is ProviderStatus.READY  # that of no provider at all


def test_an_end_while_it_waits_leaves_nothing_behind(topics: Topics) -> None:
    topics.down = True
    ends: list[OpenFeatureError] = []

    def wait(provider: LedgerProvider) -> None:
        with pytest.raises(OpenFeatureError) as refused:
            provider.initialize(EvaluationContext())
        ends.append(refused.value)

    with Replica("memory") as replica:
        provider = LedgerProvider(replica, timeout=0.2)
        waiting = Thread(target=wait, args=[provider])
        waiting.start()
        eventually(lambda: provider._watch is not None)
        provider.shutdown()
        waiting.join(SECONDS)
    assert [end.error_code for end in ends] == [ErrorCode.PROVIDER_NOT_READY]
    assert "liveops-openfeature" not in {thread.name for thread in enumerate_threads()}


# --- Tracking ---


def tracking(replica: Replica, listener: Callable[[Tracked], None]) -> OpenFeatureClient:
    api.set_provider_and_wait(LedgerProvider(replica, timeout=SECONDS, tracking=listener))
    return api.get_client()


def test_what_is_tracked_reaches_the_listener(replica: Replica, client: OpenFeatureClient) -> None:
    events: list[Tracked] = []
    told = TrackingEventDetails(9.5, {"item": "sword"})
    tracking(replica, events.append).track("bought", WHO, told)
    who = Context("s1", world_id="w1", attributes={"level": 12})
    assert events == [Tracked("bought", who, 3, 9.5, {"item": "sword"})]


def test_tracking_never_fails_the_game(
    replica: Replica, client: OpenFeatureClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Tracked) -> None:
        raise RuntimeError("this listener always fails")

    game = tracking(replica, fail)
    game.track("bought", WHO)
    game.track("sold")
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "'sold' was not tracked: " in caplog.messages[1]


def test_without_a_listener_nothing_is_tracked(ready: OpenFeatureClient) -> None:
    ready.track("bought")


# --- Imports ---


def test_a_game_without_it_does_not_import_the_sdk() -> None:
    code = "import sys, consumers.replica, consumers.game; sys.exit('openfeature' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_the_sdk_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['openfeature'] = None; import consumers.openfeature"
    ran = subprocess.run(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, check=False, timeout=60
    )
    assert "pip install 'liveops-ledger[openfeature]'" in ran.stderr.decode()
