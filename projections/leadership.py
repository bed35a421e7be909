"""Who may publish: whoever's database session holds the lock. Others stand by.

The lock only keeps two publishers from getting in each other's way. What keeps a leader that was
frozen and woken from publishing is the fencing of its Kafka transactions (`projections.topics`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from projections import sql

_LOOK_SECONDS = 0.5
_OPTIONS: Mapping[str, Any] = {
    "connect_timeout": 5,
    "application_name": "liveops publisher",
    # Where the database, or we, vanish without a word, both ends find out within 20 s.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}


class Leadership:
    """The lead of one ledger's publication under one prefix. Use as a context."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix

    def __enter__(self) -> Self:
        given = conninfo_to_dict(self._url)
        missing = {name: value for name, value in _OPTIONS.items() if name not in given}
        self._session = psycopg.connect(make_conninfo(self._url, **missing), autocommit=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def take(self, stop: Event, standing_by: Callable[[], None]) -> bool:
        """Wait for the lead; False when a stop comes first. Says `standing_by` where it waits."""
        waiting = False
        while not stop.is_set():
            if self._try():
                return True
            if not waiting:
                standing_by()
            waiting = True
            stop.wait(_LOOK_SECONDS)
        return False

    def confirm(self) -> None:
        """Make sure that the session, and with it the lock, is still ours; raises psycopg.Error."""
        self._session.execute(b"SELECT")

    def _try(self) -> bool:
        statement = sql.read("lead_publication.sql")
        row = self._session.execute(statement, {"prefix": self._prefix}).fetchone()
        return row == (True,)
