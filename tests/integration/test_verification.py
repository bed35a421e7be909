"""`verify`: whatever is changed in the log, the views or the checkpoints is found and named."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from pydantic import SecretStr

from commands import programs
from commands.settings import Settings
from ledger.errors import LedgerError
from ledger.notes import Signer
from projections import watch
from projections.catalogue import VIEWS, install
from projections.log_check import Fault
from projections.rebuild import Rebuild, rebuild
from projections.signing import Signing
from projections.tree import TreeView
from projections.verification import VerificationUnderWay, verify
from projections.views import connect
from tests.conftest import temporary_database
from tests.integration.patience import eventually
from tests.integration.projecting import project, random_history, record, running

EVENTS = random_history(3, 300).events
LAST = EVENTS[-1].position
SIGNER = Signer.generate("the-log", bytes(32))
SOUND = {view.name: True for view in VIEWS}


@pytest.fixture(scope="module")
def projected(postgres_url: str, template: str) -> Iterator[str]:
    """The name of a database with a log, its views and signed heads, to be copied."""
    with temporary_database(postgres_url, template) as url:
        install(url)
        for first in range(0, LAST, 20):
            record(url, EVENTS[first : first + 20])
            project(url, batch=7)
            connection = connect(url)
            Signing([SIGNER]).look(connection)
            connection.close()
        yield urlsplit(url).path.strip("/")


@pytest.fixture
def copies(postgres_url: str, projected: str) -> Iterator[Callable[[], str]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(temporary_database(postgres_url, projected))


@pytest.fixture
def url(copies: Callable[[], str]) -> str:
    return copies()


def forge(url: str, *statements: str) -> None:
    """Change a database as somebody does whom no trigger and no policy stops."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("ALTER TABLE liveops_events DISABLE TRIGGER ALL")
        for statement in statements:
            connection.execute(statement)
        connection.execute("ALTER TABLE liveops_events ENABLE ALWAYS TRIGGER one_door")
        connection.execute("ALTER TABLE liveops_events ENABLE ALWAYS TRIGGER append_only")


def faults(url: str) -> tuple[Fault, ...]:
    return verify(url, VIEWS).faults


def test_what_nobody_changed_is_sound(url: str) -> None:
    found = verify(url, VIEWS)
    assert found.faults == ()
    assert {view.name: view.sound for view in found.views} == SOUND
    assert found.events == found.position == LAST
    assert found.checkpoints == -(-LAST // 20) > 2


def test_it_changes_nothing_and_leaves_nothing(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        verify(url, VIEWS)
        assert connection.execute("SELECT count(*) FROM liveops_verifications").fetchone() == (0,)
        left = "SELECT count(*) FROM pg_class WHERE relpersistence = 't'"
        eventually(lambda: connection.execute(left).fetchone() == (0,))


SWAP = (
    "UPDATE liveops_events e SET state = o.state FROM liveops_events o"
    " WHERE (e.position, o.position) IN ((7, 9), (9, 7))"
)


IN_THE_LOG = {
    "UPDATE liveops_events SET topic = 'Frozen' WHERE position = 1": "position 1",
    "UPDATE liveops_events SET state = set_byte(state, 9, 65) WHERE position = 5": "position 5",
    SWAP: "position 7",
    "DELETE FROM liveops_events WHERE position = 11": "position 11",
    "UPDATE liveops_events SET originator_version = 999 WHERE position = 12": "position 12",
    "UPDATE liveops_events SET originator_id = gen_random_uuid() WHERE position = 14": (
        "position 14"
    ),
    "UPDATE liveops_events SET recorded_at = recorded_at + '1us' WHERE position = 16": (
        "position 16"
    ),
}
BESIDE_IT = {
    "UPDATE liveops_tree SET hashes = set_byte(hashes, 65, 1) WHERE level = 0": "position 3",
    "UPDATE liveops_checkpoints SET root = sha256('') WHERE size = 20": "checkpoint of 20 events",
    "UPDATE liveops_checkpoints SET note = replace(note, 'the-log', 'the-lag') WHERE size = 40": (
        "checkpoint of 40 events"
    ),
    "DELETE FROM liveops_audit WHERE position = 8": (
        "liveops_audit id=[-0-9a-f]+: the row is missing"
    ),
    "INSERT INTO liveops_audit_levers VALUES ('A_LEVER', 2)": (
        "liveops_audit_levers lever=A_LEVER position=2: no event makes this row"
    ),
    "UPDATE liveops_timeline SET begun_at = begun_at + '1us' WHERE begins = 1": (
        "liveops_timeline thing=catalog begins=1"
    ),
    "UPDATE liveops_projections SET recorded_at = now() WHERE name = 'liveops_configs'": (
        "liveops_projections name=liveops_configs"
    ),
}


@pytest.mark.parametrize("changes", [IN_THE_LOG, BESIDE_IT], ids=["in the log", "beside it"])
def test_changes_are_found_and_their_places_named(url: str, changes: dict[str, str]) -> None:
    """Each alone, a thousand times over: see test_log_check."""
    forge(url, *changes)
    found = [str(fault) for fault in faults(url)]
    for place in changes.values():
        assert any(re.match(rf"{place}(?!\d)", named) for named in found), (place, found)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (f"DELETE FROM liveops_events WHERE position = {LAST}", f"position {LAST}"),
        ("TRUNCATE liveops_events", "position 1"),
        (
            "INSERT INTO liveops_events SELECT position + 1, recorded_at + '1us', originator_id,"
            " originator_version + 7, topic, state FROM liveops_events"
            f" WHERE position = {LAST}",
            f"position {LAST + 1}",
        ),
        (
            "UPDATE liveops_projections SET position = 999 WHERE name = 'liveops_configs';"
            "DROP TABLE liveops_audit_levers",
            "liveops_configs",
        ),
        ("ALTER TABLE liveops_freezes DROP CONSTRAINT liveops_freezes_pkey", "liveops_freezes"),
    ],
)
def test_a_change_of_the_whole_is_found(url: str, change: str, place: str) -> None:
    forge(url, change)
    found = faults(url)
    assert found
    assert found[0].place.startswith(place), found[0]


def test_who_makes_all_views_anew_is_found_by_the_signed_heads(url: str) -> None:
    kept = "liveops_events WHERE position = 25"
    forge(
        url,
        "UPDATE liveops_events SET state = convert_to(replace(convert_from(state, 'UTF8'),"
        " '\"reason\":\"', '\"reason\":\"not '), 'UTF8') WHERE position = 25",
    )
    for view in VIEWS:
        rebuild(url, view)
    found = verify(url, VIEWS)
    assert {view.name: view.sound for view in found.views} == SOUND, kept
    assert found.faults[0].place == "checkpoint of 40 events"
    assert "among positions 21 to 40" in found.faults[0].what


OTHERS = {
    "bigint": "coalesce({c}, 0) + 1000",
    "integer": "coalesce({c}, 0) + 1000",
    "text": "coalesce({c}, '') || 'x'",
    "uuid": "gen_random_uuid()",
    "boolean": "NOT {c}",
    "jsonb": """jsonb_build_object('x', {c})""",
    "text[]": "{c} || 'x'::text",
    "bytea": "{c} || 'x'::bytea",
    "timestamp with time zone": "coalesce({c}, now()) + '99us'",
}
ENUMS = {
    "liveops_config_scope": "CASE {c} WHEN 'world' THEN 'session' ELSE 'world' END::{t}",
    "liveops_config_status": "CASE {c} WHEN 'draft' THEN 'active' ELSE 'draft' END::{t}",
    "liveops_audit_action": "CASE {c} WHEN 'kill' THEN 'restore' ELSE 'kill' END::{t}",
}
PLAIN = (
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
    " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT EXISTS (SELECT FROM pg_index i"
    " WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey))"
)


def test_every_column_of_every_view_is_compared(url: str) -> None:
    changed = {
        table: change_a_row(url, table)
        for view in VIEWS
        for table in view.tables
        if table != "liveops_tree"
    }
    found = {fault.place.split()[0]: fault.what for fault in faults(url)}
    assert {"liveops_configs", "liveops_audit", "liveops_timeline"} <= set(found)
    for table, columns in changed.items():
        for name in columns:
            assert re.search(rf"(^|; ){name} is ", found[table]), (table, name)


def change_a_row(url: str, table: str) -> list[str]:
    """Change all columns that are no key in one row, if there is one; gives their names."""
    kinds = OTHERS | ENUMS
    with psycopg.connect(url) as connection:
        columns = connection.execute(PLAIN, (table,)).fetchall()
        sets = (f"{name} = {kinds[kind].format(c=name, t=kind)}" for name, kind in columns)
        statement = f"UPDATE {table} SET {', '.join(sets)}"
        one = f"WHERE ctid = (SELECT ctid FROM {table} LIMIT 1)"
        done = columns and connection.execute(f"{statement} {one}").rowcount
    return [name for name, _ in columns] if done else []


def test_views_that_stand_at_different_positions_are_each_compared_there(url: str) -> None:
    forge(url, "DELETE FROM liveops_tree", "DELETE FROM liveops_checkpoints")
    connection = connect(url)
    connection.execute("DELETE FROM liveops_audit_levers")
    connection.execute("DELETE FROM liveops_audit_experiments")
    connection.execute("DELETE FROM liveops_audit")
    behind = ("liveops_audit", "liveops_tree")
    connection.execute(
        "UPDATE liveops_projections SET position = 0, recorded_at = NULL WHERE name = ANY (%s)",
        (list(behind),),
    )
    connection.close()
    found = verify(url, VIEWS)
    assert found.faults == ()
    assert {view.name for view in found.views if view.position == 0} == set(behind)


def test_a_view_of_another_version_is_not_compared(url: str) -> None:
    forge(url, "UPDATE liveops_projections SET version = 99 WHERE name = 'liveops_audit'")
    found = verify(url, VIEWS)
    [audit] = [view for view in found.views if view.name == "liveops_audit"]
    assert (audit.sound, found.sound) == (None, True)
    assert audit.why is not None
    assert "version 99" in audit.why


@pytest.mark.parametrize("begun", ["before", "meanwhile"])
def test_a_view_that_is_built_anew_meanwhile_is_not_taken_for_an_empty_one(
    url: str, begun: str
) -> None:
    connection = connect(url)
    building = Rebuild(connection, TreeView()) if begun == "before" else None
    swapped: list[bool] = []

    def meanwhile(*_: object) -> None:
        if not swapped:
            new = building or Rebuild(connection, TreeView())
            while new.step():
                pass
            swapped.append(new.swap())

    found = verify(url, VIEWS, on_progress=meanwhile)
    connection.close()
    assert swapped == [True]
    assert found.faults == ()
    assert [view.sound for view in found.views if view.name == "liveops_tree"] == [None]


def test_up_to_an_earlier_position_only_the_log_is_verified(url: str) -> None:
    forge(url, "UPDATE liveops_events SET topic = 'Frozen' WHERE position = 45")
    found = verify(url, VIEWS, upto=44)
    assert (found.sound, found.position, found.views, found.checkpoints) == (True, 44, (), 2)
    assert not verify(url, VIEWS, upto=45).sound


def test_an_empty_ledger_is_sound(database: str) -> None:
    install(database)
    found = verify(database, VIEWS)
    assert (found.sound, found.position) == (True, 0)


def test_a_database_without_views_is_said(database: str) -> None:
    with pytest.raises(LedgerError, match="cannot be verified"):
        verify(database, VIEWS)


# --- Again and again ---


def test_beside_the_projector_it_is_done_again_and_again(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(url, autocommit=True) as reader, watching(url, 0.05):
        eventually(lambda: count(reader) >= 2)
        found = watch.last(reader)
        assert found is not None
        assert (found.sound, found.position, found.faults) == (True, LAST, [])
        assert {view["name"]: view["sound"] for view in found.views} == SOUND
        forge(url, "UPDATE liveops_audit SET reason = 'none' WHERE position = 9")
        eventually(lambda: not getattr(watch.last(reader), "sound", True))
    assert "reason is none" in caplog.text


def test_it_goes_on_while_the_ledger_grows(database: str) -> None:
    install(database)
    reader: psycopg.Connection[tuple[object]]
    with (
        running(database),
        watching(database, 0.01),
        psycopg.connect(database, autocommit=True) as reader,
    ):
        for first in range(0, LAST, 10):
            record(database, EVENTS[first : first + 10])
        eventually(lambda: getattr(watch.last(reader), "position", 0) == LAST)
        drifted = "SELECT faults FROM liveops_verifications WHERE NOT sound"
        assert reader.execute(drifted).fetchall() == []


def test_no_sooner_than_the_interval_and_one_at_a_time(url: str) -> None:
    def second(*_: object) -> None:
        with pytest.raises(VerificationUnderWay):
            verify(url, VIEWS, alone=True)

    found = verify(url, VIEWS, alone=True, on_progress=second)
    connection = connect(url)
    watch.add(connection, found)
    connection.close()
    assert not watch._due(url, 3600)
    assert watch._due(url, 0)


def test_the_projector_does_it_unless_it_is_switched_off(url: str) -> None:
    stop = threading.Event()
    on = Settings(database_url=SecretStr(url), verify_interval_seconds=0.05)
    with psycopg.connect(url, autocommit=True) as reader, programs.verifying(on, stop):
        eventually(lambda: count(reader) >= 1)
    assert stop.is_set()
    before = set(threading.enumerate())
    off = Settings(database_url=SecretStr(url), verify_interval_seconds=0)
    with programs.verifying(off, threading.Event()):
        assert set(threading.enumerate()) <= before


def test_what_was_just_verified_is_not_verified_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    due = watch._due

    def looking(*asked: object) -> bool:
        looked.append(due(url, 3600))
        return looked[-1]

    monkeypatch.setattr(watch, "_due", looking)
    monkeypatch.setattr(watch, "_LONGEST_PAUSE", 0.01)
    with psycopg.connect(url, autocommit=True) as reader, watching(url, 3600):
        eventually(lambda: len(looked) >= 4)
        assert (looked[0], any(looked[1:]), count(reader)) == (True, False, 1)


def test_a_program_that_ends_does_not_wait_for_it(url: str) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(watch._Stopped):
        watch._verify(url, VIEWS, stop, None)
    with psycopg.connect(url) as reader:
        assert count(reader) == 0


@contextmanager
def watching(url: str, interval: float) -> Iterator[None]:
    """Verify in a thread until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=watch.run, args=(url, VIEWS, interval, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def count(connection: psycopg.Connection[tuple[int]]) -> int:
    row = connection.execute("SELECT count(*) FROM liveops_verifications").fetchone()
    return 0 if row is None else row[0]
