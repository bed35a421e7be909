"""One session of a game, and what its turns are answered.

What does not change from turn to turn is settled once (`ledger.settled`). Which attributes do
change is learned from the questions: what was ever given with a turn, or differed, varies.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from consumers.memo import TURNS_PER_SESSION, Pin, Question, Record, alike, copied, same
from ledger.clock import Instant
from ledger.plan import Plan
from ledger.resolve import Resolution, resolve
from ledger.samples import IMMEDIATE, SESSION, STALE, Source
from ledger.scopes import Context
from ledger.settled import NO_ATTRIBUTES, OF_A_TURN, Settled, sealed, turned

if TYPE_CHECKING:
    from consumers.answers import Answers, Over

Json = Any
Pinning = Literal["session"]

_new = tuple.__new__
"""What makes a named tuple, without looking at names."""
_MOST_VARYING = 256
"""Names that are remembered to vary; then it is learned anew."""
_MOST_SETTLED = 3
"""From so many versions can a session be answered at a time: its turn's, its own, the newest."""


class Session:
    """A session as a game holds it: `turn` is the fast way to ask. Safe to use from many threads.

    `context` is what stays as it is for the session; its turn id does not count. With `pin` the
    whole session is answered from the version and the instant of its first answer. Kills are
    heeded all the same.
    """

    __slots__ = (
        "_answers",
        "_generation",
        "_latest",
        "_memo",
        "_quick",
        "_record",
        "_settled",
        "_varying",
        "context",
        "pin",
    )

    def __init__(
        self, answers: Answers, record: Record, context: Context, pin: Pinning | None = None
    ) -> None:
        self.context = _kept(context)
        self.pin = pin
        self._answers = answers
        self._memo = answers.memo
        self._record = record
        self._generation = -1
        self._varying = OF_A_TURN
        self._settled: tuple[Settled, ...] = ()
        self._latest: Pin | None = None
        # What the next turn can be answered by at once: nothing has to be told or looked up.
        self._quick: Settled | None = None

    def turn(
        self,
        turn_id: int,
        attributes: Mapping[str, Json] = NO_ATTRIBUTES,
        *,
        at: Instant | None = None,
        explain: bool = False,
    ) -> Resolution:
        """Resolve all levers for a turn; raises NotReady before any data has arrived.

        `attributes` are those that differ from turn to turn, in addition to the context's. The
        first answer settles what the turn is answered from; `at` is that instant by default.
        """
        memo = self._memo
        if at is None and not explain and self._generation == memo.generation:
            latest = self._latest
            if (
                latest is not None
                and latest.turn_id == turn_id
                and latest.answer is not None
                and latest.epoch == memo.epoch
                and latest.until > memo.clock()
                and alike(latest.attributes, attributes)
            ):
                memo.hits += 1
                return latest.answer
            if (quick := self._quick) is not None and (
                answer := self._next(quick, turn_id, attributes)
            ) is not None:
                return answer
        kept = copied(attributes) if attributes else NO_ATTRIBUTES
        return self._turn(turn_id, Question(turn_id, kept, at, explain))

    def _next(
        self, settled: Settled, turn_id: int, attributes: Mapping[str, Json]
    ) -> Resolution | None:
        """Answer a turn that begins now by what is settled; None when that is not enough.

        Whatever is done here is done for every turn of every session.
        """
        answers, memo = self._answers, self._memo
        epoch = memo.epoch  # before the version: a pin may be newer than its epoch, never older
        plan = answers.plan
        if plan is None or answers.careful:
            return None
        at = time_ns() // 1000
        if at < plan.recorded_at:  # noqa: PLR1730 - a call costs more
            at = plan.recorded_at
        known = settled.plan is plan and settled.since <= at < settled.until
        if not known and not settled.holds(plan, at):
            return None
        if attributes:
            if not attributes.keys() <= settled.varying:
                return None
            attributes = copied(attributes)
        if settled.complete:
            values, reason, drawn = settled.values, settled.reason, settled.experiments
            answer = _new(Resolution, (values, plan.position, at, reason, drawn, None, None))
        else:
            answer = settled.answer(plan, at, turn_id, attributes)
        until = memo.clock() + memo.ttl
        pin = _new(Pin, (turn_id, plan, at, epoch, until, self, attributes, answer, ()))
        turns = self._record.turns
        if turns.setdefault(turn_id, pin) is not pin:
            return None  # it has begun before, or in another thread
        turns.pop(turn_id - TURNS_PER_SESSION, None)
        if len(turns) > TURNS_PER_SESSION:
            self._record.trim()  # they are not numbered one by one
        memo.misses += 1
        self._latest = pin
        if answers.sampling is not None:
            answers.sample(self.context, turn_id, attributes, answer)
        return answer

    def now(
        self,
        attributes: Mapping[str, Json] = NO_ATTRIBUTES,
        *,
        at: Instant | None = None,
        explain: bool = False,
    ) -> Resolution:
        """Resolve all levers outside any turn, from the newest version."""
        if not self._answers.enabled:
            return self._answers.off(at)
        self._look_up()
        question = Question(None, attributes, at, explain)
        plan = self._answers.newest()
        answer = self._answer(plan, self._answers.instant(plan, at), question)
        if not self._answers.careful:
            return answer
        return self._careful(self._answers.over(at), answer, question)

    def of(self, context: Context) -> Mapping[str, Json] | None:
        """Give the attributes in which a context differs; None when it is not of this session."""
        own = self.context
        if not _same_place(own, context) or not own.attributes.keys() <= context.attributes.keys():
            return None
        return {
            name: value
            for name, value in context.attributes.items()
            if name not in own.attributes or not same(value, own.attributes[name])
        }

    def asks_as(self, other: Session) -> bool:
        """Tell whether another handle stands for the same context, pinned the same way."""
        return self is other or (
            self.pin == other.pin
            and _same_place(self.context, other.context)
            and alike(self.context.attributes, other.context.attributes)
        )

    # --- Answering ---

    def _look_up(self) -> None:
        """Find what is kept of the session, where it may be another record by now."""
        generation = self._memo.generation
        if self._generation != generation:
            self._latest = None
            self._record = self._memo.record(self.context.session_id)
            self._generation = generation

    def _turn(self, turn_id: int, question: Question) -> Resolution:
        answers, memo = self._answers, self._memo
        if not answers.enabled:
            answer = answers.off(question.at)
            answers.sample(self.context, turn_id, question.attributes, answer)
            return answer
        self._look_up()
        epoch = memo.epoch
        plan = answers.newest()
        at = answers.instant(plan, question.at)
        pin = memo.pin_turn(self._record, turn_id, self._pin(turn_id, plan, at, epoch))
        known = pin.recall(self, question)
        answer = self._begin(pin, question) if known is None else known
        memo.hits += known is not None
        over = answers.over(question.at) if answers.careful else None
        if over is not None:
            answer = self._careful(over, answer, question)
        elif question.at is None and not question.explain:
            kept = (*pin[:5], self, question.attributes, answer, pin.others)
            self._latest = Pin(*kept)
        if known is None and answers.sampling is not None:
            sources = self._sources(pin, over)
            answers.sample(self.context, turn_id, question.attributes, answer, sources)
        return answer

    def _begin(self, pin: Pin, question: Question) -> Resolution:
        """Answer a question of a turn for the first time, and keep the answer."""
        self._memo.misses += 1
        at = pin.at if question.at is None else max(question.at, pin.plan.recorded_at)
        answer = self._answer(pin.plan, at, question)
        self._record.keep(pin, self, question, answer)
        return answer

    def _sources(self, pin: Pin, over: Over | None) -> tuple[Source, ...]:
        """Name the versions that an answer mixes, beside the turn's own."""
        own, plan = self._record.pin, pin.plan
        sources = []
        if own is not None and (self.pin or plan.common.lasting):
            lasting = None if self.pin else tuple(sorted(plan.common.lasting))
            sources.append(Source(SESSION, lasting, own.plan.position, own.at, plan.position))
        if over is not None:
            position = over.plan.position
            for why, levers in ((IMMEDIATE, over.plan.common.immediate), (STALE, over.late)):
                if levers:
                    named = tuple(sorted(levers))
                    sources.append(Source(why, named, position, over.at, position))
        return tuple(sources)

    def _pin(self, turn_id: int | None, plan: Plan, at: Instant, epoch: int) -> Pin:
        until = self._answers.memo.clock() + self._answers.memo.ttl
        return Pin(turn_id, plan, at, epoch, until, None, NO_ATTRIBUTES, None, ())

    def _answer(self, plan: Plan, at: Instant, question: Question) -> Resolution:
        """Answer anew from a version, and from what the session itself is pinned to."""
        if self.pin:
            own = self._own(plan, at)
            plan, at = own.plan, own.at
        answer = self._noted(plan, at, question, self._resolve(plan, at, question))
        lasting = plan.common.lasting
        if self.pin or not lasting:
            return answer
        own = self._own(plan, at)
        return overlaid(answer, self._resolve(own.plan, own.at, question), lasting)

    def _own(self, plan: Plan, at: Instant) -> Pin:
        """Find what the session is pinned to; kills pass through it."""
        pin = self._answers.memo.pin_session(self._record, self._pin(None, plan, at, 0))
        if pin.plan.kills != plan.kills:
            pin = self._record.pin = pin._replace(plan=pin.plan.with_kills(plan.kills))
        return pin

    def _resolve(self, plan: Plan, at: Instant, question: Question) -> Resolution:
        turn_id, attributes = question.turn_id, question.attributes
        if question.explain:
            context = turned(self.context, turn_id, attributes)
            return sealed(resolve(plan, context, at, explain=True))
        return self._settle(plan, at, attributes).answer(plan, at, turn_id, attributes)

    def _settle(self, plan: Plan, at: Instant, attributes: Mapping[str, Json]) -> Settled:
        for settled in self._settled:
            if settled.holds(plan, at) and (not attributes or attributes.keys() <= settled.varying):
                return settled
        if attributes:
            known = self._varying if len(self._varying) < _MOST_VARYING else OF_A_TURN
            self._varying = known.union(attributes)
        settled = plan.settle(self.context, at, self._varying, self._answers.failed)
        self._settled = (settled, *self._settled[: _MOST_SETTLED - 1])
        return settled

    def _noted(self, plan: Plan, at: Instant, question: Question, answer: Resolution) -> Resolution:
        """Tell of an answer what has to be told once."""
        if answer.experiments:
            context = turned(self.context, question.turn_id, question.attributes)
            self._answers.expose(self._record, context, plan, answer)
        if plan.common.shadows:
            context = turned(self.context, question.turn_id, question.attributes)
            return self._answers.shadow(plan, context, at, answer)
        if not question.explain and not self.pin and not plan.common.lasting:
            settled = self._settled[0]
            # Else another turn may be in another variation, which has to be told.
            told = settled.varying.isdisjoint(plan.common.units)
            self._quick = settled if told else None
        return answer

    def _careful(self, over: Over, answer: Resolution, question: Question) -> Resolution:
        """Put over an answer what no turn may hold back."""
        immediate = over.plan.common.immediate
        if immediate:
            now = self._resolve(over.plan, over.at, question)
            answer = overlaid(answer, now, immediate)
        return with_late(answer, over.late)


def with_late(answer: Resolution, late: Mapping[str, Json]) -> Resolution:
    """Put what levers fall back to in the place of what has become too old."""
    if not late:
        return answer
    return answer._replace(values=MappingProxyType({**answer.values, **late}))


def overlaid(answer: Resolution, other: Resolution, levers: frozenset[str]) -> Resolution:
    """Put another answer's values of some levers over an answer, their explanations too."""
    values = {**answer.values, **_chosen(other.values, levers)}
    explanation = answer.explanation
    if explanation is not None and other.explanation is not None:
        explanation = {**explanation, **_chosen(other.explanation, levers)}
    return answer._replace(values=MappingProxyType(values), explanation=explanation)


def _chosen(by_lever: Mapping[str, Any], levers: frozenset[str]) -> dict[str, Any]:
    return {lever: by_lever[lever] for lever in levers if lever in by_lever}


def _same_place(one: Context, other: Context) -> bool:
    return (
        one.session_id == other.session_id
        and one.world_id == other.world_id
        and one.adventure_id == other.adventure_id
        and one.experiment_id == other.experiment_id
        and one.variation == other.variation
        and one.experiments == other.experiments
    )


def _kept(context: Context) -> Context:
    """Copy what the caller might change; a session has no turn."""
    return Context(
        context.session_id,
        None,
        context.world_id,
        context.adventure_id,
        context.experiment_id,
        context.variation,
        dict(context.experiments),
        copied(context.attributes),
    )
