"""The programs that make up a running ledger: each is one process, put together here.

This is the composition root: nothing else decides which parts are joined, and the settings are
read nowhere else.
"""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from commands.http import create_app
from commands.ledger import Ledger
from commands.settings import Settings
from ledger.catalog import Catalog, shipped_catalog
from ledger.errors import CatalogError
from ledger.store import LedgerStore
from ledger.store import migrate as migrate_ledger
from projections import publisher, runner
from projections.catalogue import VIEWS, install


class NotConfigured(Exception):
    """A setting that this program cannot do without is missing or wrong."""


def migrate(settings: Settings) -> list[str]:
    """Bring the database to this version's schema, and put the catalog in force.

    Needs a login that may create roles and tables. Returns what was done, a line each.
    """
    url = _database(settings)
    done = [f"migrated: {name}" for name in migrate_ledger(url)]
    install(url)
    with open_ledger(settings) as ledger:
        before = ledger.store.head().position
        ledger.adopt(_catalog(settings))
        if ledger.store.head().position > before:
            done.append("adopted the lever catalog")
    return done


def serve(settings: Settings) -> None:
    """Serve the HTTP API until told to stop."""
    with open_ledger(settings) as ledger:
        app = create_app(ledger, settings)
        config = uvicorn.Config(
            app, host=settings.host, port=settings.port, log_level="warning", access_log=False
        )
        uvicorn.Server(config).run()


def project(settings: Settings) -> None:
    """Keep the views in Postgres up with the ledger until told to stop."""
    runner.run(_database(settings), VIEWS, _stop_on_signal())


def publish(settings: Settings) -> None:
    """Keep the topics in Kafka up with the ledger until told to stop."""
    stop = _stop_on_signal()
    publisher.run(_database(settings), _kafka(settings), settings.topic_prefix, stop)


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """Open the ledger for commands and questions."""
    with LedgerStore(_database(settings)) as store:
        yield Ledger(store, strict=settings.bounds_strict, frozen=settings.global_freeze)


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
