"""Bundles of a real ledger: exported over HTTP and by the command line, verified without either."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest

from commands import http
from commands.http import proof as proof_routes
from ledger.bundle import TILE
from ledger.bundle_check import Trust, check
from ledger.bundle_faults import Kind
from ledger.notes import Signer
from ledger.store import Draft, LedgerStore
from projections.catalogue import install
from projections.signing import Signing
from projections.tree import TreeView
from projections.views import connect
from tests.bundling import cut
from tests.integration.calling import SKILLS, Api, problem, serving
from tests.integration.projecting import project
from tests.integration.terminal import Terminal, terminal

Json = Any

SIGNER = Signer.generate("the-log", bytes(32))
KEY = SIGNER.verifier.text()
OTHER_VERIFIER = Path(http.__file__).parents[2] / "docs" / "verify_bundle.py"
GLADE = {"session_id": "s", "world_id": "world.forest_glade"}


def sign(database: str) -> None:
    project(database, [TreeView()])
    connection = connect(database)
    Signing([SIGNER]).look(connection)
    connection.close()


def forge(database: str, statement: str) -> None:
    """Change the ledger as only who owns the machine can."""
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE liveops_events DISABLE TRIGGER USER")
        connection.execute(statement)


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    install(database)
    with serving(store, database) as served:
        served.activated()
        yield served


def exported(api: Api, **query: Json) -> list[bytes]:
    answer = api.get("/export", **query)
    assert answer.status_code == 200, answer.text
    return cut(answer.content)


# --- Over HTTP ---


def test_a_bundle_is_the_events_as_they_are_shown_and_proves_itself(
    api: Api, database: str
) -> None:
    sign(database)
    answer = api.get("/export")
    lines = cut(answer.content)
    shown = api.call("GET", "/events", headers={"Accept": "application/x-ndjson"}).content
    assert lines[1 : 1 + api.head()] == cut(shown)
    assert int(answer.headers["Ledger-Position"]) == api.head()
    report = check(lines, Trust((KEY,)))
    assert (report.faults, report.size, report.trusted) == ((), api.head(), (KEY,))


def test_a_bundle_ends_with_the_earliest_checkpoint_that_covers_what_is_asked(
    api: Api, database: str
) -> None:
    sizes = []
    for world in "abc":
        sign(database)
        sizes.append(api.head())
        api.activated(scope_ref=world)
    sign(database)
    for upto, size in ((1, sizes[0]), (sizes[0], sizes[0]), (sizes[0] + 1, sizes[1])):
        assert check(exported(api, upto=upto)).size == size
    assert check(exported(api)).size == api.head()


def test_more_than_a_tile_of_events_is_streamed(api: Api, database: str) -> None:
    while api.head() <= TILE:
        api.ledger.store.append(_drafts(api), expected={})
    sign(database)
    assert check(exported(api), Trust((KEY,))).faults == ()


def _drafts(api: Api) -> list[Draft]:
    stored = api.ledger.store.read(after=1, limit=1)[0]
    return [Draft(uuid4(), 1, stored.type, stored.state) for _ in range(100)]


def test_an_answer_goes_with_the_events_that_it_rests_on(api: Api, database: str) -> None:
    answer = api.post("/resolve", {"context": GLADE, "explain": True})
    api.activated(SKILLS)
    sign(database)
    report = check(exported(api, token=answer.json()["token"]))
    assert (report.faults, report.answer) == ((), answer.content)


def test_what_cannot_be_exported_is_said(
    api: Api, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_routes, "PATIENCE_SECONDS", 0.1)
    problem(api.get("/export"), 404, "not-signed")
    sign(database)
    told = problem(api.get("/export", upto=10_000), 404, "not-found")
    assert told["errors"][0]["pointer"] == "/upto"
    told = problem(api.get("/export", token="a token"), 400, "bad-token")
    assert told["errors"][0]["pointer"] == "/token"
    api.activated(SKILLS)
    problem(api.get("/export", upto=api.head()), 503, "behind")


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (
            "UPDATE liveops_events SET state = convert_to("
            "replace(convert_from(state, 'UTF8'), 'Drops', 'Dregs'), 'UTF8')"
            " WHERE position = 2",
            Kind.CHANGED,
        ),
        (
            "UPDATE liveops_events SET recorded_at = recorded_at + interval '1 microsecond'"
            " WHERE position = 2",
            Kind.CHANGED,
        ),
        ("DELETE FROM liveops_events WHERE position = 2", Kind.MISSING),
    ],
)
def test_an_event_that_was_changed_in_the_database_is_named(
    api: Api, database: str, statement: str, kind: Kind
) -> None:
    sign(database)
    forge(database, statement)
    fault = check(exported(api)).faults[0]
    assert (fault.kind, fault.position, fault.line) == (kind, 2, 3)


# --- On the command line ---


@pytest.fixture
def liveops(store: LedgerStore, database: str) -> Iterator[Terminal]:
    install(database)
    with terminal(store, database) as opened:
        lever = ("--set", "DROP_RATE_LEGENDARY_MULTIPLIER=1.5")
        opened.config("--name", "d", "--scope", "global", "--ref", "global", *lever)
        sign(database)
        yield opened


@pytest.mark.parametrize("name", ["ledger.ndjson", "ledger.ndjson.gz"])
def test_who_has_the_file_and_the_key_needs_no_server(
    liveops: Terminal, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    assert "3 events are in" in liveops.run("export", str(file)).stdout
    nowhere = Terminal("http://127.0.0.1:1")
    told = nowhere.run("verify", str(file), "--key", KEY).stdout
    assert "All of it is as it was signed." in told
    assert f"by your key {KEY}" in told
    found = nowhere.answer("verify", str(file))
    assert (found["verified"], found["size"], found["trusted"]) == (True, 3, [])
    own = subprocess.run(
        [sys.executable, "-I", OTHER_VERIFIER, file, "--key", KEY],
        check=True,
        capture_output=True,
        text=True,
    )
    assert own.stdout.startswith("OK: 3 events of liveops-ledger/")


def test_an_answer_comes_out_again_and_another_one_does_not(
    liveops: Terminal, tmp_path: Path
) -> None:
    answer = liveops.answer("resolve", "--session", "s")
    file = tmp_path / "ledger.ndjson"
    liveops.said("export", str(file), "--answer", answer["token"], columns=400)
    assert "comes out again" in liveops.said("verify", str(file), columns=400)
    _reseal(file, b'"DROP_RATE_LEGENDARY_MULTIPLIER":1.5', b'"DROP_RATE_LEGENDARY_MULTIPLIER":2.5')
    done = liveops.run("verify", str(file))
    assert done.exit_code == 1
    assert "Line 9: the answer is another one than the events give." in done.stdout


def _reseal(file: Path, old: bytes, new: bytes) -> None:
    """Change the answer in a bundle, and what its end says of it."""
    *lines, end = file.read_bytes().splitlines()
    before = lines[-1]
    lines[-1] = before.replace(old, new)
    assert lines[-1] != before
    end = end.replace(sha256(before).hexdigest().encode(), sha256(lines[-1]).hexdigest().encode())
    file.write_bytes(b"".join(line + b"\n" for line in [*lines, end]))


def test_what_is_not_as_signed_is_named_and_the_exit_code_says_so(
    liveops: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.ndjson"
    liveops.said("export", str(file), columns=400)
    file.write_bytes(file.read_bytes().replace(b'"name":"d"', b'"name":"e"', 1))
    done = liveops.run("verify", str(file))
    assert done.exit_code == 1
    assert "NOT as it was signed. Event 2 was changed" in done.stdout
    found = orjson.loads(liveops.run("verify", str(file), "--json").stdout)
    assert found["faults"][0]["position"] == 2


def test_a_bundle_older_than_what_is_known_is_refused(
    liveops: Terminal, tmp_path: Path, database: str
) -> None:
    old, note = tmp_path / "old.ndjson", tmp_path / "note"
    liveops.said("export", str(old), columns=400)
    liveops.said("lever", "kill", "DIALOGUE_GATE", columns=400)
    sign(database)
    liveops.said("proof", "checkpoint", "--key", KEY, "--save", str(note), columns=400)
    for known in (("--checkpoint", str(note)), ("--size", "4")):
        done = liveops.run("verify", str(old), *known)
        assert done.exit_code == 1
        assert "older than what you know" in done.stdout
    new = tmp_path / "new.ndjson"
    liveops.said("export", str(new), columns=400)
    told = liveops.said("verify", str(new), "--checkpoint", str(note), columns=400)
    assert "your checkpoint of 4 events" in told


@pytest.mark.parametrize("at", [30, 400, -6])
def test_a_compressed_bundle_that_is_damaged_is_refused(
    liveops: Terminal, tmp_path: Path, at: int
) -> None:
    file = tmp_path / "ledger.ndjson.gz"
    liveops.said("export", str(file), columns=400)
    packed = bytearray(file.read_bytes())
    packed[at] ^= 1
    file.write_bytes(packed)
    assert liveops.run("verify", str(file)).exit_code == 1


def test_what_cannot_be_read_is_refused_in_words(liveops: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "ledger.ndjson"
    file.write_bytes(gzip.compress(b"")[:5])
    assert "NOT as it was signed" in liveops.run("verify", str(file)).stdout
    done = liveops.run("verify", str(file), "--key", "a+b+c")
    assert (done.exit_code, done.stderr[:14]) == (1, "NOT VERIFIED: ")


def test_an_export_of_a_ledger_that_was_tampered_with_says_so_and_is_kept(
    liveops: Terminal, tmp_path: Path, database: str
) -> None:
    forge(
        database,
        "UPDATE liveops_events SET recorded_at = recorded_at + interval '1 microsecond'"
        " WHERE position = 2",
    )
    file = tmp_path / "ledger.ndjson"
    done = liveops.run("export", str(file))
    assert done.exit_code == 1
    assert "Event 2 was changed" in done.stdout
    assert file.exists()
