"""What is held of people, and where: only what somebody typed, and only where the page says."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from docs.generate import REFERENCE
from ledger.notes import Signer
from ledger.scopes import Context
from ledger.store import LedgerStore
from projections.catalogue import VIEWS, install
from projections.rebuild import rebuild
from projections.signing import Signing
from projections.snapshots import record_snapshot
from projections.verification import Evidence, verify
from projections.views import connect
from tests.integration.calling import Api, serving
from tests.integration.projecting import project
from tests.integration.publishing import Published, Publishing
from tests.integration.restoring import SIGNER, envelopes, guards, keep, tool
from tests.integration.test_http_snapshots import sample

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PAGE = (REFERENCE.parent / "operations" / "erasure.md").read_text(encoding="utf-8")
NAME = "Åda Läv'läce"
TYPED = {
    "reason": f"asked by {NAME}",
    "name": f"for {NAME}",
    "label": f"label {NAME}",
    "reference": "session-of-ada",
    "rule": "ada@example.org",
    "key": "key-of-ada",
    "context": "player-ada",
}
REPLACED = ("reason", "name", "label", "key")
UNASKED = ["Mozilla/5.0 (of Ada)", "203.0.113.77", "cookie-of-ada", "ada-admin@example.org"]
HEADERS = dict(
    zip(["User-Agent", "X-Forwarded-For", "Cookie", "From"], UNASKED, strict=True),
)


NEW = Signer.generate("the-log-after-the-erasure", bytes([8]) * 32)


class Tables(NamedTuple):
    """The tables of a ledger, to be searched."""

    url: str

    def holding(self, text: str) -> set[str]:
        """Name every table that has a text, in whatever form it is written there."""
        wanted = [*_forms(text), *(form.encode().hex() for form in _forms(text))]
        with psycopg.connect(self.url) as connection:
            return {name for name in _tables(connection) if _is_in(connection, name, wanted)}


def _forms(text: str) -> set[str]:
    return {text, orjson.dumps(text).decode()[1:-1]}


class Held(NamedTuple):
    """The ledger of somebody who typed a name into everything that can be typed into."""

    url: str
    topics: Published


@pytest.fixture
def held(store: LedgerStore, database: str, publishing: Publishing, topics: Published) -> Held:
    install(database)
    with serving(store, database) as api:
        _type_everywhere(api, database)
    keep(database)
    publishing.thread()
    return Held(database, topics)


def _type_everywhere(api: Api, url: str) -> None:
    content: dict[str, Any] = {
        "name": TYPED["name"],
        "scope": "session",
        "scope_ref": TYPED["reference"],
        "payload": {"QUEST_PACING_TEMPO_MULTIPLIER": 0.8},
        "labels": {"for": TYPED["label"]},
        "targeting": {"include": f'session_id != "{TYPED["rule"]}"'},
        "reason": TYPED["reason"],
    }
    made = api.post("/configs", content, key=TYPED["key"], headers=HEADERS)
    assert made.status_code == 201, made.text
    path = f"/configs/{made.json()['config_id']}/activate"
    assert api.post(path, {"reason": TYPED["reason"]}, headers=HEADERS).status_code == 200
    with psycopg.connect(url, autocommit=True) as connection:
        taken = sample(api, TYPED["reference"], 1)
        context = Context("s9", 1, attributes={"account": TYPED["context"]})
        record_snapshot(connection, taken._replace(context=context))


def found(held: Held, text: str) -> set[str]:
    """Name every table and topic in which a text is."""
    topics = {
        "events": held.topics.read(held.topics.events),
        "active": held.topics.read(held.topics.active),
        "checkpoints": held.topics.read(held.topics.checkpoints),
    }
    return Tables(held.url).holding(text) | {
        f"<prefix>.{name}"
        for name, records in topics.items()
        if any(form.encode() in _all_of(record) for record in records for form in _forms(text))
    }


def _tables(connection: psycopg.Connection) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    return [name for (name,) in connection.execute(query)]


def _is_in(connection: psycopg.Connection, table: str, wanted: list[str]) -> bool:
    query = SQL(
        "SELECT EXISTS (SELECT FROM {} t, unnest(%s::text[]) w WHERE strpos(t::text, w) > 0"
        " OR strpos(to_jsonb(t)::text, w) > 0)"
    ).format(Identifier(table))
    return connection.execute(query, (wanted,)).fetchone() == (True,)


def _all_of(record: Any) -> bytes:
    headers = b"".join(name.encode() + value for name, value in record.headers)
    return bytes((record.key or b"") + (record.value or b"") + headers)


def promised() -> dict[str, set[str]]:
    """Read the page's table: what can be typed, and where it is then."""
    rows = re.findall(r"^\| \*\*(\w+)\*\*.*? \| (.*?) \|$", PAGE, re.MULTILINE)
    return {what: set(re.findall(r"`([^`]+)`", where)) for what, where in rows}


def test_what_is_typed_is_where_the_page_says_and_nothing_else_is_kept(held: Held) -> None:
    assert {what: found(held, text) for what, text in TYPED.items()} == promised()
    assert [found(held, text) for text in UNASKED] == [set()] * len(UNASKED)
    for event in map(orjson.loads, envelopes(held.url)):
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["actor"])


def redact(url: str, was: str, instead: str) -> None:
    """Do what the page says, as it says it."""
    (script,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    file = Path(tempfile.mkstemp(suffix=".sql")[1])
    file.write_text(script, encoding="utf-8")
    try:
        given = [f"--set={name}={text}" for name, text in {"was": was, "instead": instead}.items()]
        tool("psql", "--quiet", *given, f"--file={file}", url=url)
    finally:
        file.unlink()


def test_a_name_in_an_event_is_replaced_as_the_page_says(store: LedgerStore, database: str) -> None:
    """It is another log then, as whoever holds a head of the old one sees, and it works."""
    install(database)
    with serving(store, database) as api:
        _type_everywhere(api, database)
        old, before, guarded = keep(database), envelopes(database), guards(database)
        redact(database, NAME, "[erased]")
        redact(database, TYPED["key"], "[a key]")
        assert guards(database) == guarded
        for view in VIEWS:
            rebuild(database, view)
        held = Tables(database)
        assert [held.holding(TYPED[what]) for what in REPLACED] == [set()] * len(REPLACED)
        assert [
            event.replace(b"[erased]", NAME.encode()) for event in envelopes(database)
        ] == before
        verdict = verify(database, VIEWS, evidence=Evidence([old.head], [SIGNER.verifier]))
        assert ["not those that were signed" in fault.what for fault in verdict.faults] == [True]
        connection = connect(database)
        assert Signing([NEW], "the-log-after-the-erasure").look(connection) == len(before)
        connection.close()
        with pytest.raises(psycopg.Error, match="the ledger is append-only"):
            redact_without_the_page(database)
        api.activated()
        project(database)
        renamed = Evidence(origin="the-log-after-the-erasure")
        assert verify(database, VIEWS, evidence=renamed).faults == ()


def redact_without_the_page(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE liveops_events SET state = state")
