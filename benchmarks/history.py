"""What a question to the past costs in a ledger of 10,000, of 100,000 and of a million events.

One ledger that grows, measured at each size. BENCHMARK_EVENTS names other sizes, for a first look:
`BENCHMARK_EVENTS=2000,10000 python -m benchmarks history`.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import psycopg

from benchmarks.bench import Contestant, Row, Taken, percentile, race
from benchmarks.ledgers import START, Past, askers, grow
from benchmarks.replays import bare, elsewhere, evolved, folded, seconds
from commands.history import Histories
from commands.http.views import Views
from commands.ledger import Ledger
from commands.models import ContextBody
from commands.prefixes import Prefixes
from commands.questions import Question, Questions
from ledger.clock import Instant
from ledger.events import envelope
from ledger.live import things
from ledger.merkle import (
    check_consistency,
    check_inclusion,
    consistency,
    inclusion,
    leaf_hash,
    root,
)
from ledger.store import LedgerStore
from ledger.targeting import rule, together
from projections import timeline, tree
from projections.catalogue import VIEWS
from projections.trail import list_audit
from projections.views import Connection

SIZES = tuple(map(int, os.environ.get("BENCHMARK_EVENTS", "10000,100000,1000000").split(",")))
REPLAYED = 1_000_000
"""Events that each side of the replays' race reads; at least three times over the ledger."""

ROUNDS = 30
PAGE = 50
HISTORIES, HISTORY_PAGE = 5, 1000
LEVER = "DROP_RATE_RARE_MULTIPLIER"

_BEGAN = time.monotonic()


@dataclass(slots=True)
class Figures:
    """What was measured at one size; times in microseconds."""

    size: int
    replay: float = 0.0
    memory: float = 0.0
    rebuilt: Mapping[str, float] = field(default_factory=dict)
    taken: Mapping[str, Taken] = field(default_factory=dict)
    history: tuple[float, int] = (0.0, 0)


def rows(database: str) -> Iterator[Row | str]:
    """Measure; `database` is a superuser's URL of a migrated ledger without an event."""
    past, measured = Past(), list[Figures]()
    for size in SIZES:
        _say(f"{size:,} events: appending")
        grow(database, past, size)
        figures = Figures(size)
        yield from _replays(database, figures)
        _rebuild(database, figures)
        _ask(database, figures)
        yield from _alone(figures, measured)
        measured.append(figures)
    yield from _compared(measured)
    yield (
        "cold: all that the process remembers is forgotten before each question (prefixes, "
        "catalogs, rules), not what Postgres does; warm: at a position never asked about before"
    )
    yield "views: each built from the first event, in two processes at a time"


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:4.0f} s] {text}", file=sys.stderr, flush=True)


# --- Full replays ---


def _replays(database: str, figures: Figures) -> Iterator[Row]:
    """Race our fold with a bare cursor, one run each in turns."""
    size = figures.size
    _say(f"{size:,} events: replaying")
    ours, limit = list[float](), list[float]()
    with LedgerStore(database) as store:
        for _ in range(min(20, max(3, REPLAYED // size))):
            limit.append(seconds(lambda: bare(database)))
            ours.append(seconds(lambda: folded(store)))
        figures.replay = min(ours) * 1e6
        against = "bare server-side cursor and orjson.loads"
        rates = size / min(ours), size / min(limit)
        yield Row(f"{size:,} events: full replay", *rates, against, "events/s", least=0.5)
        if size <= 100_000:
            one_by_one = size / seconds(lambda: evolved(store))
            what = f"{size:,} events: full replay, every event decoded (`liveops replay`)"
            yield Row(what, one_by_one, rates[1], against, "events/s")
            if things(evolved(store)) != things(folded(store)):
                raise SystemExit("the two replays differ")
    figures.memory = elsewhere(database, size)


def _rebuild(database: str, figures: Figures) -> None:
    _say(f"{figures.size:,} events: building the views")
    names = [view.name for view in VIEWS]
    with ThreadPoolExecutor(2) as pool:
        took = list(pool.map(lambda name: elsewhere(database, name), names))
    figures.rebuilt = dict(zip(names, took, strict=True))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


# --- Questions ---


def _ask(database: str, figures: Figures) -> None:
    _say(f"{figures.size:,} events: asking")
    with ExitStack() as stack:
        views = Views(database)
        stack.callback(views.close)
        store = stack.enter_context(LedgerStore(database))
        connection = stack.enter_context(views.connection())
        contestants = {
            **_as_of(store, views, figures.size),
            **_audit(connection, figures.size),
            **_proofs(connection, store, figures.size),
        }
        figures.taken = race(contestants, ROUNDS)
        figures.history = _whole_history(store, views)


def _as_of(store: LedgerStore, views: Views, size: int) -> dict[str, Contestant]:
    ledger = Ledger(store)
    warm = Questions(ledger, Prefixes(ledger, views.past))
    cold = Questions(ledger, Prefixes(ledger, views.past))
    chance, players = random.Random(size), askers()
    # Not in the first days, when less was in force and under experiment than ever after.
    first = min(size * 4 // 5, 8000)

    def anew(count: int) -> list[tuple[Question]]:
        return [(_question(chance.randint(first, size), next(players)),) for _ in range(count)]

    again = anew(10)

    def from_nothing(question: Question) -> None:
        cold.prefixes.clear()
        _forget()
        cold.ask(question)

    return {
        "as-of, cold": Contestant(from_nothing, anew),
        "as-of, warm": Contestant(warm.ask, anew),
        "as-of, same instant again": Contestant(
            warm.ask, lambda count: [chance.choice(again) for _ in range(count)]
        ),
    }


def _question(position: int, context: Any) -> Question:
    return Question(ContextBody.model_validate(context.to_json()), position=position)


def _forget() -> None:
    for remembered in _REMEMBERED:
        remembered.cache_clear()


_REMEMBERED = [
    kept
    for module in (timeline, rule, together)
    for kept in vars(module).values()
    if hasattr(kept, "cache_clear")
]


def _whole_history(store: LedgerStore, views: Views) -> tuple[float, int]:
    """Read all that a lever's value for some players ever was: the median time, and changes."""
    ledger = Ledger(store)
    histories = Histories(ledger, Prefixes(ledger, views.past), views)
    took, changes = list[float](), 0
    for context in islice(askers(), HISTORIES):
        began = time.perf_counter()
        following: Instant | None = START
        while following is not None:
            stretch = histories.stretch(following, None)
            page = histories.page(LEVER, context, stretch, HISTORY_PAGE)
            changes, following = changes + len(page.changes), page.next
        took.append(time.perf_counter() - began)
    return percentile(took, 0.5) * 1e6, changes // HISTORIES


def _audit(connection: Connection, size: int) -> dict[str, Contestant]:
    def page(after: int | None, lever: str | None) -> None:
        list_audit(connection, limit=PAGE, after=after, lever=lever)

    depths = {"first page": None, "middle": size // 2, "end": min(size - 1, 3000)}
    return {
        f"audit{of}, {name}": _always(page, after, lever)
        for of, lever in (("", None), (" of a lever", LEVER))
        for name, after in depths.items()
    }


def _always(call: Callable[..., object], *arguments: object) -> Contestant:
    return Contestant(call, lambda count: [arguments] * count)


def _proofs(connection: Connection, store: LedgerStore, size: int) -> dict[str, Contestant]:
    chance, head = random.Random(size), root(size, tree.nodes(connection, size))
    (event,) = store.read(after=size // 3, limit=1)
    leaf = leaf_hash(envelope(event.position, event.recorded_at, event.state))
    old = size // 2 + 1
    old_root = root(old, tree.nodes(connection, old))
    included = inclusion(event.position - 1, size, tree.nodes(connection, size))
    continued = consistency(old, size, tree.nodes(connection, size))

    def anywhere(count: int) -> Sequence[tuple[int]]:
        return [(chance.randrange(1, size),) for _ in range(count)]

    return {
        "inclusion proof made": Contestant(
            lambda index: inclusion(index, size, tree.nodes(connection, size)), anywhere
        ),
        "consistency proof made": Contestant(
            lambda earlier: consistency(earlier, size, tree.nodes(connection, size)), anywhere
        ),
        "inclusion proof checked": _always(
            check_inclusion, leaf, event.position - 1, size, included, head
        ),
        "consistency proof checked": _always(
            check_consistency, old, size, continued, old_root, head
        ),
    }


# --- Rows ---


def _alone(now: Figures, earlier: Sequence[Figures]) -> Iterator[Row]:
    """Tell what one size shows by itself."""
    size = now.size
    for name in ("as-of, cold", "as-of, warm"):
        what = f"{size:,} events: {name}, p99"
        bar = 1 / 200 if size >= 1_000_000 else None
        yield Row(what, now.taken[name].p99 / 1e3, now.replay / 1e3, "full replay", "ms", bar)
    for of in ("audit", "audit of a lever"):
        first = now.taken[f"{of}, first page"].median
        for depth in ("middle", "end"):
            ours = now.taken[f"{of}, {depth}"].median
            what = f"{size:,} events: {of}, {PAGE} entries, {depth}, median"
            yield Row(what, ours / 1e3, first / 1e3, "its first page", "ms", 2)
    for name, taken in now.taken.items():
        if "proof" in name:
            yield Row(f"{size:,} events: {name}, p99", taken.p99 / 1e3, 10, "the bar", "ms", 1)
    took, changes = now.history
    what = f"{size:,} events: history of one lever over all of them, {changes} changes, median"
    yield Row(what, took / 1e3, now.replay / 1e3, "full replay", "ms")
    before = earlier[0] if earlier else now
    for name, took in now.rebuilt.items():
        rates = size / took, before.size / before.rebuilt[name]
        against = f"with {before.size:,} events"
        yield Row(f"{size:,} events: {name} built anew", *rates, against, "events/s")


def _compared(measured: Sequence[Figures]) -> Iterator[Row]:
    """Tell how the largest ledger stands beside the smallest."""
    small, large = measured[0], measured[-1]
    against = f"with {small.size:,} events"
    for name in ("as-of, cold", "as-of, warm", "as-of, same instant again"):
        for share in ("median", "p99"):
            ours, limit = (getattr(each.taken[name], share) / 1e3 for each in (large, small))
            yield Row(f"{large.size:,} events: {name}, {share}", ours, limit, against, "ms", 3)
    what = f"{large.size:,} events: memory of a full replay, the most"
    yield Row(what, large.memory, small.memory, against, "MiB", 1.25)
