"""Heads of the tree are signed once each, and only those of one history."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest

from ledger.merkle import root
from ledger.notes import Checkpoint, Signer, open_checkpoint, sign_checkpoint
from projections import checkpoints, tree
from projections.catalogue import install
from projections.rebuild import rebuild
from projections.signing import Signing, SigningRefused, run
from projections.tree import TreeView
from projections.views import Connection, connect
from tests.integration.patience import eventually
from tests.integration.projecting import many_configs, project, record, terminate

VIEW = TreeView()
OLD, NEW = (Signer.generate("the-log", bytes([n] * 32)) for n in (1, 2))
EVENTS = many_configs(20).events


@pytest.fixture
def url(database: str) -> str:
    install(database)
    return database


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    connected = connect(url)
    yield connected
    connected.close()


def grow(url: str, first: int, last: int) -> None:
    record(url, EVENTS[first - 1 : last])
    project(url, [VIEW])


def look(connection: Connection, *signers: Signer) -> int | None:
    return Signing(signers or [OLD]).look(connection)


def signed(connection: Connection) -> list[int]:
    return [each.size for each in checkpoints.after(connection, 0, 100)]


def test_nothing_is_signed_of_an_empty_log(connection: Connection) -> None:
    assert look(connection) is None
    assert checkpoints.newest(connection) is None


def test_a_head_is_signed_once(url: str, connection: Connection) -> None:
    grow(url, 1, 6)
    signing = Signing([OLD])
    assert [signing.look(connection) for _ in range(3)] == [6, None, None]
    grow(url, 7, 9)
    assert [signing.look(connection), signed(connection)] == [9, [6, 9]]


def test_it_says_which_log_how_long_and_its_root(url: str, connection: Connection) -> None:
    grow(url, 1, 6)
    look(connection)
    found = checkpoints.newest(connection)
    assert found is not None
    said = open_checkpoint(found[1], [OLD.verifier])
    assert said.origin == f"liveops-ledger/{EVENTS[0].event_id}"
    assert (said.size, said.root) == (6, root(6, tree.nodes(connection, 6)))
    assert checkpoints.log_keys(connection) == [OLD.verifier.text()]


def test_keys_are_changed_by_signing_with_both(url: str, connection: Connection) -> None:
    grow(url, 1, 4)
    assert look(connection, OLD) == 4
    assert [look(connection, OLD, NEW) for _ in range(2)] == [4, None]
    grow(url, 5, 6)
    assert look(connection, NEW) == 6
    first, last = checkpoints.after(connection, 0, 9)
    for verifier in (OLD.verifier, NEW.verifier):
        open_checkpoint(first.note, [verifier])
    open_checkpoint(last.note, [NEW.verifier])
    keys = {OLD.verifier.text(), NEW.verifier.text()}
    assert set(checkpoints.log_keys(connection)) == keys


def test_two_who_sign_agree(url: str, connection: Connection) -> None:
    grow(url, 1, 4)
    with signing_thread(url), signing_thread(url):
        eventually(lambda: signed(connection) == [4])
    assert signed(connection) == [4]


@contextmanager
def signing_thread(url: str) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(url, [OLD], stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


# --- What is not signed ---


def tamper(url: str, *statements: str, rebuilt: Sequence[TreeView] = (VIEW,)) -> None:
    """Change what stands in the log, behind its triggers, and build its tree anew."""
    with psycopg.connect(url) as superuser:
        superuser.execute("ALTER TABLE liveops_events DISABLE TRIGGER USER")
        for statement in statements:
            superuser.execute(statement.encode())
    for view in rebuilt:
        rebuild(url, view)


def test_a_history_that_was_rewritten_is_not_signed(url: str, connection: Connection) -> None:
    grow(url, 1, 8)
    look(connection)
    tamper(
        url,
        "UPDATE liveops_events SET recorded_at = recorded_at + interval '1 us' WHERE position = 3",
    )
    grow(url, 9, 12)
    with pytest.raises(SigningRefused, match="the first 8 events are not those that were signed"):
        look(connection)
    assert signed(connection) == [8]


def test_who_does_not_sign_says_so(
    url: str, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    grow(url, 1, 8)
    look(connection)
    tamper(url, "DELETE FROM liveops_events WHERE position > 7")
    with signing_thread(url):
        eventually(lambda: "not signing: the ledger ends at position 7" in caplog.text)
    assert caplog.records[-1].levelname == "ERROR"


def test_a_lost_connection_does_not_end_it(url: str, connection: Connection) -> None:
    grow(url, 1, 4)
    with signing_thread(url):
        eventually(lambda: signed(connection) == [4])
        terminate(url, "liveops projector")
        grow(url, 5, 6)
        with connect(url) as another:
            eventually(lambda: signed(another) == [4, 6])


def test_an_end_that_is_missing_is_noticed(url: str, connection: Connection) -> None:
    grow(url, 1, 8)
    look(connection)
    tamper(url, "DELETE FROM liveops_events WHERE position > 7")
    with pytest.raises(SigningRefused, match="ends at position 7, and one of 8 events was signed"):
        look(connection)


def test_a_tree_that_is_being_built_is_waited_for(url: str, connection: Connection) -> None:
    grow(url, 1, 8)
    look(connection)
    connection.execute("DELETE FROM liveops_tree")
    assert look(connection) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE liveops_checkpoints SET root = sha256('')",
        "UPDATE liveops_checkpoints SET note = replace(note, E'\\n8\\n', E'\\n9\\n')",
        "UPDATE liveops_checkpoints SET size = 7",
    ],
)
def test_a_checkpoint_that_was_changed_is_noticed(
    url: str, connection: Connection, change: str
) -> None:
    grow(url, 1, 8)
    look(connection)
    connection.execute(change.encode())
    with pytest.raises(SigningRefused):
        look(connection)


def test_a_note_of_another_history_is_noticed(url: str, connection: Connection) -> None:
    grow(url, 1, 8)
    look(connection)
    other = Checkpoint(f"liveops-ledger/{EVENTS[0].event_id}", 8, bytes(32))
    note = sign_checkpoint(other, [OLD])
    connection.execute("UPDATE liveops_checkpoints SET note = %s", (note,))
    with pytest.raises(SigningRefused, match="says something else"):
        look(connection)


def test_a_checkpoint_that_is_gone_is_noticed(url: str, connection: Connection) -> None:
    grow(url, 1, 8)
    signing = Signing([OLD])
    signing.look(connection)
    connection.execute("DELETE FROM liveops_checkpoints")
    with pytest.raises(SigningRefused, match="the checkpoint of 8 events is gone"):
        signing.look(connection)


def test_the_name_of_the_log_stays(url: str, connection: Connection) -> None:
    grow(url, 1, 8)
    look(connection)
    with pytest.raises(SigningRefused, match="is of another log"):
        Signing([OLD], "another").look(connection)
