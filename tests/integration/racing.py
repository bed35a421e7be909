"""Writers, a freezer, an auditor and a tailing reader let loose on one ledger; what must hold then.

A toy domain on the bare store: configs are activated unless a freeze is in force. Everything is
decided on what was read from the log and appended on the condition that it has not moved.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from uuid import UUID, uuid4

import orjson
import psycopg

from ledger.clock import Instant, from_datetime
from ledger.errors import FutureInstant, StreamMoved
from ledger.store import Draft, LedgerStore, Request, Stored

WRITERS = 12
ACTIVATIONS = 25
TOGGLES = 30
RETRIED = 0.3

ACTOR = uuid4()
FREEZE = uuid4()
CONFIGS = [uuid4() for _ in range(4)]

Ask = Callable[[Instant], int]


@dataclass
class Observed:
    """What there was to see, by the end and on the way."""

    log: list[Stored] = field(default_factory=list)
    tail: list[Stored] = field(default_factory=list)
    answers: list[tuple[Instant, int]] = field(default_factory=list)


@dataclass
class View:
    """One thread's fold of the log."""

    store: LedgerStore
    position: int = 0
    frozen: bool = False
    versions: Counter[UUID] = field(default_factory=Counter)

    def catch_up(self) -> None:
        for event in self.store.stream(after=self.position):
            self.position = event.position
            self.versions[event.stream] = event.version
            if event.stream == FREEZE:
                self.frozen = event.type == "Frozen"


def race(url: str, *, ask: Ask | None = None, writers: int = WRITERS) -> Observed:
    """Run everybody to the end. `ask` answers an as-of instant; by default it is closed first."""
    seen = Observed()
    over = Event()
    with LedgerStore(url, pool_size=writers + 3) as store, ThreadPoolExecutor(writers + 3) as pool:
        ask = ask or (lambda at: store.close_instant(at).position)
        working = [pool.submit(_activate_many, View(store), keys) for keys in _keys(writers)]
        working.append(pool.submit(_toggle, View(store)))
        watching = [
            pool.submit(_tail, store, over, seen.tail),
            pool.submit(_audit, url, over, seen.answers, ask),
        ]
        try:
            for task in working:
                task.result()
        finally:
            over.set()
        for task in watching:
            task.result()
        seen.log = list(store.stream())
    return seen


def _keys(writers: int) -> list[list[str]]:
    """Idempotency keys; three in ten belong to a neighbour who is using them right now as well."""
    return [
        [
            f"{n}/{(writer + 1) % writers if random.random() < RETRIED else writer}"
            for n in range(ACTIVATIONS)
        ]
        for writer in range(writers)
    ]


def _activate_many(view: View, keys: Sequence[str]) -> None:
    for key in keys:
        while not _activate(view, key):
            pass


def _activate(view: View, key: str) -> bool:
    view.catch_up()
    if view.frozen:
        view.store.wait(view.position, timeout=10)
        return False
    config = random.choice(CONFIGS)
    version = view.versions[config]
    state = orjson.dumps({"key": key})
    try:
        view.store.append(
            [Draft(config, version + 1, "ConfigActivated", state)],
            expected={config: version, FREEZE: view.versions[FREEZE]},
            request=Request(ACTOR, key, b"digest"),
        )
    except StreamMoved:
        return False
    return True


def _toggle(view: View) -> None:
    for turn in range(TOGGLES):
        name = "Unfrozen" if turn % 2 else "Frozen"
        while not _append_freeze(view, name):
            pass


def _append_freeze(view: View, name: str) -> bool:
    view.catch_up()
    version = view.versions[FREEZE]
    try:
        view.store.append([Draft(FREEZE, version + 1, name, b"{}")], expected={FREEZE: version})
    except StreamMoved:  # only a ledger without its lock lets it get here
        return False
    return True


def _tail(store: LedgerStore, over: Event, tail: list[Stored]) -> None:
    """Follow the log by position, as projector and publisher do."""
    while True:
        last_round = over.is_set()
        events = store.read(after=tail[-1].position if tail else 0, limit=100)
        tail.extend(events)
        if last_round and not events:
            return


def _audit(url: str, over: Event, answers: list[tuple[Instant, int]], ask: Ask) -> None:
    """Ask about the last few milliseconds, where writers are at work."""
    with psycopg.connect(url, autocommit=True) as connection:
        while not over.is_set():
            (now,) = connection.execute("SELECT ledger_clock()").fetchone() or ()
            at = from_datetime(now) - random.randint(0, 3000)
            with suppress(FutureInstant):
                answers.append((at, ask(at)))


# --- What must hold ---


def no_gap(seen: Observed) -> None:
    assert [event.position for event in seen.log] == list(range(1, len(seen.log) + 1))


def stamps_increase(seen: Observed) -> None:
    stamps = [event.recorded_at for event in seen.log]
    assert stamps == sorted(set(stamps))


def no_activation_in_a_freeze(seen: Observed) -> None:
    frozen = False
    for event in seen.log:
        assert not (frozen and event.type == "ConfigActivated"), event
        frozen = event.type == "Frozen" if event.stream == FREEZE else frozen


def no_lost_update(seen: Observed) -> None:
    for stream in (FREEZE, *CONFIGS):
        versions = [event.version for event in seen.log if event.stream == stream]
        assert versions == list(range(1, len(versions) + 1))


def no_doubled_request(seen: Observed) -> None:
    keys = Counter(orjson.loads(event.state).get("key", event.position) for event in seen.log)
    assert max(keys.values()) == 1


def tail_misses_nothing(seen: Observed) -> None:
    assert seen.tail == seen.log


def answers_stay(seen: Observed) -> None:
    assert seen.answers
    for at, position in seen.answers:
        assert position == sum(event.recorded_at <= at for event in seen.log)


CHECKS = (
    no_gap,
    stamps_increase,
    no_activation_in_a_freeze,
    no_lost_update,
    no_doubled_request,
    tail_misses_nothing,
    answers_stay,
)


# --- Guards, and how to take one away ---


@dataclass(frozen=True)
class Sabotage:
    """Statements, and replacements in the text of the ledger's own functions."""

    name: str
    statements: Sequence[str] = ()
    replacements: Sequence[tuple[str, str, str]] = ()

    def __str__(self) -> str:
        return self.name

    def install(self, url: str) -> None:
        """Change this database; the text to replace must be there, or nothing would be tested."""
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in self.statements:
                connection.execute(statement.encode())
            for function, old, new in self.replacements:
                _replace(connection, function, old, new)


def _replace(connection: psycopg.Connection, function: str, old: str, new: str) -> None:
    query = "SELECT pg_get_functiondef(%s::regproc)"
    (text,) = connection.execute(query, [function]).fetchone() or ("",)
    assert old in text, f"{function} has no {old!r}"
    connection.execute(text.replace(old, new).encode())


_STEPPING_CLOCK = """
    CREATE OR REPLACE FUNCTION ledger_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN clock_timestamp() - CASE WHEN random() < 0.5 THEN interval '20 ms' ELSE interval '0' END
"""

_NOTIFY = "PERFORM pg_notify("
_SLOW_COMMIT = ("ledger_append", _NOTIFY, f"PERFORM pg_sleep(random() * 0.004); {_NOTIFY}")
_LAST_POSITION = "SELECT coalesce(max(e.position), 0) INTO last_position FROM liveops_events e"
_NEXT_POSITION = "last_position := nextval('positions') - 1; PERFORM pg_sleep(random() * 0.002)"
_LAST_INSTANT = "greatest(clock, last_instant + tick)"

# What the ledger must bear: these take no guard away.
STEPPING_CLOCK = Sabotage("a clock that steps back every other time", [_STEPPING_CLOCK])
SLOW_COMMITS = Sabotage("commits long after their stamp", replacements=[_SLOW_COMMIT])

UNLOCKED = Sabotage(
    "positions from a sequence and no lock",
    ["CREATE SEQUENCE positions", "GRANT USAGE ON positions TO liveops_owner"],
    [
        ("ledger_append", "PERFORM ledger_lock();", ""),
        ("ledger_append", _LAST_POSITION, _NEXT_POSITION),
        _SLOW_COMMIT,
    ],
)
UNEXPECTING = Sabotage(
    "expectations not checked",
    [
        "ALTER TABLE liveops_events"
        " DROP CONSTRAINT liveops_events_originator_id_originator_version_key"
    ],
    [("ledger_append", "IF moved IS NOT NULL", "IF false")],
)
FORGETFUL = Sabotage(
    "requests not looked up",
    replacements=[("ledger_append", "IF request_key IS NOT NULL", "IF false")],
)
TRUSTING = Sabotage(
    "the clock taken as it is",
    [_STEPPING_CLOCK],
    [("ledger_append", _LAST_INSTANT, "clock")],
)
IMPATIENT = Sabotage(
    "closing without the lock",
    replacements=[_SLOW_COMMIT, ("ledger_close", "PERFORM ledger_lock();", "")],
)
CARELESS = Sabotage(
    "closing that is not written down",
    [_STEPPING_CLOCK],
    [("ledger_close", "WHERE c.instant <", "WHERE false AND c.instant <")],
)
