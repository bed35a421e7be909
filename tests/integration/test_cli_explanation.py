"""`liveops resolve --explain`: the winner and every loser, on 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ledger.store import LedgerStore
from tests.integration.terminal import Terminal, terminal

LEGENDARY = "DROP_RATE_LEGENDARY_MULTIPLIER"
MIX = "PARTY_INTENT_MIX_BIAS"
GLADE = ("--scope", "world", "--ref", "world.forest_glade")
WHO = ("resolve", "--session", "s1", "--world", "world.forest_glade")


@pytest.fixture
def liveops(store: LedgerStore, database: str) -> Iterator[Terminal]:
    with terminal(store, database) as opened:
        yield opened


def test_the_winner_is_named_with_its_event_and_every_loser_with_why(liveops: Terminal) -> None:
    liveops.config("--name", "First", *GLADE, "--set", f"{LEGENDARY}=1.5")
    won = liveops.config("--name", "Weekend drops", *GLADE, "--set", f"{LEGENDARY}=2.5")
    later = ("--set", f"{LEGENDARY}=3", "--from", "2999-01-01T00:00:00Z")
    liveops.config("--name", "Later", *GLADE, *later)
    liveops.answer("config", "activate", won, "--reason", "for [all]")
    told = liveops.said(*WHO, "--explain", LEGENDARY, columns=120)
    winner = r"→ +2\.5 +world world\.forest_glade +set by the administrator: for \[all\]"
    assert re.search(winner + r" *\n +Weekend drops *\n +revision 1, position 8", told)
    assert re.search(r"^ +3\.0 +world world\.forest_glade +window", told, re.MULTILINE)
    assert re.search(r"^ +1\.5 +world world\.forest_glade +overridden", told, re.MULTILINE)


def test_the_fields_of_an_object_are_named_with_their_sources(liveops: Terminal) -> None:
    liveops.config("--name", "Calm", *GLADE, "--set", f'{MIX}={{"NEUTRAL":0.4}}')
    told = liveops.said(*WHO, "--explain", MIX)
    assert f"{MIX} = COOPERATIVE 0.4, COMPETITIVE 0.3, NEUTRAL 0.4" in told
    assert re.search(r"→ +NEUTRAL 0\.4 +world world\.forest_glade", told)
    assert re.search(r"→ +COOPERATIVE 0\.4 +the catalog +default", told)


def test_a_killed_lever_names_who_killed_it(liveops: Terminal) -> None:
    liveops.config("--name", "Mods", *GLADE, "--set", "MODS_GATE=full")
    liveops.answer("lever", "kill", "MODS_GATE", "--reason", "exploit")
    told = liveops.said(*WHO, "--explain", "MODS_GATE", columns=120)
    assert re.search(r"→ +off +the kill switch +killed by the administrator: exploit", told)
    assert re.search(r"full +world world\.forest_glade +killed", told)


def test_every_lever_can_be_explained_at_once(liveops: Terminal) -> None:
    liveops.config("--name", "Mods", *GLADE, "--set", "MODS_GATE=full")
    touched, defaults = liveops.said(*WHO, "--explain-all", columns=80).split("Catalog defaults")
    assert re.findall(r"^[A-Z_]+", touched, re.MULTILINE) == ["MODS_GATE"]
    assert len(re.findall(r"^[A-Z_]+", defaults, re.MULTILINE)) == 59


def test_a_lever_that_there_is_not_is_wrong_usage(liveops: Terminal) -> None:
    done = liveops.run(*WHO, "--explain", "NO_SUCH")
    assert done.exit_code == 2
    assert "the catalog has no lever NO_SUCH" in done.stderr
