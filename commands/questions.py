"""What was, is or is planned to be in force: questions to the ledger and their exact repetition.

A question names a prefix of the ledger (all of it, as of an instant, or up to a position) and an
instant. Before it is answered it is *pinned*: to the position of the last event that counts, and
to the instant. A token holds the pinned question whole, so that it repeats the answer byte for
byte, on any machine that has the ledger.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from commands.ledger import Ledger, stopped
from commands.models import ContextBody, Position
from commands.prefixes import Prefixes
from ledger.clock import Instant, parse_instant
from ledger.errors import LedgerError
from ledger.live import Live, shadowed
from ledger.resolve import Resolution, Shadowed, disabled, resolve
from ledger.scopes import Context

Json = Any

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
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as JSON, and the position of the last event that it takes account of."""

    body: bytes
    position: int


@dataclass(frozen=True, slots=True)
class Basis:
    """An answer with what it rests on: the prefix of the ledger, and where its values come from.

    `explained` is the resolution, explained; and if the question was for it, the one in shadow.
    """

    answer: Answer
    live: Live
    explained: tuple[Resolution, ...]


class Pinned(BaseModel):
    """A question as its token holds it: nothing in it depends on when it is asked again.

    `stopped` is the instant at which the process that answered first was started frozen.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    position: Position
    at: _AnyInstant
    context: ContextBody
    explain: bool = False
    shadow: bool = False
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

    def __init__(self, ledger: Ledger, prefixes: Prefixes, *, enabled: bool = True) -> None:
        self._ledger = ledger
        self._enabled = enabled
        self.prefixes = prefixes

    def ask(self, question: Question) -> Answer:
        """Answer a question; raises NotFound beyond the head, FutureInstant beyond now."""
        live, at = self._point(question)
        return answered(self._pinned(question, live.position, at), live)

    def repeat(self, token: str) -> Answer:
        """Repeat the answer that carried a token."""
        return answered(*self._asked(token))

    def basis(self, token: str) -> Basis:
        """Repeat the answer that carried a token, with what it rests on."""
        question, live = self._asked(token, explained=True)
        standing = _standing(live, question.stopped)
        asked = question.model_copy(update={"explain": True})
        explained = [_resolved(asked, standing)]
        if question.shadow:
            explained.append(_resolved(asked, shadowed(standing)))
        return Basis(answered(question, live), live, tuple(explained))

    def _asked(self, token: str, *, explained: bool = False) -> tuple[Pinned, Live]:
        question = pinned(token)
        explained = explained or question.explain
        context = question.context.context()
        live = self.prefixes.at(question.position, context, explained=explained)
        if question.at < live.recorded_at:
            raise DamagedToken
        return question, live

    def _point(self, question: Question) -> tuple[Live, Instant]:
        """Find the prefix that ends with the last event that counts, and the instant."""
        live, default = self._prefix(question)
        at = default if question.at is None else question.at
        if at < live.recorded_at:
            position = self._ledger.store.position_at(at)
            context = question.context.context()
            live = self.prefixes.at(position, context, explained=question.explain)
        return live, at

    def _prefix(self, question: Question) -> tuple[Live, Instant]:
        """Find the prefix that is asked of, and the instant that it is asked for."""
        context = question.context.context()
        if question.position is not None:
            live = self.prefixes.at(question.position, context, explained=question.explain)
            return live, live.recorded_at
        if question.as_of is not None:
            head = self._ledger.store.close_instant(question.as_of)
            live = self.prefixes.at(head.position, context, explained=question.explain)
            return live, question.as_of
        live = self.prefixes.newest()
        return live, self._ledger.now(live.recorded_at)

    def _pinned(self, question: Question, position: int, at: Instant) -> Pinned:
        now = question.as_of is None and question.position is None
        return Pinned(
            position=position,
            at=at,
            context=question.context,
            explain=question.explain,
            shadow=question.shadow,
            disabled=not self._enabled,
            stopped=self._stopped(at) if now else None,
        )

    def _stopped(self, at: Instant) -> Instant | None:
        since = self._ledger.frozen_since
        return since if since is not None and since <= at else None

    def now(self, context: Context) -> Resolution:
        """Resolve for a context at this moment, explained; there is no token to repeat it by."""
        live = self.prefixes.newest()
        at = self._ledger.now(live.recorded_at)
        if not self._enabled:
            return disabled(live.catalog, live.position, at)
        return resolve(_standing(live, self._stopped(at)), context, at, explain=True)


def answered(question: Pinned, live: Live) -> Answer:
    """Answer a pinned question from its prefix; raises DamagedToken where it cannot be of it."""
    if question.at < live.recorded_at:
        raise DamagedToken
    standing = _standing(live, question.stopped)
    resolution = _resolved(question, standing)
    answer = resolution.to_json()
    if question.shadow:
        answer["shadow"] = _beside(resolution, _resolved(question, shadowed(standing)))
    answer["token"] = question.token()
    return Answer(orjson.dumps(answer), question.position)


def _standing(live: Live, since: Instant | None) -> Live:
    return live if since is None else stopped(live, since)


def _resolved(question: Pinned, standing: Live) -> Resolution:
    if question.disabled:
        return disabled(standing.catalog, standing.position, question.at)
    context = question.context.context()
    return resolve(standing, context, question.at, explain=question.explain)


def _beside(live: Resolution, shadow: Resolution) -> dict[str, Json]:
    """Write what would be in force with all shadows, explained if the answer is."""
    told = Shadowed.beside(live, shadow).to_json()
    if shadow.explanation is not None:
        told["explanation"] = shadow.to_json()["explanation"]
    return told
