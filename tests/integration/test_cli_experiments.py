"""`liveops experiment` and `liveops config shadow` on 80 columns, and the lists beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ledger.store import LedgerStore
from tests.integration.terminal import Terminal, terminal

LEGENDARY = "DROP_RATE_LEGENDARY_MULTIPLIER"
GLADE = ("--scope", "world", "--ref", "world.forest_glade")
WHO = ("resolve", "--session", "s1", "--world", "world.forest_glade")
DROPS = ("drops", "--variation", "control", "--variation", "generous=3")


@pytest.fixture
def liveops(store: LedgerStore, database: str) -> Iterator[Terminal]:
    with terminal(store, database) as opened:
        yield opened


# --- Experiments ---


def test_an_experiment_is_started_changed_and_stopped(liveops: Terminal) -> None:
    started = liveops.said("experiment", "start", *DROPS, "--percentage", "20")
    assert started.startswith("experiment drops · running · 20 % by session_id\ndone at position 2")
    changed = liveops.said("experiment", "percentage", "drops", "50.5", "--reason", "more")
    assert changed.startswith("experiment drops · running · 50.5 % by session_id\ndone")
    stopped = liveops.said("experiment", "stop", "drops", "--reason", "enough")
    assert stopped.startswith("experiment drops · stopped\ndone at position 4")


def test_an_experiment_is_shown_with_shares_and_earlier_runs(liveops: Terminal) -> None:
    group = ("--group", "economy", "--holdout", "2026=5", "--description", "Do [more] drops help?")
    liveops.said("experiment", "start", *DROPS, "--percentage", "40", *group)
    liveops.said("experiment", "stop", "drops")
    liveops.said("experiment", "start", *DROPS, "--percentage", "60", *group, "--reason", "again")
    told = liveops.said("experiment", "show", "drops")
    assert re.search(r"^enrols +60 % by session_id, group economy *$", told, re.MULTILINE)
    assert re.search(r"^buckets +0 to 59999 *$", told, re.MULTILINE)
    assert re.search(r"^about +Do \[more\] drops help\? *$", told, re.MULTILINE)
    assert re.search(r"^generous +3 +45 % +drops:generous *$", told, re.MULTILINE)
    assert "Ran before\n40 % by session_id, group economy\n" in told


def test_experiments_are_listed(liveops: Terminal) -> None:
    liveops.said("experiment", "start", *DROPS)
    liveops.said("experiment", "start", "a%2F b?#", "--variation", "x")
    listed = liveops.said("experiment", "list", "--status", "running")
    assert re.search(r"^drops +running +100 % by session_id +control 1", listed, re.MULTILINE)
    assert "a%2F b?#" in listed
    assert "running" in liveops.said("experiment", "show", "a%2F b?#")


@pytest.mark.parametrize("words", [("x", "--variation", "a=b"), ("x",), ("x", "--holdout", "h")])
def test_what_cannot_be_read_is_wrong_usage(liveops: Terminal, words: tuple[str, ...]) -> None:
    assert liveops.run("experiment", "start", *words).exit_code == 2


def test_an_answer_names_the_experiments_of_its_context(liveops: Terminal) -> None:
    liveops.said("experiment", "start", "drops", "--variation", "generous")
    liveops.config(
        "--name", "More", "--scope", "experiment", "--ref", "drops:generous",
        "--set", f"{LEGENDARY}=3",
    )  # fmt: skip
    told = liveops.said(*WHO, "--explain", LEGENDARY)
    assert "\nin experiments drops: generous\n" in told
    assert re.search(r"→ +3\.0 +experiment drops:generous", told)


# --- Shadows ---


def test_what_a_shadow_would_change_is_laid_out_lever_by_lever(liveops: Terminal) -> None:
    liveops.config("--name", "Weekend drops", *GLADE, "--set", f"{LEGENDARY}=2.5")
    draft = liveops.answer("config", "create", "--name", "Five", *GLADE, "--set", f"{LEGENDARY}=5")
    assert "revision 1 · draft" in liveops.said("config", "shadow", draft["config_id"])
    told = liveops.said(*WHO, "--shadow")
    assert re.search(rf"^{LEGENDARY} +2\.5 +5\.0 *\n.*\nFive *$", told, re.MULTILINE)
    assert "QUEST" not in told
    machine = liveops.answer(*WHO, "--shadow")
    assert machine["shadow"]["differs"] == {LEGENDARY: {"live": 2.5, "shadow": 5.0}}


def test_that_nothing_would_change_is_said(liveops: Terminal) -> None:
    assert "No config in shadow would change a lever" in liveops.said(*WHO, "--shadow")


def test_configs_in_shadow_are_listed_until_they_are_not(liveops: Terminal) -> None:
    config_id = liveops.config("--name", "Five", *GLADE, "--set", f"{LEGENDARY}=5")
    liveops.said("config", "shadow", config_id, "--reason", "try")
    assert re.search(rf"{config_id} +Five +active", liveops.said("config", "list", "--shadow"))
    assert "in shadow" in liveops.said("config", "list")
    assert re.search(
        r"^shadow +revision 1", liveops.said("config", "show", config_id), re.MULTILINE
    )
    liveops.said("config", "unshadow", config_id)
    assert config_id not in liveops.said("config", "list", "--shadow")


# --- The rest of what is shown ---


def test_the_status_names_experiments_and_shadows(liveops: Terminal) -> None:
    liveops.said("experiment", "start", *DROPS, "--reason", "try")
    told = liveops.said("status", columns=120)
    assert re.search(
        r"^experiments +drops \S+, position 2, by the administrator: try", told, re.MULTILINE
    )
    assert re.search(r"^shadows +- *$", told, re.MULTILINE)


def test_a_plan_to_roll_back_names_experiments(liveops: Terminal) -> None:
    liveops.said("experiment", "start", *DROPS)
    told = liveops.said("rollback", "--position", "1", "--plan", columns=120)
    assert re.search(r"^stop +experiment drops, 100 % → -", told, re.MULTILINE)
    assert "done" in liveops.said("rollback", "--position", "1", "--yes")


def test_the_cache_says_how_it_serves_and_is_cleared(liveops: Terminal) -> None:
    assert "nothing was asked yet" in liveops.said("cache")
    liveops.said(*WHO)
    assert re.search(r"^hit rate +100\.0%", liveops.said("cache"), re.MULTILINE)
    assert re.search(r"^kept +0 of at most 64", liveops.said("cache", "--clear"), re.MULTILINE)


def test_what_people_have_written_is_no_markup(liveops: Terminal) -> None:
    config_id = liveops.config("--name", "[/red] sale", *GLADE, "--set", f"{LEGENDARY}=5")
    assert "[/red] sale" in liveops.said("config", "list")
    assert "[/red] sale" in liveops.said("config", "show", config_id)
    assert "ConfigActivated" in liveops.said("config", "history", config_id)
