"""What is measured is written as Prometheus reads it, and on its page in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from commands.client import BASE
from ledger.notes import Signer
from ledger.store import LedgerStore
from projections import watch
from projections.catalogue import VIEWS, install
from projections.signing import Signing
from projections.verification import verify
from projections.views import connect
from tests.integration.calling import Api, serving
from tests.integration.projecting import project

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def scrape(api: Api) -> Samples:
    answer = api.client.get("/metrics", headers={"Authorization": ""})
    api.document.check("GET", "/metrics", answer)
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def verified(url: str) -> None:
    found = verify(url, VIEWS)
    connection = connect(url)
    watch.add(connection, found)
    connection.close()


def test_the_state_of_ledger_views_and_checkpoints(api: Api, database: str) -> None:
    install(database)
    api.activated()
    project(database)
    connection = connect(database)
    Signing([Signer.generate("the-log", bytes(32))]).look(connection)
    connection.close()
    api.created()
    verified(database)
    samples = scrape(api)
    head = api.head()
    assert value(samples, "liveops_database_up") == 1
    assert value(samples, "liveops_ledger_position") == head
    assert 0 <= value(samples, "liveops_ledger_age_seconds") < 60
    assert value(samples, "liveops_checkpoint_size") == head - 1
    for view in VIEWS:
        assert value(samples, "liveops_view_position", view=view.name) == head - 1
        assert value(samples, "liveops_view_behind_events", view=view.name) == 1
        assert value(samples, "liveops_view_drift", view=view.name) == 0
    assert value(samples, "liveops_verification_drift") == 0
    assert value(samples, "liveops_verification_position") == head


def test_drift_is_told_here_and_in_the_status(api: Api, database: str) -> None:
    install(database)
    api.activated()
    project(database)
    assert api.get("/status").json()["verification"] is None
    assert not [name for name, _ in scrape(api) if name.startswith("liveops_verification")]
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE liveops_configs SET name = 'another'")
    verified(database)
    samples = scrape(api)
    assert value(samples, "liveops_verification_drift") == 1
    assert value(samples, "liveops_verification_faults") == 1
    assert value(samples, "liveops_view_drift", view="liveops_configs") == 1
    assert value(samples, "liveops_view_drift", view="liveops_audit") == 0
    told = api.get("/status").json()["verification"]
    assert told["sound"] is False
    [fault] = told["faults"]
    assert fault["what"] == "name is another, the events make Drops"


def test_requests_are_counted_by_template_and_status(api: Api) -> None:
    config = api.created()
    for path in (config, config, "0" * 32):
        api.get(f"/configs/{path}")
    api.client.get("/nowhere")
    api.client.request("BREW", "/nowhere")
    api.client.get(f"{BASE}/configs/{config}", headers={"Authorization": ""})
    samples = scrape(api)
    route = f"{BASE}/configs/{{config_id}}"
    name = "liveops_http_requests_total"
    counted = {
        status: value(samples, name, method="GET", route=route, status=status)
        for status in ("200", "404", "401")
    }
    assert counted == {"200": 2, "404": 1, "401": 1}
    assert value(samples, name, method="GET", route="none", status="404") == 1
    assert value(samples, name, method="other", route="none", status="404") == 1
    took = "liveops_http_request_duration_seconds_count"
    assert value(samples, took, method="GET", route=route) == 4


def test_without_views_it_tells_of_the_ledger(api: Api) -> None:
    samples = scrape(api)
    assert value(samples, "liveops_database_up") == 1
    assert value(samples, "liveops_ledger_position") == api.head()


def test_without_the_database_it_says_so(api: Api, database: str) -> None:
    name = database.rpartition("/")[2]
    with psycopg.connect(database.replace(name, "postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        samples = scrape(api)
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert value(samples, "liveops_database_up") == 0
    assert "liveops_cache_hits_total" in {name for name, _ in samples}
    assert "liveops_ledger_position" not in {name for name, _ in samples}


def test_every_metric_is_documented_and_none_besides(api: Api, database: str) -> None:
    install(database)
    api.activated()
    project(database)
    connection = connect(database)
    Signing([Signer.generate("the-log", bytes(32))]).look(connection)
    connection.close()
    verified(database)
    scrape(api)
    text = api.client.get("/metrics").text
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    there = {name: kind for name, kind in kinds.items() if not name.endswith("_created")}
    rows = re.findall(r"^\| `(liveops_\w+)` \| (\w+) \|(.*?)\|", PAGE.read_text(), re.MULTILINE)
    assert {name: kind for name, kind, _ in rows} == there
    for name, _, labels in rows:
        found = re.search(rf"^{name}(?:_count)?(?:{{(.*?)}})? ", text, re.MULTILINE)
        assert found
        named = set(re.findall(r'(\w+)="', found[1] or ""))
        assert named == set(re.findall(r"`(\w+)`", labels)), name
