"""Full replays: `fold` beside a bare cursor, and what of memory one takes in a process of its own.

`python -m benchmarks.replays URL POSITION` folds that far and prints the most memory it held, in
MiB; `python -m benchmarks.replays URL VIEW` builds a view anew and prints the seconds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import orjson
import psycopg

from ledger.events import decode
from ledger.folding import fold
from ledger.live import Live, evolve_live
from ledger.store import LedgerStore
from projections.catalogue import VIEWS
from projections.rebuild import rebuild

BATCH = 5000


def main() -> None:
    """Do what is asked for in this process, and print its figure."""
    database, wanted = sys.argv[1:]
    if wanted.isdigit():
        with LedgerStore(database) as store:
            folded(store, int(wanted))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    else:
        (view,) = (view for view in VIEWS if view.name == wanted)
        print(seconds(lambda: rebuild(database, view)))


def elsewhere(database: str, wanted: str | int) -> float:
    """Do it in a process of its own, and return the figure."""
    argv = [sys.executable, "-m", "benchmarks.replays", database, str(wanted)]
    return float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def seconds(call: Callable[[], object]) -> float:
    """Measure one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def bare(database: str) -> None:
    """Read all events by a bare server-side cursor, and parse each."""
    with psycopg.connect(database) as connection, connection.cursor("bare", binary=True) as cursor:
        cursor.itersize = BATCH
        cursor.execute("SELECT position, recorded_at, state FROM liveops_events ORDER BY position")
        for _, _, state in cursor:
            orjson.loads(state)


def folded(store: LedgerStore, upto: int | None = None) -> Live:
    """Fold the ledger, as an answer does that finds no view."""
    return fold(store.states(upto=upto), Live())


def evolved(store: LedgerStore) -> Live:
    """Decode and evolve every event by itself, as `liveops replay` does."""
    live = Live()
    for stored in store.stream():
        evolve_live(live, decode(stored.position, stored.recorded_at, stored.state))
    return live


if __name__ == "__main__":
    main()
