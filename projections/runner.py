"""Keeps the views up with the ledger: one leader, batches, rows and position in one transaction.

The leader holds an advisory lock of the very session that writes. When that session is gone, so
is the lock, and whatever it had not committed; so there are never two writers. Others stand by.

A notification tells at once that something was appended; a look every half second guarantees it.
Nothing is lost with a lost connection: another is made, for ever, and the views go on where their
own rows say that they stand. A view that cannot go on is reported and tried again, while the
others go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg

from ledger.errors import LedgerError
from projections import sql
from projections.rebuild import Rebuild
from projections.views import (
    Connection,
    Feed,
    Progress,
    Standing,
    View,
    close,
    connect,
    head,
    stand,
    standings,
)

_log = logging.getLogger(__name__)

_POLL = 0.5
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_LONGEST_REST = 30.0

Report = Callable[[Progress], None]


def run(
    url: str,
    views: Sequence[View],
    stop: threading.Event,
    on_progress: Report | None = None,
) -> None:
    """Keep the views up with the ledger until `stop` is set.

    `url` names a login that may become liveops_projector, and liveops_owner if a view is to be
    built anew because its version has changed. `on_progress` is called after every batch, from
    this thread; it must not raise.
    """
    pause = _Pause(_LONGEST_PAUSE)
    while not stop.is_set():
        try:
            _work(url, views, stop, on_progress or _ignore, pause)
        except psycopg.Error as error:
            seconds = pause.longer()
            _log.warning("the database is away; again in %.1f s: %s", seconds, _line(error))
            stop.wait(seconds)


def _ignore(_: Progress) -> None:
    pass


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Pause:
    """How long to wait before the next try: twice as long after each failure, up to a limit."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._next = _FIRST_PAUSE

    def longer(self) -> float:
        """Return the next pause, in seconds."""
        seconds = self._next
        self._next = min(2 * seconds, self._longest)
        return seconds

    def reset(self) -> None:
        """Start over: something succeeded."""
        self._next = _FIRST_PAUSE


def _work(
    url: str, views: Sequence[View], stop: threading.Event, report: Report, pause: _Pause
) -> None:
    connection = connect(url)
    try:
        _stand_by(connection, stop, pause)
        # Before the first look: what is appended after that look is notified.
        connection.execute(sql.queries()["listen"])
        lanes = _lanes(connection, views, report)
        while not stop.is_set():
            if not _turn(connection, lanes):
                _wait(connection)
            pause.reset()
    finally:
        close(connection)


def _stand_by(connection: Connection, stop: threading.Event, pause: _Pause) -> None:
    """Return as the leader, or because of `stop`."""
    waiting = False
    while not stop.is_set():
        row = connection.execute(sql.queries()["lead"]).fetchone()
        if row == (True,):
            _log.info("leading")
            return
        if not waiting:
            _log.info("standing by: another runner leads")
        waiting = True
        pause.reset()
        stop.wait(_POLL)


def _lanes(connection: Connection, views: Sequence[View], report: Report) -> list[_Lane]:
    feed = Feed()
    return [_Lane(connection, view, feed, report) for view in views]


def _turn(connection: Connection, lanes: Sequence[_Lane]) -> bool:
    """Bring every view a batch forward; False when none moved."""
    standing = standings(connection)
    newest = head(connection)
    moved = [lane.advance(standing.get(lane.view.name), newest) for lane in lanes]
    return any(moved)


def _wait(connection: Connection) -> None:
    for _ in connection.notifies(timeout=_POLL, stop_after=1):
        pass


class _Lane:
    """One view on its way, on the leader's connection."""

    def __init__(self, connection: Connection, view: View, feed: Feed, report: Report) -> None:
        self.view = view
        self._connection = connection
        self._feed = feed
        self._report = report
        self._rebuild: Rebuild | None = None
        self._pause = _Pause(_LONGEST_REST)
        self._resting_until = 0.0
        self._told = False

    def advance(self, standing: Standing | None, newest: int) -> bool:
        """Bring the view a batch forward; False when it did not move.

        Raises only when the connection is lost: every other trouble is this view's own.
        """
        if time.monotonic() < self._resting_until:
            return False
        try:
            moved = self._advance(standing, newest)
        except Exception as error:
            if self._connection.closed:
                raise
            self._rest(error, standing, newest)
            return False
        if moved:
            self._pause.reset()
        return moved

    def _advance(self, standing: Standing | None, newest: int) -> bool:
        if standing is None:
            raise LedgerError("it is not in the database: run projections.catalogue.install")
        if standing.version > self.view.version:
            raise LedgerError(f"a newer program has made it version {standing.version}")
        if standing.version < self.view.version:
            return self._build(newest)
        if standing.position < newest:
            return self._follow(newest)
        # Told once, or whoever waits for a view that has nothing to catch up with waits for ever.
        if not self._told:
            self._tell(standing.position, newest)
        return False

    def _tell(self, position: int, newest: int) -> None:
        self._told = True
        self._report(Progress(self.view.name, position, newest))

    def _follow(self, newest: int) -> bool:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(sql.queries()["hold_standing"], {"name": self.view.name})
            version, position = cursor.fetchone() or (None, 0)
            if version != self.view.version:
                return False
            batch = self._feed.after(self._connection, position)
            if not batch:
                return False
            self.view.apply(cursor, batch)
            stand(self._connection, self.view, batch[-1])
        self._tell(batch[-1].position, newest)
        return True

    def _build(self, newest: int) -> bool:
        self._rebuild = self._rebuild or Rebuild(self._connection, self.view)
        if not self._rebuild.step() and self._rebuild.swap():
            _log.info("%s is now version %s", self.view.name, self.view.version)
            self._report(replace(self._rebuild.progress(), rebuilding=False))
            self._rebuild = None
            return True
        self._report(self._rebuild.progress())
        return self._rebuild.position < newest

    def _rest(self, error: Exception, standing: Standing | None, newest: int) -> None:
        seconds = self._pause.longer()
        self._resting_until = time.monotonic() + seconds
        position = standing.position if standing else 0
        _log.warning(
            "%s is stuck at position %s; again in %.1f s: %s",
            self.view.name,
            position,
            seconds,
            _line(error),
            exc_info=not isinstance(error, LedgerError),
        )
        self._report(Progress(self.view.name, position, newest, error=_line(error)))
