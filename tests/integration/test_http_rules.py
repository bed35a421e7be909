"""POST /validate of targeting rules: what they read, and where they are wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.store import LedgerStore
from tests.integration.calling import Api, serving

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    with serving(store, database) as served:
        yield served


def test_a_sound_rule_shows_the_types_of_what_it_reads(api: Api) -> None:
    rule = "turn_id > 3 && tier == 'gold'"
    checked = api.post("/validate", {"targeting": {"include": rule}}).json()
    assert checked["targeting"]["include"]["types"] == {"tier": "dyn", "turn_id": "int"}
    assert checked["valid"] is True


def test_an_unsound_rule_shows_its_line_with_a_caret(api: Api) -> None:
    rule = "tier == 'gold' &&\n  level => 3"
    checked = api.post("/validate", {"targeting": {"exclude": rule}}).json()
    found = checked["targeting"]["exclude"]
    assert (found["at"], found["shown"]) == (26, "  level => 3\n        ^")
    assert found["detail"].endswith("did you mean '>='?")
    assert checked["valid"] is False
