"""Plans, sessions and the resolver agree, whatever has happened and whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.answers import Answers
from consumers.prefix import Prefix
from ledger import segments
from ledger.catalog import Catalog
from ledger.content import Pinned
from ledger.events import (
    CatalogAdopted,
    Cause,
    ConfigActivated,
    ConfigDeactivated,
    Event,
    ExperimentStarted,
    ExperimentStopped,
    Frozen,
    LeverKilled,
    LeverRestored,
    Recorded,
    ShadowStarted,
    ShadowStopped,
    Unfrozen,
)
from ledger.experiments import Experiment
from ledger.live import Live, shadowed
from ledger.plan import Plan
from ledger.resolve import Resolution, resolve
from ledger.scopes import Context, Place, place
from ledger.settled import OF_A_TURN
from tests.small_world import (
    CATALOGS,
    CONFIGS,
    GRID,
    LEVERS,
    PALETTES,
    RULES,
    START,
    THEMES,
    WHO,
    drafts,
    product_content,
)

Json = Any

CAUSE = Cause(UUID(int=7), "because", UUID(int=8), UUID(int=9))
PARSED = [Catalog.from_json(catalog) for catalog in CATALOGS]
IDS = [*CONFIGS, *(UUID(int=n) for n in range(5, 9))]


@dataclass
class World:
    """A ledger that is folded as a replica does it."""

    prefix: Prefix = field(default_factory=Prefix)
    now: int = START

    def record(self, *events: Event) -> None:
        """Record a batch, a moment after the one before."""
        batch: list[Recorded] = []
        for event in events:
            self.now += 3
            position = self.prefix.live.position + len(batch) + 1
            batch.append(Recorded(position, self.now, UUID(int=position), CAUSE, event))
        self.prefix.fold(batch)

    @property
    def live(self) -> Live:
        return self.prefix.live

    @property
    def plan(self) -> Plan:
        return self.prefix.plan


def _experiment(name: str, percentage: float, unit: str, weights: tuple[int, ...]) -> Experiment:
    variations = [{"name": n, "weight": w} for n, w in zip("abc", weights, strict=False)]
    return Experiment.from_json(
        {"experiment_id": name, "percentage": percentage, "unit": unit, "variations": variations}
    )


experiments = st.builds(
    _experiment,
    st.sampled_from("xy"),
    st.sampled_from([100, 100, 50, 0]),
    st.sampled_from(["session_id", "session_id", "guild", "world_id"]),
    st.sampled_from([(1, 1), (0, 1), (1, 2, 1)]),
)


@st.composite
def events(draw: st.DrawFn) -> st.SearchStrategy[Event]:
    """Anything that can happen, at places and with contents that often meet."""
    palette = [place(*where) for where in draw(st.sampled_from(PALETTES))]
    theme = draw(st.sampled_from(THEMES))
    configs = st.sampled_from(list(enumerate(IDS)))
    places = st.sampled_from(palette)

    def pinned(number: int, draft: Any) -> Pinned:
        content = product_content(draft.content([("world", "w")], theme))
        content = content._replace(place=palette[number % len(palette)])
        return Pinned.of(1, content, content.window)

    one = st.tuples(configs, drafts(bad=0))
    activated = one.map(lambda o: ConfigActivated(o[0][1], pinned(o[0][0], o[1])))
    return st.one_of(
        activated,
        activated,
        activated,
        one.map(lambda o: ShadowStarted(o[0][1], pinned(o[0][0], o[1]))),
        configs.map(lambda o: ShadowStopped(o[1])),
        configs.map(lambda o: ConfigDeactivated(o[1])),
        places.map(Frozen),
        places.map(Unfrozen),
        st.sampled_from(LEVERS).map(LeverKilled),
        st.sampled_from(LEVERS).map(LeverRestored),
        st.sampled_from(PARSED).map(CatalogAdopted),
        experiments.map(ExperimentStarted),
        st.sampled_from("xy").map(ExperimentStopped),
    )


histories = events().flatmap(
    lambda event: st.lists(st.lists(event, min_size=1, max_size=4), min_size=1, max_size=8)
)
askers = st.lists(st.sampled_from(WHO), min_size=1, max_size=3)
instants = st.lists(st.sampled_from(GRID), min_size=1, max_size=3).map(sorted)


def bare(answer: Resolution) -> tuple[Json, ...]:
    """What an answer says, explanation aside."""
    return dict(answer.values), answer.position, answer.at, answer.reason, answer.experiments


@given(histories, askers, instants, st.sampled_from([1, 2, 256]))
def test_a_plan_answers_as_the_resolver(
    history: list[list[Event]], who: list[Context], when: list[int], often: int
) -> None:
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "OFTEN", often)
        for batch in history:
            world.record(*batch)
            for context in who:
                for instant in when:
                    at = max(instant, world.now)
                    right = bare(resolve(world.live, context, at))
                    assert bare(world.plan.resolve(context, at)) == right


@given(histories, askers, instants)
def test_the_resolver_reads_a_plan_as_the_state_it_is_of(
    history: list[list[Event]], who: list[Context], when: list[int]
) -> None:
    world = World()
    for batch in history:
        world.record(*batch)
    for context, at in zip(who, when, strict=False):
        instant = max(at, world.now)
        assert resolve(world.plan, context, instant, explain=True) == resolve(
            world.live, context, instant, explain=True
        )


@given(histories, st.sampled_from(WHO), instants)
def test_what_is_settled_holds_exactly_as_long_as_it_says(
    history: list[list[Event]], context: Context, when: list[int]
) -> None:
    world = World()
    settled = world.plan.settle(context, START, OF_A_TURN)
    for batch in history:
        world.record(*batch)
        for instant in when:
            at = max(instant, world.now)
            if not settled.holds(world.plan, at):
                settled = world.plan.settle(context, at, OF_A_TURN)
            assert settled.holds(world.plan, at)
            turned = context._replace(turn_id=4)
            assert bare(settled.answer(world.plan, at, 4)) == bare(resolve(world.live, turned, at))


@given(histories, st.lists(st.sampled_from(WHO), min_size=2, max_size=4), st.data())
def test_a_session_whose_attributes_vary_is_answered_as_the_resolver_does(
    history: list[list[Event]], who: list[Context], data: st.DataObject
) -> None:
    world = World()
    answers = Answers(ttl=1e9)
    asked = [context._replace(session_id="s1") for context in who]
    for turn, batch in enumerate(history):
        world.record(*batch)
        answers.serve(world.plan)
        context = data.draw(st.sampled_from(asked))._replace(turn_id=turn)
        at = max(data.draw(st.sampled_from(GRID)), world.now)
        answer = answers.ask(context, at, explain=False, pin=None)
        assert bare(answer) == bare(resolve(world.live, context, at))


SOMEWHERE = {"name": "n", "scope": "session", "scope_ref": "s2"}
said = st.dictionaries(
    st.sampled_from(["level", "guild", "session_id", "world_id"]),
    st.sampled_from([11, "g2", "s1", "w1", None]),
    min_size=1,
)


@given(st.lists(st.sampled_from(sorted(RULES)), min_size=1, max_size=4), st.lists(said, min_size=1))
def test_a_handle_is_answered_as_the_resolver_does_whatever_a_turn_says(
    rules: list[str], turns: list[dict[str, Json]]
) -> None:
    world = World()
    for number, (rule, lever) in enumerate(zip(rules, LEVERS, strict=False)):
        payload = {lever: world.live.catalog.kill_value(lever)}
        content = {"payload": payload, "targeting": {"include": rule}}
        world.record(_activated(IDS[number], {**SOMEWHERE, **content}))
    answers = Answers(ttl=1e9)
    answers.serve(world.plan)
    session = answers.session(Context("s2"), None)
    for turn, attributes in enumerate(turns):
        answer = session.turn(turn, attributes, at=world.now)
        asked = Context("s2", turn, attributes=attributes)
        assert bare(answer) == bare(resolve(world.live, asked, world.now))


@given(histories, st.sampled_from(WHO))
def test_a_plan_in_shadow_is_the_state_in_shadow(
    history: list[list[Event]], context: Context
) -> None:
    world = World()
    for batch in history:
        world.record(*batch)
    answer = world.plan.shadowed().resolve(context, world.now)
    assert bare(answer) == bare(resolve(shadowed(world.live), context, world.now))


@given(histories, st.sampled_from(WHO))
def test_a_plan_made_whole_is_the_one_that_grew(
    history: list[list[Event]], context: Context
) -> None:
    world = World()
    for batch in history:
        world.record(*batch)
    whole = Plan.of(world.live)
    assert bare(whole.resolve(context, world.now)) == bare(world.plan.resolve(context, world.now))


def test_a_version_shares_what_did_not_change() -> None:
    world = World()
    content = {"name": "n", "payload": {"AWF_TOOL_CALL_QUOTA": 7}}
    for number, ref in enumerate(("w1", "w2")):
        data = {**content, "scope": "world", "scope_ref": ref}
        world.record(_activated(IDS[number], data))
    before = world.plan
    world.record(_activated(IDS[0], {**content, "scope": "world", "scope_ref": "w1"}))
    changed = [there[0].activations for there in world.plan.differing(before)]
    assert [each[0].pinned.place for each in changed] == [Place(place("world", "w1").scope, "w1")]


def _activated(config_id: UUID, data: dict[str, Json]) -> ConfigActivated:
    from ledger.content import Content

    content = Content.from_json(data)
    return ConfigActivated(config_id, Pinned.of(1, content, content.window))
