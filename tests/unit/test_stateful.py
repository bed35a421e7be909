"""Random histories, decided and resolved by the product and by the naive model side by side."""

from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ledger.catalog import Catalog
from ledger.clock import Instant
from ledger.decide import decide
from ledger.errors import Invalid, LedgerError
from ledger.events import (
    Cause,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Recorded,
    decode,
    encode,
)
from ledger.intents import (
    ActivateConfig,
    AdoptCatalog,
    ArchiveConfig,
    ChangeExperiment,
    ChangeRollout,
    CreateConfig,
    DeactivateConfig,
    Freeze,
    Intent,
    KillLever,
    RestoreLever,
    ReviseConfig,
    RollBack,
    RollBackConfig,
    StartExperiment,
    StartShadow,
    StopExperiment,
    StopShadow,
    Terms,
    Unfreeze,
)
from ledger.live import Live, assemble, shadowed, things
from ledger.resolve import resolve
from ledger.rollout import percent
from ledger.schedule import Window
from ledger.scopes import Place, Scope, place
from ledger.state import State, evolve, replay, replay_live
from tests.model import Model, Outcome
from tests.model_facts import Fact
from tests.small_world import (
    CATALOGS,
    CONFIGS,
    CONTEXTS,
    EVERYWHERE,
    FAR,
    GRID,
    LEVERS,
    PALETTES,
    RULES,
    SHIPPED,
    START,
    STEP,
    STRANGER,
    THEMES,
    WHO,
    Draft,
    Json,
    Payload,
    Question,
    Span,
    Trial,
    Where,
    drafts,
    glass,
    matches,
    nths,
    product_content,
    product_experiment,
    product_rollout,
    questions,
    revisions,
    rollouts,
    seen,
    share_of,
    shares,
    trials,
    waits,
    wheres,
    windows,
)

Wait = int | str
CAUSE = Cause(UUID(int=7), "because", UUID(int=8), UUID(int=9))
PARSED = [Catalog.from_json(catalog) for catalog in CATALOGS]

KINDS = {
    "adopted": "CatalogAdopted",
    "created": "ConfigCreated",
    "revised": "ConfigRevised",
    "activated": "ConfigActivated",
    "deactivated": "ConfigDeactivated",
    "archived": "ConfigArchived",
    "rolled_back": "ConfigRolledBack",
    "rollout_changed": "RolloutChanged",
    "frozen": "Frozen",
    "unfrozen": "Unfrozen",
    "killed": "LeverKilled",
    "restored": "LeverRestored",
    "shadow_started": "ShadowStarted",
    "shadow_stopped": "ShadowStopped",
    "experiment_started": "ExperimentStarted",
    "experiment_changed": "ExperimentChanged",
    "experiment_stopped": "ExperimentStopped",
}
PINNED = ("revision", "payload", "priority")


def told(fact: Fact) -> tuple[Json, ...]:
    """Say what an event and a fact must agree on, from the model's side."""
    pinned: list[Json] = []
    if fact.kind in {"experiment_started", "experiment_changed"}:
        pinned = [fact.of, fact.data["percentage"], fact.data["buckets"]]
    elif fact.kind == "experiment_stopped":
        pinned = [fact.of]
    elif fact.kind in {"activated", "rolled_back", "rollout_changed", "shadow_started"}:
        window = Window(fact.data["valid_from"], fact.data["valid_to"])
        pinned = [fact.data["rank"], window, *(fact.data[name] for name in PINNED)]
    return fact.position, fact.recorded_at, KINDS[fact.kind], pinned


def heard(recorded: Recorded) -> tuple[Json, ...]:
    """Say the same from the product's side."""
    pinned = getattr(recorded.event, "pinned", None)
    agreed: list[Json] = []
    if isinstance(recorded.event, ExperimentStarted | ExperimentChanged):
        given = recorded.event.experiment
        buckets = [bucket for part in given.ranges for bucket in range(*part)]
        agreed = [given.experiment_id, percent(given.percentage), buckets]
    elif isinstance(recorded.event, ExperimentStopped):
        agreed = [recorded.event.experiment_id]
    elif pinned is not None:
        rank = recorded.position if pinned.rank is None else pinned.rank
        agreed = [rank, pinned.window, *(getattr(pinned, name) for name in PINNED)]
    return recorded.position, recorded.recorded_at, type(recorded.event).__name__, agreed


def answer(live: Live, asked: int, at: Instant) -> bytes:
    """Return the product's whole answer, explained, as bytes."""
    return orjson.dumps(resolve(live, WHO[asked], at, explain=True).to_json())


class Ledgers(RuleBasedStateMachine):
    """One history, told to the product's pure core and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(SHIPPED, now=START, matches=matches, is_rule=RULES.__contains__)
        self.events: list[Recorded] = []
        self.state = State()
        self.strict = True
        self.palette = PALETTES[0]
        self.theme = THEMES[0]
        self.answered: dict[tuple[int, Instant], bytes] = {}
        self.record(AdoptCatalog(PARSED[0]), START, Terms())

    @initialize(
        strict=st.booleans(),
        palette=st.sampled_from(PALETTES),
        theme=st.sampled_from(THEMES),
        order=st.permutations(CONFIGS),
        first=st.lists(drafts(bad=0), min_size=2, max_size=4),
        begun=st.lists(trials, max_size=2),
    )
    def begin(
        self,
        strict: bool,
        palette: list[Where],
        theme: list[Payload],
        order: list[UUID],
        first: list[Draft],
        begun: list[Trial],
    ) -> None:
        self.model.strict = self.strict = strict
        self.palette, self.theme = palette, theme
        for config_id, draft in zip(order, first, strict=False):
            self.create(config_id, draft, 1)
            self.put_in_force(config_id, 1)
        for trial in begun:
            self.begin_experiment(trial, 1)

    # --- telling both ---

    @property
    def last(self) -> Instant:
        return self.events[-1].recorded_at

    def after(self, wait: Wait) -> Instant:
        """Return the next command's instant: a while after the last one, or by an edge."""
        if isinstance(wait, int):
            return self.last + wait
        later = next((edge for edge in GRID if edge > self.last + 1), self.last + STEP)
        return later if wait == "edge" else later - 1

    def tell(
        self, expected: Outcome, intent: Callable[[], Intent], now: Instant, reason: str = ""
    ) -> None:
        """Tell the product what the model was told, and compare what came of it."""
        try:
            well_formed = intent()
        except Invalid:
            # Malformed requests are refused at the edge, before anything is decided.
            assert expected != "ok"
            return
        before = len(self.events)
        outcome = self.outcome(well_formed, now, reason)
        assert outcome == expected, (well_formed, expected)
        event(f"{type(well_formed).__name__} {expected}")
        for recorded in self.events[before:]:
            event(f"{type(well_formed).__name__} makes {type(recorded.event).__name__}")
        facts = [told(fact) for fact in self.model.facts[before:]]
        assert facts == [heard(recorded) for recorded in self.events[before:]]

    def outcome(self, intent: Intent, now: Instant, reason: str) -> Outcome:
        try:
            self.record(intent, now, Terms(strict=self.strict, reason=reason))
        except LedgerError as error:
            return error.status
        return "ok"

    def record(self, intent: Intent, now: Instant, terms: Terms) -> None:
        """Decide, and record what follows as the store would: stamped, and through its bytes."""
        for happened in decide(self.state, intent, terms).events:
            position = len(self.events) + 1
            stamp = max(now, self.last + 1) if self.events else now
            stored = encode(happened, UUID(int=position), CAUSE)
            self.events.append(decode(position, stamp, stored))
            evolve(self.state, self.events[-1])

    def expected_revision(self, config_id: UUID, off: int | None) -> int | None:
        """Return what If-Match is to say: nothing, the newest revision, or one off it."""
        config = self.state.configs.get(config_id)
        return None if off is None or config is None else config.latest.number + off

    def config(self, nth: int) -> UUID:
        """Pick a config that there is, seldom one that there is not."""
        there = list(self.state.configs)
        return there[nth % len(there)] if there and nth else STRANGER

    def place(self, where: int) -> Where:
        """Pick a place of this history, or everywhere."""
        experiments = [("experiment", name) for name in sorted(self.state.experiments)]
        places = [EVERYWHERE, *self.palette, *experiments]
        return places[where % len(places)]

    def trial(self, nth: int) -> str:
        """Pick an experiment that runs or has run, seldom one that there is not."""
        there = sorted(self.state.experiments)
        return there[nth % len(there)] if there and nth else "y"

    # --- asking both ---

    def cut(self, position: int, at: Instant) -> list[Recorded]:
        return [recorded for recorded in self.events[:position] if recorded.recorded_at <= at]

    def ask(self, question: Question) -> None:
        """Compare answers for prefixes that reach the instant, and that do not."""
        instants = [*GRID, *(recorded.recorded_at for recorded in self.events), FAR]
        at = instants[question.instant % len(instants)] + question.shift
        position = len(self.events) - question.position % len(self.events)
        for asked in {0, question.context}:
            self.compare(asked, at, position)
            self.compare(asked, at, len(self.events))
            self.compare(asked, self.last, position)
        if question.shift == 1:
            self.compare_replica(question.context, at, position)
        if question.shift == -1:
            self.compare_shadows(question.context, at, position)

    def compare(self, asked: int, at: Instant, position: int) -> None:
        answered = answer(replay_live(self.cut(position, at)), asked, at)
        values, given = (orjson.loads(answered)[name] for name in ("values", "experiments"))
        assert values == self.model.resolve(position, CONTEXTS[asked], at), (asked, at, position)
        assert given == self.model.variations(position, CONTEXTS[asked], at), (asked, at, position)
        if self.events[position - 1].recorded_at >= at:
            # The past never changes: all prefixes that reach an instant give the same bytes.
            assert self.answered.setdefault((asked, at), answered) == answered
            assert values == self.model.resolve(len(self.events), CONTEXTS[asked], at)

    def compare_replica(self, asked: int, at: Instant, position: int) -> None:
        """A replica that starts from the compacted topic answers with the same bytes."""
        live = replay_live(self.cut(position, at))
        again = assemble(live.position, live.recorded_at, things(live).values())
        assert answer(again, asked, at) == answer(live, asked, at)

    def compare_shadows(self, asked: int, at: Instant, position: int) -> None:
        """What would be, with all that is in shadow in force."""
        live = shadowed(replay_live(self.cut(position, at)))
        values = resolve(live, WHO[asked], at).values
        assert values == self.model.resolve(position, CONTEXTS[asked], at, shadow=True)

    def compare_statuses(self, at: Instant, position: int) -> None:
        state = replay(self.cut(position, at))
        for config_id in CONFIGS:
            config = state.configs.get(config_id)
            status = "unknown" if config is None else state.status(config, at).value
            assert status == self.model.status(position, str(config_id), at)

    def teardown(self) -> None:
        """Ask the whole history once more: at every edge, just before and just after it."""
        edges = {*GRID, *(recorded.recorded_at for recorded in self.events)}
        instants = sorted({edge + shift for edge in edges for shift in (-1, 0)} | {FAR})
        for n, at in enumerate(instants):
            self.compare(n * 3 % len(CONTEXTS) * (n % 2), at, len(self.events))
            if n % 2:
                self.compare_statuses(at, len(self.events) - n % 3)

    # --- commands on a config ---

    @rule(config_id=st.sampled_from(CONFIGS), draft=drafts(bad=2), wait=waits)
    def create(self, config_id: UUID, draft: Draft, wait: Wait) -> None:
        now = self.after(wait)
        content = draft.content(self.palette, self.theme)
        expected = self.model.create(str(config_id), content, now)
        self.tell(expected, lambda: CreateConfig(config_id, product_content(content)), now)

    @rule(nth=nths, draft=drafts(bad=2), off=seen, moves=wheres, wait=waits)
    def revise(self, nth: int, draft: Draft, off: int | None, moves: int, wait: Wait) -> None:
        config_id = self.config(nth)
        now = self.after(wait)
        config = self.state.configs.get(config_id)
        content: Mapping[str, Json] = draft.content(self.palette, self.theme)
        if config is not None and moves > 0:
            content = {**content, "scope": config.place.scope.value, "scope_ref": config.place.ref}
        match = self.expected_revision(config_id, off)
        self.tell(
            self.model.revise(str(config_id), content, match, now),
            lambda: ReviseConfig(config_id, product_content(content), match),
            now,
        )

    @rule(nth=nths, draft=drafts(bad=1), wait=waits, asked=questions)
    def revise_and_activate(self, nth: int, draft: Draft, wait: Wait, asked: Question) -> None:
        config_id = self.config(nth)
        self.revise(nth, draft, None, 1, wait)
        self.put_in_force(config_id, 1)
        self.ask(asked)

    def put_in_force(self, config_id: UUID, wait: Wait) -> None:
        now = self.after(wait)
        expected = self.model.activate(str(config_id), now)
        self.tell(expected, lambda: ActivateConfig(config_id), now)

    @rule(
        nth=nths,
        revision=revisions,
        immediate=st.booleans(),
        window=windows,
        off=seen,
        wait=waits,
        asked=questions,
    )
    def activate(
        self,
        nth: int,
        revision: int | None,
        immediate: bool,
        window: Span | None,
        off: int | None,
        wait: Wait,
        asked: Question,
    ) -> None:
        config_id = self.config(nth)
        now = self.after(wait)
        begin, end = window or (None, None)
        match = self.expected_revision(config_id, off)
        expected = self.model.activate(
            str(config_id),
            now,
            revision=revision,
            immediate=immediate,
            valid_from=begin,
            valid_to=end,
            window_given=window is not None,
            expected_revision=match,
        )
        named = None if window is None else Window(begin, end)
        self.tell(
            expected, lambda: ActivateConfig(config_id, revision, named, immediate, match), now
        )
        self.ask(asked)

    @rule(nth=nths, away=st.booleans(), off=seen, wait=waits, asked=questions)
    def end(self, nth: int, away: bool, off: int | None, wait: Wait, asked: Question) -> None:
        """Deactivate a config, or put it away."""
        config_id = self.config(nth)
        now = self.after(wait)
        match = self.expected_revision(config_id, off)
        command = self.model.archive if away else self.model.deactivate
        expected = command(str(config_id), now, expected_revision=match)
        intent = ArchiveConfig if away else DeactivateConfig
        self.tell(expected, lambda: intent(config_id, match), now)
        self.ask(asked)

    @rule(nth=nths, rollout=rollouts, off=seen, wait=waits, asked=questions)
    def change_rollout(
        self, nth: int, rollout: Json, off: int | None, wait: Wait, asked: Question
    ) -> None:
        config_id = self.config(nth)
        now = self.after(wait)
        match = self.expected_revision(config_id, off)
        change = {name: rollout[name] for name in ("percentage", "ramp") if name in rollout}
        expected = self.model.change_rollout(str(config_id), now, **change, expected_revision=match)
        self.tell(
            expected,
            lambda: ChangeRollout(
                config_id, product_rollout(self.unit_of(config_id) | change), match
            ),
            now,
        )
        self.ask(asked)

    def unit_of(self, config_id: UUID) -> dict[str, Json]:
        """Return the unit and salt of the live activation, which a rollout change keeps."""
        live = self.state.live.activations.get(config_id)
        before = None if live is None else live.pinned.rollout
        return {} if before is None else {"unit": before.unit, "salt": before.salt}

    @rule(
        nth=nths,
        revision=revisions,
        glass=glass,
        off=seen,
        wait=waits,
        asked=questions,
    )
    def roll_back_config(
        self,
        nth: int,
        revision: int | None,
        glass: tuple[bool, str],
        off: int | None,
        wait: Wait,
        asked: Question,
    ) -> None:
        config_id = self.config(nth)
        now = self.after(wait)
        broken, reason = glass
        match = self.expected_revision(config_id, off)
        expected = self.model.roll_back_config(
            str(config_id),
            now,
            revision=revision,
            break_glass=broken,
            reason=reason,
            expected_revision=match,
        )
        self.tell(expected, lambda: RollBackConfig(config_id, revision, broken, match), now, reason)
        self.ask(asked)

    # --- rolling places back ---

    @rule(
        back=st.integers(0, 30),
        frozen=st.none() | wheres,
        glass=glass,
        wait=waits,
        asked=questions,
    )
    def roll_back_all(
        self,
        back: int,
        frozen: int | None,
        glass: tuple[bool, str],
        wait: Wait,
        asked: Question,
    ) -> None:
        if frozen is not None:
            self.freeze_place(self.place(frozen), 1)
        self.roll_back(back, None, glass, wait, asked)

    @rule(back=st.integers(0, 30), where=wheres, glass=glass, wait=waits, asked=questions)
    def roll_back_place(
        self, back: int, where: int, glass: tuple[bool, str], wait: Wait, asked: Question
    ) -> None:
        self.roll_back(back, where, glass, wait, asked)

    def roll_back(
        self, back: int, where: int | None, glass: tuple[bool, str], wait: Wait, asked: Question
    ) -> None:
        now = self.after(wait)
        broken, reason = glass
        target = len(self.events) - back % len(self.events)
        scope, ref = (None, None) if where is None else self.place(where)
        expected = self.model.roll_back(
            target, now, scope=scope, ref=ref, break_glass=broken, reason=reason
        )
        reach = None if scope is None or ref is None else place(scope, ref)
        live = replay_live(self.events[:target])
        self.tell(expected, lambda: RollBack(live, reach, broken), now, reason)
        if expected == "ok":
            self.compare_with_target(target, reach, asked)
        self.ask(asked)

    def compare_with_target(self, target: int, reach: Place | None, asked: Question) -> None:
        """After a rollback, as the target: freezes, kills and catalogs, which it leaves, apart."""
        now = replay_live(self.of_configs(self.events, reach))
        then = replay_live(self.of_configs(self.events[:target], reach))
        for at in (self.last, self.last + 1, *(edge for edge in GRID if edge > self.last), FAR):
            for who in (WHO[asked.context], WHO[0], WHO[4]):
                assert resolve(now, who, at).values == resolve(then, who, at).values

    def of_configs(self, events: Iterable[Recorded], reach: Place | None) -> list[Recorded]:
        """Leave out what no rollback of the reach turns back, but for the first catalog."""
        kept = []
        for recorded in events:
            there = self.reach_of(recorded)
            if recorded.position == 1 or (there is not None and reach in (None, there)):
                kept.append(recorded)
        return kept

    def reach_of(self, recorded: Recorded) -> Place | None:
        """Name the place whose rollback reaches what an event is about, if one does."""
        match happened := recorded.event:
            case ExperimentStarted() | ExperimentChanged():
                return Place(Scope.EXPERIMENT, happened.experiment.experiment_id)
            case ExperimentStopped():
                return Place(Scope.EXPERIMENT, happened.experiment_id)
        config = self.state.configs.get(getattr(happened, "config_id", STRANGER))
        return None if config is None else config.place

    # --- experiments and shadows ---

    @rule(trial=trials, wait=waits, asked=questions)
    def start_experiment(self, trial: Trial, wait: Wait, asked: Question) -> None:
        self.begin_experiment(trial, wait)
        self.ask(asked)

    def begin_experiment(self, trial: Trial, wait: Wait) -> None:
        now = self.after(wait)
        experiment = trial.experiment()
        expected = self.model.start_experiment(experiment, now)
        self.tell(expected, lambda: StartExperiment(product_experiment(experiment)), now)

    @rule(nth=nths, share=shares, wait=waits, asked=questions)
    def change_experiment(self, nth: int, share: int, wait: Wait, asked: Question) -> None:
        name, now = self.trial(nth), self.after(wait)
        percentage = share_of(name, share)
        expected = self.model.change_experiment(name, percentage, now)
        thousandths = round(percentage * 1000)
        self.tell(expected, lambda: ChangeExperiment(name, thousandths), now)
        self.ask(asked)

    @rule(nth=nths, wait=waits, asked=questions)
    def stop_experiment(self, nth: int, wait: Wait, asked: Question) -> None:
        name, now = self.trial(nth), self.after(wait)
        expected = self.model.stop_experiment(name, now)
        self.tell(expected, lambda: StopExperiment(name), now)
        self.ask(asked)

    @rule(
        trial=trials,
        nth=nths,
        share=shares,
        back=st.integers(1, 5),
        alone=st.none() | st.integers(1, 9),
        asked=questions,
    )
    def change_and_turn_back(
        self,
        trial: Trial,
        nth: int,
        share: int,
        back: int,
        alone: int | None,
        asked: Question,
    ) -> None:
        """Start, stop and change experiments, then roll all of it back, or one of them alone."""
        self.stop_experiment(nth, 1, asked)
        self.begin_experiment(trial, 1)
        self.change_experiment(nth + 1, share, "edge", asked)
        where = None if alone is None else 1 + len(self.palette) + alone
        self.roll_back(back, where, (True, "fire"), 1, asked)

    @rule(nth=nths, revision=revisions, off=seen, stop=st.booleans(), wait=waits, asked=questions)
    def shadow(
        self,
        nth: int,
        revision: int | None,
        off: int | None,
        stop: bool,
        wait: Wait,
        asked: Question,
    ) -> None:
        """Evaluate a revision in shadow; where there is a shadow, end it or try another."""
        config_id = self.config(nth)
        now = self.after(wait)
        match = self.expected_revision(config_id, off)
        if stop and (config_id in self.state.live.shadows or off == 0):
            expected = self.model.stop_shadow(str(config_id), now, expected_revision=match)
            self.tell(expected, lambda: StopShadow(config_id, match), now)
        else:
            expected = self.model.start_shadow(
                str(config_id), now, revision=revision, expected_revision=match
            )
            self.tell(expected, lambda: StartShadow(config_id, revision, match), now)
        self.compare_shadows(asked.context, self.last, len(self.events))
        self.ask(asked)

    # --- freezes, kills and catalogs ---

    @rule(where=wheres, contrary=st.integers(0, 7), wait=waits, asked=questions)
    def freeze_or_lift(self, where: int, contrary: int, wait: Wait, asked: Question) -> None:
        """Lift a standing freeze, or freeze a place where there is none; seldom the contrary."""
        frozen = [(scope.value, ref) for scope, ref in sorted(self.state.live.freezes)]
        if frozen and where % 2:
            named, lift = frozen[where % len(frozen)], True
        else:
            named = self.place(where)
            lift = named in frozen
        self.ask(asked)
        if lift is (contrary > 0):
            self.unfreeze_place(named, wait)
        else:
            self.freeze_place(named, wait)
        self.ask(asked)

    def freeze_place(self, named: Where, wait: Wait) -> None:
        now = self.after(wait)
        self.tell(self.model.freeze(*named, now), lambda: Freeze(place(*named)), now)

    def unfreeze_place(self, named: Where, wait: Wait) -> None:
        now = self.after(wait)
        self.tell(self.model.unfreeze(*named, now), lambda: Unfreeze(place(*named)), now)

    @rule(
        where=wheres,
        inside_out=st.booleans(),
        pause=st.sampled_from([1, "edge", "edge", 12, 25]),
        lifted=st.booleans(),
        asked=questions,
    )
    def hand_a_freeze_over(
        self, where: int, inside_out: bool, pause: Wait, lifted: bool, asked: Question
    ) -> None:
        """Freeze a place, then all (or the reverse), and lift the first: the clock stays there."""
        named = self.palette[where % len(self.palette)]
        first, second = (EVERYWHERE, named) if inside_out else (named, EVERYWHERE)
        self.freeze_place(first, 1)
        self.freeze_place(second, pause)
        self.unfreeze_place(first, 1)
        self.ask(asked)
        if lifted:
            self.unfreeze_place(second, pause)

    @rule(
        lever=st.sampled_from([*LEVERS, "NO_SUCH_LEVER"]),
        contrary=st.integers(0, 7),
        glass=glass,
        wait=waits,
        asked=questions,
    )
    def kill_or_restore(
        self,
        lever: str,
        contrary: int,
        glass: tuple[bool, str],
        wait: Wait,
        asked: Question,
    ) -> None:
        """Restore a killed lever, or kill another; seldom the contrary."""
        now = self.after(wait)
        broken, reason = glass
        lever = min(self.state.live.kills, default=lever) if contrary % 2 else lever
        restores = (lever in self.state.live.kills) is (contrary > 0)
        command = self.model.restore if restores else self.model.kill
        expected = command(lever, now, break_glass=broken, reason=reason)
        intent = RestoreLever if restores else KillLever
        self.tell(expected, lambda: intent(lever, broken), now, reason)
        self.ask(asked)

    @rule(which=st.integers(0, len(CATALOGS) - 1), wait=waits, asked=questions)
    def adopt(self, which: int, wait: Wait, asked: Question) -> None:
        now = self.after(wait)
        expected = self.model.adopt(CATALOGS[which], now)
        self.tell(expected, lambda: AdoptCatalog(PARSED[which]), now)
        self.ask(asked)


TestLedgers = pytest.mark.timeout(600)(Ledgers.TestCase)  # hundreds of histories
TestLedgers.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
