"""Servers to back up and to restore into, with PostgreSQL's own tools, and what must come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psycopg

from commands.embedded.account import server_account
from commands.embedded.cluster import server_env
from commands.embedded.postgres import EmbeddedPostgres
from commands.embedded.programs import server_programs
from commands.models import ContextBody
from commands.questions import Answer, Question
from ledger.merkle import Frontier, leaf_hash
from ledger.notes import Signer, Verifier
from ledger.store import LedgerStore
from projections.catalogue import VIEWS
from projections.checkpoints import SignedHead, head
from projections.signing import Signing
from projections.verification import Evidence, Verdict, verify
from projections.views import connect
from tests.integration.projecting import project
from tests.integration.publishing import Operator
from tests.integration.test_past import questions, token

SIGNER = Signer.generate("the-log", bytes([7]) * 32)
KEYS: Sequence[Verifier] = [SIGNER.verifier]
FAST = {"fsync": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}

PLAYER = ContextBody(session_id="s1", world_id="w1", attributes={"country": "de"})


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a ledger outside of its database: its signed head, and answers given."""

    envelopes: list[bytes]
    answers: list[Answer]
    head: SignedHead

    @property
    def evidence(self) -> Evidence:
        """The head, as whoever restores brings it along."""
        return Evidence([self.head], KEYS)


def envelopes(url: str) -> list[bytes]:
    with LedgerStore(url) as store:
        return [stored.envelope() for stored in store.stream()]


def keep(url: str) -> Kept:
    """Project and sign everything, ask at every position, and keep what comes of it."""
    project(url)
    connection = connect(url)
    try:
        Signing([SIGNER]).look(connection)
        signed = head(connection)
    finally:
        connection.close()
    assert signed is not None
    events = envelopes(url)
    with questions(url) as asked:
        at_each = [Question(PLAYER, position=n + 1, explain=True) for n in range(len(events))]
        return Kept(events, [asked.ask(question) for question in at_each], signed)


def change(url: str, *tempos: float) -> None:
    """Create and activate a config for each value, as an operator does."""
    with LedgerStore(url) as store:
        operator = Operator(store)
        for tempo in tempos:
            operator.config(tempo)


def repeated(url: str, answers: Sequence[Answer]) -> list[Answer]:
    with questions(url) as asked:
        return [asked.repeat(token(answer)) for answer in answers]


def root_of(events: Sequence[bytes]) -> bytes:
    tree = Frontier()
    for event in events:
        tree.add(leaf_hash(event))
    return tree.root()


def verified(url: str, kept: Kept) -> Verdict:
    return verify(url, VIEWS, evidence=kept.evidence)


def continues(url: str) -> None:
    """See that a restored ledger goes on where it was: positions, stamps, versions, views."""
    before = envelopes(url)
    change(url, 0.75)
    after = envelopes(url)
    assert after[: len(before)] == before
    said = [orjson.loads(event) for event in after]
    assert [event["position"] for event in said] == list(range(1, len(after) + 1))
    assert all(a["recorded_at"] < b["recorded_at"] for a, b in pairwise(said))
    project(url)
    assert verify(url, VIEWS).faults == ()


def guards(url: str) -> dict[str, list[tuple[object, ...]]]:
    """List what protects the ledger: triggers and how they fire, policies, owners, rights."""
    asked = {
        "triggers": "SELECT tgrelid::regclass::text, tgname, tgenabled, tgtype FROM pg_trigger"
        " WHERE NOT tgisinternal ORDER BY 1, 2",
        "policies": "SELECT tablename, policyname, roles::text, cmd, qual, with_check"
        " FROM pg_policies ORDER BY 1, 2",
        "tables": "SELECT relname, relowner::regrole::text, relrowsecurity, relforcerowsecurity,"
        " array(SELECT a::text FROM unnest(relacl) a ORDER BY 1) FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') ORDER BY 1",
        "functions": "SELECT proname, proowner::regrole::text, prosecdef, proconfig,"
        " array(SELECT a::text FROM unnest(proacl) a ORDER BY 1), md5(prosrc) FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    }
    with psycopg.connect(url) as connection:
        return {what: connection.execute(query).fetchall() for what, query in asked.items()}


# --- Servers and tools ---


def tool(name: str, *arguments: str, url: str = "", refused: bool = False) -> str:
    """Run one of PostgreSQL's programs; returns what it wrote, on errors what it complained of."""
    argv = [str(server_programs(None) / name), *arguments, *(["--dbname", url] if url else [])]
    done = subprocess.run(argv, check=False, capture_output=True, timeout=60, env=server_env())
    said = done.stderr.decode()
    assert bool(done.returncode) is refused, said
    return said if refused else done.stdout.decode()


def database_of(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@contextmanager
def place() -> Iterator[Path]:
    """Make a folder that the servers' user can reach too, for a cluster or for its archive."""
    with tempfile.TemporaryDirectory(prefix="liveops-restore-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def server(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    """Run a server on the cluster of this home; make that first if it is not there."""
    home.mkdir(exist_ok=True)
    embedded = EmbeddedPostgres(home, settings={**FAST, **(settings or {})})
    embedded.start()
    try:
        yield embedded
    finally:
        embedded.stop()


def hand_over(folder: Path) -> None:
    """Give a folder to the user that the servers run as, as whoever restores as root must."""
    account = server_account(folder)
    if account is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def archiving(archive: Path) -> dict[str, str]:
    """Settings with which a server keeps every finished segment of its log."""
    archive.mkdir()
    hand_over(archive)
    command = f"test ! -f {archive}/%f && cp %p {archive}/%f"
    return {"archive_mode": "on", "archive_command": command}


def restored_home(home: Path, source: Path, base: Path, *, recover: bool) -> Path:
    """Lay a base backup out as the home of a server, with the password of the one it is of."""
    home.mkdir()
    base.rename(home / "postgres")
    (home / "postgres").chmod(0o700)
    if recover:
        (home / "postgres" / "recovery.signal").touch()
    hand_over(home / "postgres")
    shutil.copy(source / "postgres.password", home / "postgres.password")
    return home
