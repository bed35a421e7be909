"""Folded prefixes of the ledger: what questions about any past position are answered from."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from commands.ledger import Ledger
from ledger.live import Live

LIMIT = 64
TTL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """How the folded prefixes serve; ages in seconds, None while there are none.

    A miss is a prefix that had to be folded from the ledger; the newest one never has to be.
    """

    positions: tuple[int, ...]
    limit: int
    ttl: float
    hits: int
    misses: int
    oldest_age: float | None


@dataclass(slots=True)
class _Kept:
    live: Live
    folded_at: float
    asked_at: float


class Prefixes:
    """Folded prefixes of the ledger, the most recently used ones kept.

    A prefix never changes, so none of them can be stale: they are kept to save the fold, and
    forgotten when nobody has asked for them within `ttl` seconds, to free memory.
    """

    def __init__(
        self,
        ledger: Ledger,
        limit: int = LIMIT,
        ttl: float = TTL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._limit = limit
        self._ttl = ttl
        self._clock = clock
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._hits = 0
        self._misses = 0
        self._lock = threading.Lock()

    def at(self, position: int) -> Live:
        """Give the prefix that ends at a position; what is given must not be changed.

        Raises NotFound beyond the head.
        """
        found = self._found(position)
        if found is None:
            found = self._ledger.live_at(position, start=self._nearest(position))
            self._keep(found)
        return found

    def newest(self) -> Live:
        """Give the whole ledger as it is now; what is given must not be changed."""
        with self._ledger.current() as state:
            with self._lock:
                self._hits += 1
                kept = self._asked(state.live.position)
            live = state.live.copy() if kept is None else kept
        if kept is None:
            self._keep(live)
        return live

    def _found(self, position: int) -> Live | None:
        with self._lock:
            found = self._asked(position)
            self._hits += found is not None
            self._misses += found is None
            return found

    def _asked(self, position: int) -> Live | None:
        self._forget_idle()
        kept = self._kept.get(position)
        if kept is None:
            return None
        kept.asked_at = self._clock()
        self._kept.move_to_end(position)
        return kept.live

    def _keep(self, live: Live) -> None:
        with self._lock:
            now = self._clock()
            self._kept[live.position] = _Kept(live, now, now)
            self._kept.move_to_end(live.position)
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)

    def _forget_idle(self) -> None:
        """Forget what nobody has asked for; the longest unasked stand in front."""
        since = self._clock() - self._ttl
        while self._kept and next(iter(self._kept.values())).asked_at <= since:
            self._kept.popitem(last=False)

    def _nearest(self, position: int) -> Live | None:
        with self._lock:
            earlier = [kept for kept in self._kept if kept < position]
            return self._kept[max(earlier)].live if earlier else None

    def clear(self) -> int:
        """Forget all of them and tell how many there were."""
        with self._lock:
            self._forget_idle()
            count = len(self._kept)
            self._kept.clear()
            return count

    def statistics(self) -> CacheStatistics:
        """Tell how they serve."""
        with self._lock:
            self._forget_idle()
            positions = tuple(sorted(self._kept))
            ages = [self._clock() - kept.folded_at for kept in self._kept.values()]
            oldest = max(ages, default=None)
            return CacheStatistics(
                positions, self._limit, self._ttl, self._hits, self._misses, oldest
            )
