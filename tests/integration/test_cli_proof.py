"""`liveops proof` believes nothing but the key: what a server changes is refused in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import checking
from commands.client import Api
from commands.models import ContextBody
from commands.questions import Pinned
from ledger.clock import parse_instant
from ledger.errors import LedgerError
from ledger.notes import Signer
from ledger.store import LedgerStore
from projections.catalogue import install
from projections.signing import Signing
from projections.tree import TreeView
from projections.views import connect
from tests.integration.calling import TOKEN
from tests.integration.projecting import project
from tests.integration.terminal import Terminal, terminal

Json = Any

SIGNER, STRANGER = (Signer.generate("the-log", bytes([n] * 32)) for n in (1, 2))
KEY = ("--key", SIGNER.verifier.text())
KEYS = [SIGNER.verifier]
DROPS = ("--set", "DROP_RATE_LEGENDARY_MULTIPLIER=1.5")


def sign(database: str) -> None:
    project(database, [TreeView()])
    connection = connect(database)
    Signing([SIGNER]).look(connection)
    connection.close()


@pytest.fixture
def liveops(store: LedgerStore, database: str) -> Iterator[Terminal]:
    install(database)
    with terminal(store, database) as opened:
        opened.config("--name", "d", "--scope", "global", "--ref", "global", *DROPS)
        opened.said("lever", "kill", "DIALOGUE_GATE")
        sign(database)
        yield opened


def refused(liveops: Terminal, *words: str) -> str:
    done = liveops.run(*words, columns=400)
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("NOT PROVED: ")
    return done.stderr


# --- What holds ---


def test_the_checkpoint_is_checked_and_kept(liveops: Terminal, tmp_path: Path) -> None:
    kept = tmp_path / "note"
    said = liveops.said("proof", "checkpoint", *KEY, "--save", str(kept), columns=200)
    assert "A log of 4 events is signed" in said
    assert said.endswith("PROVED.\n")
    assert checking.checkpoint(kept.read_text(), KEYS)[0].size == 4


def test_an_event_is_in_the_log(liveops: Terminal) -> None:
    said = liveops.said("proof", "inclusion", "3", *KEY, columns=200)
    assert "Event 3, ConfigActivated, recorded at " in said
    assert said.endswith("is in it, with 2 hashes to prove it.\nPROVED.\n")


def test_an_audit_continues_an_earlier_one(
    liveops: Terminal, database: str, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    liveops.said("proof", "checkpoint", *KEY, "--save", str(old), columns=200)
    liveops.said("lever", "restore", "DIALOGUE_GATE")
    sign(database)
    liveops.said("proof", "checkpoint", *KEY, "--save", str(new), columns=200)
    said = liveops.said("proof", "consistency", str(old), *KEY, columns=200)
    assert "It begins with what was signed before, 4 events" in said
    assert said.endswith("and continues with 1 event.\nPROVED.\n")
    assert "PROVED" in liveops.said("proof", "consistency", str(old), str(new), *KEY, columns=200)


def test_an_answer_rests_on_events_in_the_log(liveops: Terminal) -> None:
    token = liveops.answer("resolve", "--session", "s")["token"]
    said = liveops.said("proof", "answer", token, *KEY, columns=200)
    assert "The answer is of position 4" in said
    assert "It supplied lever DROP_RATE_LEGENDARY_MULTIPLIER." in said
    assert "It supplied kill DIALOGUE_GATE." in said


def test_a_token_may_begin_like_an_option(liveops: Terminal) -> None:
    at = parse_instant(liveops.answer("status")["recorded_at"])
    tokens = (
        Pinned(position=4, at=at, context=ContextBody(session_id=f"s{n}")).token()
        for n in range(10_000)
    )
    token = next(token for token in tokens if token.startswith("-"))
    assert "PROVED" in liveops.said("proof", "answer", token, *KEY, columns=200)
    assert "PROVED" in liveops.said("proof", "answer", *KEY, token, columns=200)


def test_the_key_may_be_a_file(liveops: Terminal, tmp_path: Path) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    private.write_text(SIGNER.text() + "\n")
    public.write_text(SIGNER.verifier.text() + "\n")
    for file in (private, public):
        assert "PROVED" in liveops.said("proof", "inclusion", "1", "--key", str(file), columns=200)


# --- What does not ---


def test_a_key_that_has_not_signed_proves_nothing(liveops: Terminal) -> None:
    said = refused(liveops, "proof", "inclusion", "3", "--key", STRANGER.verifier.text())
    assert "No known key has signed" in said


def test_a_size_that_nobody_signed_proves_nothing(liveops: Terminal) -> None:
    assert "nobody has signed it" in refused(
        liveops, "proof", "inclusion", "3", "--size", "3", *KEY
    )


def test_a_log_that_was_written_anew_is_found(
    liveops: Terminal, database: str, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    liveops.said("proof", "checkpoint", *KEY, "--save", str(old), columns=200)
    connection = connect(database)
    for table in ("liveops_tree", "liveops_checkpoints"):
        connection.execute(f"DELETE FROM {table}".encode())
    connection.execute("UPDATE liveops_projections SET position = 0 WHERE name = 'liveops_tree'")
    connection.close()
    rewrite(database)
    sign(database)
    said = refused(liveops, "proof", "consistency", str(old), *KEY)
    assert "trees of 4 leaves have one root" in said


def rewrite(database: str) -> None:
    import psycopg

    with psycopg.connect(database) as superuser:
        superuser.execute("ALTER TABLE liveops_events DISABLE TRIGGER USER")
        superuser.execute(
            "UPDATE liveops_events SET recorded_at = recorded_at - interval '1 us'"
            " WHERE position = 2"
        )


def test_a_server_that_lies_is_found_out(liveops: Terminal) -> None:
    with Api(liveops.url, TOKEN) as api:
        token = str(liveops.answer("resolve", "--session", "s")["token"])
        inclusion = api.get("/proof/inclusion", position=3)
        answer = api.get("/proof/answer", token=token)
        old, _ = checking.checkpoint(inclusion["checkpoint"], KEYS)
        consistency = api.get("/proof/consistency", old=4)
    assert lies(inclusion, lambda proof: checking.inclusion(proof, 3, KEYS)) > 5
    assert lies(answer, lambda proof: checking.answer(proof, token, KEYS)) > 20
    assert lies(consistency, lambda proof: checking.consistency(proof, old, KEYS)) > 1
    with pytest.raises(LedgerError):
        checking.inclusion(inclusion, 2, KEYS)
    for told, instead in (
        (":1.5,", ":2.5,"),
        ("LEGENDARY", "NO"),
        (":4000,", ":4000.0,"),
        ('"off"', "0"),
    ):
        changed = answer["answer"].replace(told, instead, 1)
        assert changed != answer["answer"], told
        with pytest.raises(LedgerError):
            checking.answer({**answer, "answer": changed}, token, KEYS)


def test_what_is_genuine_is_no_proof_of_something_else(liveops: Terminal) -> None:
    with Api(liveops.url, TOKEN) as api:
        tokens = [
            api.get("/resolve/preview", session_id="s", position=position)["token"]
            for position in (2, 4)
        ]
        early, late = (api.get("/proof/answer", token=token) for token in tokens)
        consistency = api.get("/proof/consistency", old=4)
    with pytest.raises(LedgerError, match="Event 3 is later than the answer"):
        checking.answer({**early, "events": late["events"]}, tokens[0], KEYS)
    with pytest.raises(LedgerError, match="of another answer"):
        checking.answer(late, tokens[0], KEYS)
    signed, _ = checking.checkpoint(consistency["checkpoint"], KEYS)
    with pytest.raises(LedgerError, match="These are two logs"):
        checking.consistency(consistency, replace(signed, origin="another"), KEYS)


UNUSED = {"old_checkpoint"}
"""The auditor has brought one of his own."""


def lies(proof: Json, check: Callable[[Json], object]) -> int:
    """Change each member of a proof in turn; all of them are refused. Returns how many."""
    check(proof)
    count = 0
    for steps in list(places(proof)):
        changed = deepcopy(proof)
        *above, last = steps
        inside = changed
        for step in above:
            inside = inside[step]
        inside[last] = another(inside[last])
        with pytest.raises((LedgerError, ValueError, KeyError)):
            check(changed)
        count += 1
    return count


def places(value: Json, *steps: Json) -> Iterator[tuple[Json, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for step, member in inner:
        if isinstance(member, dict | list):
            yield from places(member, *steps, step)
        elif step not in UNUSED:
            yield (*steps, step)


def another(value: Json) -> Json:
    match value:
        case int():
            return value + 1
        case str() if "/" in value[10:] or "=" in value:
            return value.replace("a", "b", 1) if "a" in value else value[::-1]
        case str():
            return value.replace("1", "2", 1) if "1" in value else value + "A"
    return "something"
