"""The programs that make up a running ledger: each is one process, put together here.

This is the composition root: nothing else decides which parts are joined, and the settings are
read nowhere else. What one program alone needs is imported by it alone: they start, and start
again after a crash, in half the time.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console

from commands.ledger import Ledger
from commands.settings import Settings
from ledger.catalog import Catalog, shipped_catalog
from ledger.errors import CatalogError
from ledger.store import LedgerStore
from ledger.store import migrate as migrate_ledger
from projections.catalogue import VIEWS, install, upgrade
from projections.views import Progress

if TYPE_CHECKING:
    from commands.replay import Replayed
    from projections.verification import Verdict

SERVING = "serving"
"""What a program says once it has caught up."""


class NotConfigured(Exception):
    """A setting that this program cannot do without is missing or wrong."""


def migrate(settings: Settings) -> list[str]:
    """Bring the database to this version's schema, and put the catalog in force.

    Needs a login that may create roles and tables. Returns what was done, a line each.
    """
    url = _database(settings)
    done = [f"migrated: {name}" for name in migrate_ledger(url)]
    install(url)
    done += [f"built anew: {name}" for name in upgrade(url)]
    with open_ledger(settings) as ledger:
        before = ledger.store.head().position
        ledger.adopt(_catalog(settings))
        if ledger.store.head().position > before:
            done.append("adopted the lever catalog")
    return done


def serve(settings: Settings) -> None:
    """Serve the HTTP API until told to stop."""
    import uvicorn

    from commands.http import create_app

    with open_ledger(settings) as ledger:
        app = create_app(ledger, settings)
        config = uvicorn.Config(
            app, host=settings.host, port=settings.port, log_level="warning", access_log=False
        )
        uvicorn.Server(config).run()


def project(settings: Settings) -> None:
    """Keep the views in Postgres up with the ledger until told to stop, and sign its tree.

    Where Kafka is named, what games report there is taken down as well.
    """
    from projections import runner

    serving = _Once()
    behind = {view.name for view in VIEWS}
    stop = _stop_on_signal()

    def progress(made: Progress) -> None:
        if made.position >= made.head:
            behind.discard(made.view)
        if not behind:
            serving()

    with _signing(settings, stop), _telemetry(settings, stop), verifying(settings, stop):
        runner.run(_database(settings), VIEWS, stop, progress)


@contextmanager
def _telemetry(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Take down what games report on Kafka beside what goes on, if a Kafka is named."""
    if settings.kafka_bootstrap is None:
        yield
        return
    from projections import telemetry

    # What the client says of every attempt to connect, the reader says once, and better.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    arguments = (_database(settings), settings.kafka_bootstrap, settings.topic_prefix, stop)
    thread = threading.Thread(target=telemetry.run, args=arguments, name="telemetry")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _signing(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Sign the tree's head beside what goes on, if there are keys to sign with."""
    from commands.keys import read_keys
    from projections import signing

    keys = read_keys(settings.signing_keys)
    if not keys:
        yield
        return
    arguments = (_database(settings), keys, stop, settings.log_origin)
    thread = threading.Thread(target=signing.run, args=arguments, name="signing")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def verifying(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Compare with the ledger, beside what goes on, all that was made of it."""
    if not settings.verify_interval_seconds:
        yield
        return
    from projections import watch
    from projections.verification import Evidence

    held = Evidence(origin=settings.log_origin)
    arguments = (_database(settings), VIEWS, settings.verify_interval_seconds, stop, held)
    thread = threading.Thread(target=watch.run, args=arguments, name="verifying")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def publish(settings: Settings, *, supervised: bool = False) -> None:
    """Keep the topics in Kafka up with the ledger until told to stop.

    `supervised`: end with RecordsWithheld when only a new, empty broker can help.
    """
    from projections import publisher

    # What the client says of every attempt to connect, the publisher says once, and better.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    database, kafka, stop = _database(settings), _kafka(settings), _stop_on_signal()
    prefix = settings.topic_prefix
    publisher.run(database, kafka, prefix, stop, _Once(), supervised=supervised)


def rebuild(settings: Settings, names: Sequence[str], console: Console) -> None:
    """Build views anew from the whole ledger and swap them in, showing how far it is."""
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from projections.rebuild import rebuild as rebuild_view

    known = {view.name: view for view in VIEWS}
    for name in names or known:
        if name not in known:
            raise NotConfigured(f"there is no view {name}: there are {', '.join(known)}")
        with Bar(console=console) as bar:
            task = bar.add_task(name, total=None)

            def show(made: Progress, bar: Bar = bar, task: TaskID = task) -> None:
                bar.update(task, completed=made.position, total=made.head)

            rebuild_view(_database(settings), known[name], show)


def replay(settings: Settings, upto: int | None, report: Callable[[int, int], None]) -> Replayed:
    """Fold the ledger from its first event on."""
    from commands import replay as replaying

    with LedgerStore(_database(settings), role="liveops_reader", pool_size=1) as store:
        return replaying.replay(store, upto, report)


def verify(
    settings: Settings,
    upto: int | None,
    checkpoint: Path | None,
    keys: Sequence[str],
    report: Callable[[str, int, int], None],
) -> Verdict:
    """Compare with the ledger all that was made of it, and with what was signed."""
    from commands.replay import evidence
    from projections import verification

    held = evidence(checkpoint, keys, settings.log_origin)
    url = _database(settings)
    return verification.verify(url, VIEWS, upto=upto, evidence=held, on_progress=report)


class _Once:
    """Says on standard output, the first time it is called, that the program serves."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self) -> None:
        if not self._said:
            self._said = True
            sys.stdout.write(SERVING + "\n")
            sys.stdout.flush()


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """Open the ledger for commands and questions."""
    with LedgerStore(_database(settings)) as store:
        yield Ledger(store, strict=settings.bounds_strict, frozen=settings.global_freeze)


def log_origin(settings: Settings) -> str:
    """Name the log of a ledger that has been migrated, as its checkpoints do."""
    from projections.checkpoints import named_after

    if settings.log_origin is not None:
        return settings.log_origin
    with LedgerStore(_database(settings), role="liveops_reader", pool_size=1) as store:
        first = store.read(after=0, limit=1)
    if not first:
        raise NotConfigured("the ledger is empty, so its log has no name: set LIVEOPS_LOG_ORIGIN")
    return named_after(first[0].state)


def _database(settings: Settings) -> str:
    if settings.database_url is None:
        raise NotConfigured("LIVEOPS_DATABASE_URL is not set: name the ledger's PostgreSQL")
    return settings.database_url.get_secret_value()


def _kafka(settings: Settings) -> str:
    if settings.kafka_bootstrap is None:
        raise NotConfigured("LIVEOPS_KAFKA_BOOTSTRAP is not set: name the Kafka brokers")
    return settings.kafka_bootstrap


def _catalog(settings: Settings) -> Catalog:
    if settings.catalog is None:
        return shipped_catalog()
    try:
        return Catalog.from_json(json.loads(settings.catalog.read_bytes()))
    except (OSError, ValueError) as error:
        raise NotConfigured(
            f"LIVEOPS_CATALOG={settings.catalog} cannot be read: {error}"
        ) from error
    except CatalogError as error:
        wrong = "; ".join(f"{e['pointer']}: {e['detail']}" for e in error.errors) or error.message
        raise NotConfigured(f"LIVEOPS_CATALOG={settings.catalog} is refused: {wrong}") from error


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()

    def tell(number: int, _: FrameType | None) -> None:
        logging.getLogger(__name__).info("stopping on signal %s", number)
        stop.set()

    signal.signal(signal.SIGTERM, tell)
    signal.signal(signal.SIGINT, tell)
    return stop
