"""The ledger inside a game's process: fed by Kafka alone, resolving without any input or output.

    replica = Replica("kafka:9092")
    replica.start()
    replica.wait_ready(timeout=30)
    answer = replica.resolve(Context("session", turn_id=7, world_id="world.forest_glade"))

A thread of its own follows the feed and swaps whole states in; readers take no lock and never see
half a command. What has been served is never taken back: while the feed is away, or makes no
sense, the last good state is served, and `problem` says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from threading import Condition, Event, Thread, current_thread
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from consumers.answers import Answers, Exposure, NotReady, Sampling
from consumers.feed import Feed, FeedLost
from consumers.logs import log
from consumers.memo import CacheStatistics
from consumers.prefix import Change, Forked, Gap, Mark, Prefix, change, start_from
from consumers.session import Pinning, Session
from consumers.views import GameSystems
from ledger.clock import Instant
from ledger.cloudevents import Unreadable
from ledger.live import Live
from ledger.plan import Plan
from ledger.resolve import Resolution
from ledger.samples import Sample
from ledger.scopes import Context, Scope
from ledger.topics import Topics

__all__ = ["Change", "Exposure", "NotReady", "Replica", "Session"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_ASK_SECONDS = 1.0
_STALE_SECONDS = 5.0
_CLOSE_SECONDS = 15.0

Listener = Callable[[Change], None]


class Replica:
    """A read-only copy of what resolution needs, kept up with the ledger.

    `bootstrap` is `host:port[,host:port]`; `kafka` are options of kafka-python's clients, for
    security. With `enabled` False every answer is the catalog's defaults, as
    LIVEOPS_ENABLED=false demands. An answer is kept for its turn for at most `cache_ttl_ms`.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        prefix: str = "liveops",
        enabled: bool = True,
        cache_ttl_ms: int = 60_000,
        **kafka: Any,
    ) -> None:
        self._bootstrap = bootstrap
        self._topics = Topics(prefix)
        self._kafka = kafka
        self._answers = Answers(cache_ttl_ms / 1000, enabled=enabled)
        self._moved = Condition()
        self._listeners: tuple[Listener, ...] = ()
        self._stop = Event()
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begin to follow the feed, and return at once, whether there is a broker or not."""
        if self._thread is None:
            self._thread = Thread(target=self._keep_up, name="liveops-replica", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop following the feed; what was served last stays."""
        self._stop.set()
        with self._moved:
            self._moved.notify_all()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join(_CLOSE_SECONDS)

    # --- How it fares ---

    @property
    def ready(self) -> bool:
        """Whether there is anything to serve: data that was applied, not merely a connection."""
        return self._answers.plan is not None

    @property
    def closed(self) -> bool:
        """Whether it was closed: it serves what it has, and follows nothing."""
        return self._stop.is_set()

    @property
    def position(self) -> int:
        """The position that is served; 0 before there is one. It never goes back."""
        plan = self._answers.plan
        return 0 if plan is None else plan.position

    @property
    def recorded_at(self) -> Instant:
        """When the event at `position` was recorded."""
        plan = self._answers.plan
        return 0 if plan is None else plan.recorded_at

    @property
    def age(self) -> float:
        """Seconds since a broker last answered; infinite before it ever did."""
        return self._answers.age

    @property
    def problem(self) -> str | None:
        """What is wrong with the feed, in words for people; None when nothing is."""
        trouble, age = self._answers.trouble, self.age
        if trouble is None and _STALE_SECONDS < age < inf:
            return f"no broker at {self._bootstrap} has answered for {age:.0f} s"
        return trouble

    @property
    def rule_errors(self) -> Mapping[UUID, int]:
        """How often the targeting rules of each config failed: it did not apply then."""
        return dict(self._answers.errors)

    @property
    def shadow_differences(self) -> Mapping[tuple[str, Scope], int]:
        """How many answers differed from what they would be with the configs in shadow.

        By lever, and by the scope of the config in shadow that says something of it.
        """
        return dict(self._answers.differences)

    def cache(self) -> CacheStatistics:
        """Read how the memo of sessions and their turns fares."""
        return self._answers.memo.statistics()

    def clear_cache(self) -> None:
        """Forget all sessions and turns: each is answered anew, from the newest state."""
        self._answers.memo.clear()

    def wait_ready(self, timeout: float) -> bool:
        """Wait until there is data to serve; False when `timeout` seconds pass, or at a close."""
        return self.wait_for(1, timeout)

    def wait_for(self, position: int, timeout: float) -> bool:
        """Wait until a position is served; False when `timeout` seconds pass, or at a close."""
        with self._moved:
            self._moved.wait_for(lambda: self._arrived(position) or self._stop.is_set(), timeout)
        return self._arrived(position)

    def _arrived(self, position: int) -> bool:
        return self.ready and self.position >= position

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Have a function called after every swap; returns what ends that.

        It is called in the thread that follows the feed: one that takes long holds the feed up,
        one that fails is logged and does not.
        """
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(kept for kept in self._listeners if kept is not listener)

        return unsubscribe

    def on_exposure(self, listener: Callable[[Exposure], None]) -> None:
        """Have a function called when a session is first given its variation of an experiment.

        It is called in the thread that asks: it should only take note.
        """
        self._answers.listeners = (*self._answers.listeners, listener)

    def on_sample(self, listener: Callable[[Sample], None], *, share: float) -> None:
        """Have one function called with the answers of a share of all turns, from 0 to 1.

        It is called in the thread that asks: it should only take note. `consumers.samples` reports
        them to the ledger.
        """
        from random import random

        self._answers.sampling = Sampling(share, listener, random)

    # --- Answers ---

    def resolve(
        self,
        context: Context,
        *,
        at: Instant | None = None,
        explain: bool = False,
        pin: Pinning | None = None,
    ) -> Resolution:
        """Resolve all levers for a context; raises NotReady before any data has arrived.

        `at` is now by default; an instant before the newest event is raised to that event's, and
        the answer names the one used. The first question of a turn (session and turn id) pins the
        state, and the instant, that all of the turn is answered from, until a lever is killed or
        restored. With `pin` the first question of the session does so, for all of the session, and
        kills are heeded all the same. Nothing in the answer is to be changed.
        """
        return self._answers.ask(context, at, explain, pin)

    def session(self, context: Context, *, pin: Pinning | None = None) -> Session:
        """Begin a session, or go on with it: its `turn` is the fast way to resolve."""
        return self._answers.session(context, pin)

    def end_session(self, session_id: str) -> None:
        """Forget a session, and what it is pinned to."""
        self._answers.memo.forget(session_id)

    def game(self, context: Context) -> GameSystems:
        """Resolve for a context, as typed views for the systems of a game."""
        return GameSystems(self.resolve(context))

    # --- Following the feed ---

    def _keep_up(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            began, position = time.monotonic(), self.position
            try:
                with Feed(self._bootstrap, self._topics, self._kafka) as feed:
                    self._follow(feed, self._catch_up(feed))
            except Exception as error:
                self._note(error)
            if self.position > position or time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _note(self, error: Exception) -> None:
        expected = isinstance(error, (Forked, Gap, FeedLost, Unreadable))
        words = str(error) if expected else f"{type(error).__name__}: {error}"
        if words != self._answers.trouble and not self._stop.is_set():
            log().warning("serving position %d: %s", self.position, words)
        self._answers.trouble = words

    def _catch_up(self, feed: Feed) -> Prefix:
        """Build a prefix aside and serve it: from the compacted topic and the events after it."""
        live = start_from(feed.state())
        self._answers.contact = time.monotonic()
        if live is None:
            return self._build(feed, None, None)
        try:
            # From what is served on, where there is any: the new state must continue that.
            return self._build(
                feed, live, min(live.recorded_at, self.recorded_at or live.recorded_at)
            )
        except Gap:
            # Their time did not lead to the events that follow: look for them among all.
            return self._build(feed, live, None)

    def _build(self, feed: Feed, live: Live | None, since: Instant | None) -> Prefix:
        prefix = Prefix(live, Mark(self.position, self.recorded_at))
        feed.follow(since)
        goal = feed.end()
        while not self._stop.is_set():
            self._poll(feed, prefix)
            prefix.apply()
            if feed.offset() < goal:
                continue
            # Topics that were emptied are being filled again: what is served never goes back.
            if prefix.plan.position >= max(self.position, 1):
                if not prefix.confirmed:
                    raise Gap(f"event {self.position}, which is served, is not in the topic")
                self._serve(prefix.plan)
                break
            self._answers.trouble = f"the topics are only at position {prefix.plan.position}"
        return prefix

    def _follow(self, feed: Feed, prefix: Prefix) -> None:
        while not self._stop.is_set():
            self._poll(feed, prefix)
            if prefix.apply():
                self._serve(prefix.plan)

    def _poll(self, feed: Feed, prefix: Prefix) -> None:
        """Take what has arrived, and see to it that a broker is there when nothing has."""
        arrived = feed.poll()
        for link, value in arrived:
            if link is not None:
                prefix.take(link, value)
            else:  # were it an event that was damaged, the next one would show the gap
                self._answers.trouble = "there is a record among the events that is none"
        if arrived:
            self._answers.contact = time.monotonic()
        elif self.age > _ASK_SECONDS:
            if feed.end() < feed.offset():
                raise FeedLost("the log was cut, or made anew")
            self._answers.contact = time.monotonic()

    def _serve(self, plan: Plan) -> None:
        answers = self._answers
        before, answers.trouble = answers.plan, None
        if before is not None and before.position == plan.position:
            return
        with self._moved:
            answers.serve(plan)
            self._moved.notify_all()
        if self._listeners:
            self._tell(change(Plan.of(Live()) if before is None else before, plan))

    def _tell(self, what: Change) -> None:
        for listener in self._listeners:
            try:
                listener(what)
            except Exception:
                log().exception("a listener failed at position %d", what.position)
