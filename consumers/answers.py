"""What all sessions of a process are answered from, and what is counted of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import inf
from time import monotonic, time_ns
from typing import Any, NamedTuple
from uuid import UUID

from consumers.logs import log
from consumers.memo import Memo, Record
from consumers.session import Pinning, Session, with_late
from ledger.catalog import shipped_catalog
from ledger.clock import Instant
from ledger.live import Activation
from ledger.plan import Plan
from ledger.resolve import Resolution, Shadowed, disabled, resolve
from ledger.samples import Sample, Source
from ledger.scopes import Context, Scope
from ledger.settled import NO_ATTRIBUTES, turned

Json = Any


class NotReady(RuntimeError):
    """Nothing of the ledger has arrived yet: wait_ready() first."""


class Exposure(NamedTuple):
    """A session was given what its variation of a running experiment has."""

    experiment: str
    variation: str
    session_id: str
    turn_id: int | None
    unit: str
    unit_value: Json
    position: int
    at: Instant


class Sampling(NamedTuple):
    """Who is told of which share of all turns; `draw` gives a number from 0 until before 1."""

    share: float
    listener: Callable[[Sample], None]
    draw: Callable[[], float]


class Over(NamedTuple):
    """What is put over an answer at a moment, since no turn may hold it back.

    Levers that are immediate, from a version and for an instant; and those that are `late`, for
    the data is too old.
    """

    plan: Plan
    at: Instant
    late: Mapping[str, Json]


class Answers:
    """The newest version, and how it is asked. Safe to use from many threads.

    `careful` tells that an answer may not simply be repeated within its turn. `contact` is the
    monotonic second at which the data was last known to be fresh.
    """

    def __init__(self, ttl: float, *, enabled: bool = True) -> None:
        self.memo = Memo(ttl)
        self.errors: Counter[UUID] = Counter()
        self.differences: Counter[tuple[str, Scope]] = Counter()
        self.listeners: tuple[Callable[[Exposure], None], ...] = ()
        self.sampling: Sampling | None = None
        self.plan: Plan | None = None
        self.contact: float | None = None
        self.trouble: str | None = None
        self.enabled = enabled
        self.careful = not enabled

    @property
    def age(self) -> float:
        """Seconds since the data was last known to be fresh; infinite before it ever was."""
        return inf if self.contact is None else monotonic() - self.contact

    def serve(self, plan: Plan) -> None:
        """Answer from another version from now on."""
        before, self.plan = self.plan, plan
        common = plan.common
        careful = not self.enabled or bool(common.immediate or common.fallbacks)
        if careful is not self.careful:
            self.careful = careful
            self.memo.renew()  # no handle repeats what it had before
        if before is not None and before.kills != plan.kills:
            self.memo.end_turns()

    def newest(self) -> Plan:
        """Give the newest version; raises NotReady before there is one."""
        if self.plan is None:
            raise NotReady(self.trouble or "nothing of the ledger has arrived yet")
        return self.plan

    def instant(self, plan: Plan, at: Instant | None) -> Instant:
        """Give the instant to answer for: now by default, never before the last event."""
        return max(time_ns() // 1000 if at is None else at, plan.recorded_at)

    # --- Asking ---

    def session(self, context: Context, pin: Pinning | None) -> Session:
        """Begin to ask for a session, or go on with it."""
        record = self.memo.record(context.session_id)
        session = record.latest
        if session is None or session.pin != pin or session.of(context) != {}:
            session = record.latest = Session(self, record, context, pin)
        return session

    def ask(
        self, context: Context, at: Instant | None, explain: bool, pin: Pinning | None
    ) -> Resolution:
        """Answer a context as it comes."""
        if not self.enabled:
            return self.off(at)
        plan = self.newest()
        if context.turn_id is None and pin is None and not plan.common.lasting:
            return self._once(plan, context, at, explain)
        record = self.memo.record(context.session_id)
        session = record.latest
        attributes = None if session is None or session.pin != pin else session.of(context)
        if session is None or attributes is None:
            session = record.latest = Session(self, record, context, pin)
            attributes = NO_ATTRIBUTES
        if context.turn_id is None:
            return session.now(attributes, at=at, explain=explain)
        return session.turn(context.turn_id, attributes, at=at, explain=explain)

    def _once(self, plan: Plan, context: Context, at: Instant | None, explain: bool) -> Resolution:
        """Answer one who has no turn: nothing is kept."""
        at = self.instant(plan, at)
        if explain:
            answer = resolve(plan, context, at, explain=True)
        else:
            answer = plan.resolve(context, at, self.failed)
        if answer.experiments and self.listeners:
            self.expose(self.memo.record(context.session_id), context, plan, answer)
        if plan.common.shadows:
            answer = self.shadow(plan, context, at, answer)
        return with_late(answer, self._late(plan)) if self.careful else answer

    def off(self, at: Instant | None) -> Resolution:
        """Answer with the catalog's defaults, as LIVEOPS_ENABLED=false demands."""
        plan = self.plan
        now = time_ns() // 1000 if at is None else at
        if plan is None:
            return disabled(shipped_catalog(), 0, now)
        return disabled(plan.catalog, plan.position, now)

    # --- What is told of answers ---

    def failed(self, activation: Activation) -> None:
        """Count a rule that failed for a context."""
        self.errors[activation.config_id] += 1

    def expose(self, record: Record, context: Context, plan: Plan, answer: Resolution) -> None:
        """Tell once for a session which variation of each running experiment it was given."""
        for experiment, variation in answer.experiments.items():
            running, mark = plan.experiments.get(experiment), object()
            if running is None:
                continue
            # Of two threads that ask at once, one tells.
            if record.exposed.setdefault((experiment, variation), mark) is not mark:
                continue
            unit = running.experiment.unit
            told = Exposure(
                experiment,
                variation,
                context.session_id,
                context.turn_id,
                unit,
                context.unit(unit),
                answer.position,
                answer.at,
            )
            self._tell(told)

    def _tell(self, exposure: Exposure) -> None:
        for listener in self.listeners:
            try:
                listener(exposure)
            except Exception:
                log().exception("a listener failed at the exposure %s", exposure)

    def shadow(self, plan: Plan, context: Context, at: Instant, answer: Resolution) -> Resolution:
        """Add to an answer what it would be with what is in shadow; count what differs."""
        shadowed = plan.shadowed()
        other = shadowed.resolve(context, at)
        shadow = Shadowed.beside(answer, other)
        for _, _, segment, _ in shadowed.reached(context, shadowed.taking_part(context)):
            for activation in segment.activations:
                if activation.config_id in plan.common.shadows:
                    self._count(shadow.differs.keys() & activation.pinned.payload, activation)
        return answer._replace(shadow=shadow)

    def _count(self, levers: Iterable[str], shadow: Activation) -> None:
        scope = shadow.pinned.place.scope
        self.differences.update((lever, scope) for lever in levers)

    def sample(
        self,
        context: Context,
        turn_id: int,
        attributes: Mapping[str, Json],
        answer: Resolution,
        sources: tuple[Source, ...] = (),
    ) -> None:
        """Tell of the answer that a turn was given, if it is one of the share that is told of."""
        sampling = self.sampling
        if sampling is None or sampling.draw() >= sampling.share:
            return
        try:
            values, position, at, reason = answer[:4]
            asked = turned(context, turn_id, attributes)
            now = time_ns() // 1000
            sampling.listener(Sample(asked, values, position, at, reason.value, now, sources))
        except Exception:
            log().exception("a sample of turn %s was not taken", turn_id)

    def over(self, at: Instant | None) -> Over:
        """Tell what is to be put over answers at this moment."""
        plan = self.newest()
        return Over(plan, self.instant(plan, at), self._late(plan))

    def _late(self, plan: Plan) -> Mapping[str, Json]:
        """Tell what levers fall back to of which the data has become too old."""
        age = self.age
        return {
            lever: value
            for after, lever, value in plan.common.fallbacks
            if age > after and lever not in plan.kills
        }
