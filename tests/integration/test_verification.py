"""`replay --verify`: whatever is changed in the log, the views or the checkpoints is found and named."""

from __future__ import annotations

import pytest

from projections.catalogue import VIEWS, install
from projections.verification import verify
from tests.integration.projecting import project, random_history, record


@pytest.fixture
def url(database: str) -> str:
    install(database)
    record(database, random_history(3, 200).events)
    project(database, batch=50)
    return database


def test_what_nobody_changed_is_sound(url: str) -> None:
    found = verify(url, VIEWS)
    assert found.faults == ()
    assert {view.name: view.sound for view in found.views} == {view.name: True for view in VIEWS}
    assert found.events == found.position > 50
