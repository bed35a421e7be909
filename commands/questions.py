"""What was, is or is planned to be in force: questions to the ledger and their exact repetition.

A question names a prefix of the ledger (all of it, as of an instant, or up to a position) and an
instant. Before it is answered it is *pinned*: to the position of the last event that counts, and
to the instant. A token holds the pinned question whole, so that it repeats the answer byte for
byte, on any machine that has the ledger.
"""

from __future__ import annotations

import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from commands.ledger import Ledger, stopped
from commands.models import ContextBody, Position
from ledger.clock import Instant, parse_instant
from ledger.errors import LedgerError
from ledger.live import Live
from ledger.resolve import disabled, resolve

Json = Any

PREFIXES = 64

_CHECKSUM_BYTES = 8
_FIRST, _LAST = (
    parse_instant(text) for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")
)
_AnyInstant = Annotated[int, Field(ge=_FIRST, le=_LAST)]


class DamagedToken(LedgerError):
    """The token is not one that an answer carried, or it was damaged on its way."""

    status = 400
    slug = "bad-token"


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks and when; at most one of `as_of` and `position` is there.

    `at` None means: as_of, or the recorded_at of the position, or now.
    """

    context: ContextBody
    at: Instant | None = None
    as_of: Instant | None = None
    position: int | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as JSON, and the position of the last event that it takes account of."""

    body: bytes
    position: int


class Pinned(BaseModel):
    """A question as its token holds it: nothing in it depends on when it is asked again.

    `stopped` is the instant at which the process that answered first was started frozen.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    position: Position
    at: _AnyInstant
    context: ContextBody
    explain: bool = False
    disabled: bool = False
    stopped: _AnyInstant | None = None

    def token(self) -> str:
        """Write the question as URL-safe text."""
        text = orjson.dumps(self.model_dump(exclude_defaults=True))
        return urlsafe_b64encode(_checksum(text) + text).decode().rstrip("=")


def pinned(token: str) -> Pinned:
    """Read a question from its token; raises DamagedToken."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        checksum, text = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
        if checksum == _checksum(text):
            return Pinned.model_validate(orjson.loads(text))
    except (ValueError, ValidationError):
        pass
    raise DamagedToken


def _checksum(text: bytes) -> bytes:
    return sha256(text).digest()[:_CHECKSUM_BYTES]


class Questions:
    """Answers questions over one ledger; safe to use from many threads."""

    def __init__(self, ledger: Ledger, *, enabled: bool = True, prefixes: int = PREFIXES) -> None:
        self._ledger = ledger
        self._enabled = enabled
        self.prefixes = Prefixes(ledger, prefixes)

    def ask(self, question: Question) -> Answer:
        """Answer a question; raises NotFound beyond the head, FutureInstant beyond now."""
        return self._answer(self._pin(question))

    def repeat(self, token: str) -> Answer:
        """Repeat the answer that carried a token."""
        return self._answer(pinned(token))

    def _pin(self, question: Question) -> Pinned:
        position, at = self._point(question)
        live = question.as_of is None and question.position is None
        since = self._ledger.frozen_since if live else None
        return Pinned(
            position=position,
            at=at,
            context=question.context,
            explain=question.explain,
            disabled=not self._enabled,
            stopped=since if since is not None and since <= at else None,
        )

    def _point(self, question: Question) -> tuple[int, Instant]:
        """Find the last position that counts, and the instant."""
        position, recorded_at, default = self._prefix(question)
        at = default if question.at is None else question.at
        if at < recorded_at:
            position = self._ledger.store.position_at(at)
        return position, at

    def _prefix(self, question: Question) -> tuple[int, Instant, Instant]:
        """Find the end of the prefix, its recorded_at, and the instant it is asked for."""
        if question.position is not None:
            recorded_at = self.prefixes.at(question.position).recorded_at
            return question.position, recorded_at, recorded_at
        if question.as_of is not None:
            head = self._ledger.store.close_instant(question.as_of)
            return head.position, head.recorded_at, question.as_of
        live = self.prefixes.newest()
        return live.position, live.recorded_at, self._ledger.now(live.recorded_at)

    def _answer(self, question: Pinned) -> Answer:
        live = self.prefixes.at(question.position)
        if question.at < live.recorded_at:
            raise DamagedToken
        if question.disabled:
            resolution = disabled(live.catalog, live.position, question.at)
        else:
            if question.stopped is not None:
                live = stopped(live, question.stopped)
            context = question.context.context()
            resolution = resolve(live, context, question.at, explain=question.explain)
        answer = {**resolution.to_json(), "token": question.token()}
        return Answer(orjson.dumps(answer), question.position)


# --- Folded prefixes ---


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """How the folded prefixes are used; ages in seconds, None while there are none.

    A miss is a prefix that had to be folded from the ledger; the newest one never has to be.
    """

    size: int
    limit: int
    hits: int
    misses: int
    oldest_age: float | None


class Prefixes:
    """Folded prefixes of the ledger, the most recently used ones kept.

    A prefix never changes, so none of them can be stale: they are kept to save the fold.
    """

    def __init__(self, ledger: Ledger, limit: int = PREFIXES) -> None:
        self._ledger = ledger
        self._limit = limit
        self._kept: OrderedDict[int, tuple[Live, float]] = OrderedDict()
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
                kept = self._kept.get(state.live.position)
            live = state.live.copy() if kept is None else kept[0]
        if kept is None:
            self._keep(live)
        return live

    def _found(self, position: int) -> Live | None:
        with self._lock:
            if position not in self._kept:
                self._misses += 1
                return None
            self._hits += 1
            self._kept.move_to_end(position)
            return self._kept[position][0]

    def _keep(self, live: Live) -> None:
        with self._lock:
            self._kept[live.position] = live, time.monotonic()
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)

    def _nearest(self, position: int) -> Live | None:
        with self._lock:
            earlier = [kept for kept in self._kept if kept < position]
            return self._kept[max(earlier)][0] if earlier else None

    def clear(self) -> int:
        """Forget all of them and tell how many there were."""
        with self._lock:
            count = len(self._kept)
            self._kept.clear()
            return count

    def statistics(self) -> CacheStatistics:
        """Tell how they are used."""
        with self._lock:
            ages = [time.monotonic() - kept_at for _, kept_at in self._kept.values()]
            oldest = max(ages, default=None)
            return CacheStatistics(len(ages), self._limit, self._hits, self._misses, oldest)
