"""A replica under watch: new data, and whether it is still fed, told as they change."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from threading import Event, Lock, Thread, current_thread

from consumers.replica import Change, Replica

LOOK_SECONDS = 0.5


class Health(Enum):
    """How a replica fares: it has nothing yet, is up to date, or serves what it had."""

    EMPTY = "empty"
    FRESH = "fresh"
    STALE = "stale"

    @classmethod
    def of(cls, replica: Replica) -> Health:
        """Tell how a replica fares."""
        if not replica.ready:
            return cls.EMPTY
        return cls.FRESH if replica.problem is None else cls.STALE


class Watch:
    """Tells of each other health than before, and of each change of what is served already.

    A replica says by itself when data came, but not when none comes any more: a thread looks.
    """

    def __init__(
        self,
        replica: Replica,
        tell_health: Callable[[Health], None],
        tell_change: Callable[[Change], None],
    ) -> None:
        self._replica = replica
        self._tell_health = tell_health
        self._tell_change = tell_change
        self._known = Health.EMPTY
        self._unsubscribe: Callable[[], None] | None = None
        self._ending = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._look, name="liveops-openfeature", daemon=True)

    def start(self, known: Health) -> None:
        """Begin, from a health that everybody knows of; never after a stop."""
        with self._ending:
            if not self._stop.is_set():
                self._known = known
                self._unsubscribe = self._replica.on_change(self._changed)
                self._thread.start()

    def stop(self) -> None:
        """End it; nothing is told afterwards."""
        with self._ending:
            self._stop.set()
            if self._unsubscribe is not None:
                self._unsubscribe()
        if self._thread.is_alive() and self._thread is not current_thread():
            self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            before, self._known = self._known, Health.of(self._replica)
            if self._known is not before:
                self._tell_health(self._known)

    def _changed(self, change: Change) -> None:
        # The first data of all is no change: that there is any is told as health.
        if self._known is not Health.EMPTY and not self._stop.is_set():
            self._tell_change(change)
