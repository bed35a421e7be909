"""`liveops history`, `blame`, `diff` and `changes` say on paper what the API tells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.store import LedgerStore
from tests.integration.terminal import Terminal, terminal

LEVER = "DROP_RATE_RARE_MULTIPLIER"
WHO = ("--session", "s", "--world", "w", "--attribute", "level=11")


@pytest.fixture
def window(store: LedgerStore, database: str) -> Iterator[Terminal]:
    with terminal(store, database) as opened:
        place = ("--scope", "world", "--ref", "w")
        opened.config("--name", "drops", *place, "--set", f"{LEVER}=0.25", "--reason", "a [feast]")
        opened.said("lever", "kill", LEVER, "--reason", "too many")
        opened.said("lever", "restore", LEVER)
        yield opened


def test_the_past_on_paper(window: Terminal) -> None:
    told = window.said("history", LEVER, *WHO, columns=160)
    assert f"{LEVER} was 1.0 at " in told
    assert f"kill {LEVER} by the administrator: too many; position 4" in told
    assert "activate drops (world w) by the administrator" in told
    paged = window.said("history", LEVER, *WHO, "--limit", "1", columns=160)
    assert "There are more: --cursor " in paged
    blamed = window.said("blame", *WHO, columns=120)
    assert [line.split()[0] for line in blamed.splitlines() if LEVER in line] == [LEVER]
    assert "drops, revision 1" in blamed
    assert "the catalog" in window.said("blame", "DIALOGUE_GATE", *WHO, columns=120)


def test_what_changed_on_paper(window: Terminal) -> None:
    told = window.said("changes", "--since", "1", "--until", "4", columns=200)
    assert f"{LEVER} was killed by the administrator" in told
    assert "drops (world w) was put in force: DROP_RATE_RARE_MULTIPLIER 0.25" in told
    elsewhere = window.said("changes", "--since", "1", "--scope", "world", "--ref", "x")
    assert elsewhere == "Nothing was recorded.\n"
    laid = window.said("diff", "--from", "1", "--to", "5", *WHO, columns=160)
    assert "position 1 at " in laid
    assert "config drops" in laid
    assert "4 events" in laid
    assert window.answer("diff", "--from", "4", *WHO)["levers"][LEVER]["after"]["value"] == 0.25
    assert window.run("diff", "--from", "yesterday").exit_code == 1
