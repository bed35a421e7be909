"""Prefixes of the ledger, folded: what questions about any past position are answered from.

A prefix is read from the timeline as far as its question needs it, so that neither the length of
the ledger nor what else is in force counts. Events behind the view's last one are folded onto what
it gives; where there is no view, all of them are. So the view saves work and decides nothing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from commands.ledger import Ledger
from ledger.live import Live
from ledger.parts import COMMON, parts_of
from ledger.scopes import Context

LIMIT = 64
MOST_PARTS = 64
TTL_SECONDS = 60.0


Past = Callable[[int, Collection[str] | None], Live | None]
"""Reads some parts of a prefix, or all (None): one no longer than asked for, or None."""


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """How the kept prefixes serve; ages in seconds, None while there are none.

    A miss is a prefix that had to be read from the database; the newest one never has to be.
    """

    positions: tuple[int, ...]
    limit: int
    ttl: float
    hits: int
    misses: int
    oldest_age: float | None


@dataclass(slots=True)
class _Kept:
    """A prefix: `parts` are what it holds, None if all."""

    live: Live
    parts: frozenset[str] | None
    folded_at: float
    asked_at: float

    def answers(self, context: Context | None, *, explained: bool = True) -> bool:
        """Tell whether it holds all that a context needs; None needs all there is."""
        if self.parts is None or context is None:
            return self.parts is None
        needed = parts_of(self.live.experiments, context, explained=explained)
        return self.parts.issuperset(needed)


class Prefixes:
    """Prefixes of the ledger, the most recently used ones kept.

    A prefix never changes, so none of them can be stale: they are kept to save the reading, and
    forgotten when nobody has asked for them within `ttl` seconds, to free memory.
    """

    def __init__(
        self,
        ledger: Ledger,
        past: Past | None = None,
        *,
        limit: int = LIMIT,
        ttl: float = TTL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._past = past or (lambda _position, _parts: None)
        self._limit = limit
        self._ttl = ttl
        self._clock = clock
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._hits = 0
        self._misses = 0
        self._lock = threading.Lock()

    def at(self, position: int, context: Context, *, explained: bool = True) -> Live:
        """Give what a context's answer needs of the prefix that ends at a position.

        What is given must not be changed. Raises NotFound beyond the head.
        """
        kept = self._found(position)
        if kept is not None and kept.answers(context, explained=explained):
            return self._hit(kept)
        known = frozenset() if kept is None or kept.parts is None else kept.parts
        parts = {*COMMON, *parts_of({}, context), *(known if len(known) < MOST_PARTS else ())}
        read = self._read(position, frozenset(parts))
        if not read.answers(context, explained=explained):
            needed = parts_of(read.live.experiments, context, explained=explained)
            read = self._read(position, parts.union(needed))
        return self._missed(read)

    def whole(self, position: int) -> Live:
        """Give the prefix that ends at a position whole; what is given must not be changed.

        Raises NotFound beyond the head.
        """
        kept = self._found(position)
        if kept is not None and kept.answers(None):
            return self._hit(kept)
        return self._missed(self._read(position, None))

    def _read(self, position: int, parts: Collection[str] | None) -> _Kept:
        start = self._past(position, parts)
        held = None if parts is None else frozenset(parts)
        if start is None:
            start, held = self._nearest(position), None
        now = self._clock()
        return _Kept(self._ledger.live_at(position, start=start), held, now, now)

    def newest(self) -> Live:
        """Give the whole ledger as it is now; what is given must not be changed."""
        with self._ledger.current() as state:
            kept = self._found(state.live.position)
            if kept is not None and kept.answers(None):
                return self._hit(kept)
            live = state.live.copy()
        now = self._clock()
        return self._hit(_Kept(live, None, now, now))

    def _found(self, position: int) -> _Kept | None:
        with self._lock:
            self._forget_idle()
            return self._kept.get(position)

    def _hit(self, kept: _Kept) -> Live:
        with self._lock:
            self._hits += 1
            return self._keep(kept)

    def _missed(self, kept: _Kept) -> Live:
        with self._lock:
            self._misses += 1
            return self._keep(kept)

    def _keep(self, kept: _Kept) -> Live:
        kept.asked_at = self._clock()
        position = kept.live.position
        self._kept[position] = kept
        self._kept.move_to_end(position)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return kept.live

    def _forget_idle(self) -> None:
        """Forget what nobody has asked for; the longest unasked stand in front."""
        since = self._clock() - self._ttl
        while self._kept and next(iter(self._kept.values())).asked_at <= since:
            self._kept.popitem(last=False)

    def _nearest(self, position: int) -> Live | None:
        with self._lock:
            earlier = [
                each for each, kept in self._kept.items() if each < position and kept.parts is None
            ]
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
