"""The history of a lever is what the resolver says, asked at every microsecond."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.clock import Instant, format_instant
from ledger.content import Content, Pinned
from ledger.events import (
    ConfigActivated,
    ConfigDeactivated,
    Event,
    Frozen,
    LeverKilled,
    LeverRestored,
    Recorded,
    Unfrozen,
)
from ledger.history import Change, Course, Versions, bound_together, in_force_since
from ledger.live import Live, evolve_live
from ledger.resolve import resolve
from ledger.scopes import EVERYWHERE, Context, place
from ledger.targeting import Timestamp, compile_rule
from ledger.targeting.instants import turns
from tests.small_world import CONFIGS, GRID, HIGH, LATE, LEVERS, LOW, START, TEMPO, WHO
from tests.unit.test_plan import CAUSE, histories

Json = Any
Events = list[tuple[int, Event]]
END = GRID[-1] + 10


def recorded(events: Sequence[tuple[Instant, Event]]) -> list[Recorded]:
    return [
        Recorded(position, at, UUID(int=position), CAUSE, event)
        for position, (at, event) in enumerate(events, 1)
    ]


def course(events: Sequence[Recorded], context: Context, lever: str) -> Course:
    versions = Versions()
    for each in events:
        versions.add(each)
    return Course(versions.all(), context, lever)


def changed(of: Course, first: Instant = START, last: Instant = END) -> list[Change]:
    return [found for found in of.changes(first, last) if isinstance(found, Change)]


class Brute:
    """Folds anew for every instant that it is asked for."""

    def __init__(self, events: Sequence[Recorded]) -> None:
        self._stamps = [event.recorded_at for event in events]
        live = Live()
        self._states = [live.copy()]
        for event in events:
            evolve_live(live, event)
            self._states.append(live.copy())

    def value(self, context: Context, lever: str, at: Instant) -> Json:
        live = self._states[bisect_right(self._stamps, at)]
        return resolve(live, context, at).values.get(lever)

    def changes(self, context: Context, lever: str) -> Iterator[tuple[Instant, Json, Json]]:
        before = self.value(context, lever, START)
        for at in range(START + 1, END + 1):
            after = self.value(context, lever, at)
            if (type(after), after) != (type(before), before):
                yield at, before, after
            before = after


waits = st.lists(st.sampled_from([1, 2, 3, 7, 10, 23]), min_size=1, max_size=8)


def stamped(history: list[list[Event]], steps: list[int]) -> list[Recorded]:
    """Record events at some distance from each other."""
    at, events = START + 1, []
    for number, event in enumerate(event for batch in history for event in batch):
        at += steps[number % len(steps)]
        events.append((at, event))
    return recorded(events)


@given(histories, waits, st.sampled_from(WHO), st.sampled_from(LEVERS))
@settings(max_examples=150, deadline=None)
def test_a_history_is_what_the_resolver_says_at_every_microsecond(
    history: list[list[Event]], steps: list[int], context: Context, lever: str
) -> None:
    events = stamped(history, steps)
    found = course(events, context, lever)
    told = [(change.at, change.before, change.after) for change in changed(found)]
    assert told == list(Brute(events).changes(context, lever))
    assert not found.inexact


@given(histories, waits, st.sampled_from(WHO), st.sampled_from(LEVERS), st.integers(0, END - START))
@settings(max_examples=50, deadline=None)
def test_every_change_has_a_cause_and_any_part_of_a_history_is_of_the_whole(
    history: list[list[Event]], steps: list[int], context: Context, lever: str, cut: int
) -> None:
    found = course(stamped(history, steps), context, lever)
    whole = changed(found)
    assert all(change.position is not None or change.edges for change in whole)
    parts = changed(found, START, START + cut) + changed(found, START + cut, END)
    assert parts == whole


# --- Causes ---


def content(**members: Json) -> Pinned:
    data = {"name": "n", "scope": "global", "scope_ref": "global", "payload": {TEMPO: 2}}
    read = Content.from_json(data | members)
    return Pinned.of(1, read, read.window)


def activated(number: int = 0, **members: Json) -> ConfigActivated:
    return ConfigActivated(CONFIGS[number], content(**members))


def written(where: int) -> str:
    return format_instant(GRID[where])


def causes(*events: tuple[int, Event], lever: str = TEMPO) -> list[tuple[int, int | None, Json]]:
    """List (microsecond, position, edges) of each change of a lever for a session."""
    found = course(recorded([(START + at, event) for at, event in events]), Context("s1"), lever)
    return [
        (change.at - START, change.position, [each.edge.value for each in change.edges])
        for change in changed(found)
    ]


def test_events_and_windows() -> None:
    window = activated(valid_from=written(2), valid_to=written(4))
    assert causes((5, window), (50, activated())) == [
        (20, None, ["window_open"]),
        (40, None, ["window_close"]),
        (50, 2, []),
    ]


def test_a_ramp_takes_the_session_in_at_its_step() -> None:
    ramp = [{"at": written(3), "percentage": 0}, {"at": written(6), "percentage": 100}]
    assert causes((5, activated(rollout={"ramp": ramp}))) == [(60, None, ["ramp_step"])]


def test_an_edge_inside_a_freeze_is_passed_at_its_end() -> None:
    window = activated(valid_from=written(2))
    events: Events = [(5, window), (15, Frozen(EVERYWHERE)), (33, Unfrozen(EVERYWHERE))]
    assert causes(*events) == [(33, 3, ["window_open"])]


def test_a_window_that_opens_as_a_freeze_of_it_begins_is_held() -> None:
    events: Events = [(5, activated(valid_from=written(2))), (20, Frozen(EVERYWHERE))]
    assert causes(*events) == [(20, None, ["window_open"])]


def test_an_event_that_does_nothing_is_no_cause_of_an_edge() -> None:
    events: Events = [(5, activated(valid_from=written(2))), (20, LeverKilled(LOW))]
    assert causes(*events) == [(20, None, ["window_open"])]


def test_kills_and_ends() -> None:
    events: Events = [
        (5, activated()),
        (7, LeverKilled(TEMPO)),
        (9, LeverRestored(TEMPO)),
        (11, ConfigDeactivated(CONFIGS[0])),
    ]
    assert causes(*events) == [(5, 1, []), (7, 2, []), (9, 3, []), (11, 4, [])]


def test_a_rule_that_compares_at_goes_on_in_a_freeze() -> None:
    rule = f'at > timestamp("{written(5)}")'
    events: Events = [(5, activated(targeting={"include": rule})), (7, Frozen(EVERYWHERE))]
    assert causes(*events) == [(51, None, ["rule"])]


def test_a_lever_bound_by_a_rule_changes_with_the_other() -> None:
    # 0.45 is above the other's default, and taken back until that is raised too.
    events: Events = [
        (5, activated(0, payload={LOW: 0.45})),
        (7, activated(1, payload={HIGH: 0.5})),
    ]
    assert causes(*events, lever=LOW) == [(7, 2, [])]
    assert bound_together(LOW, [Live().catalog]) == {LOW, HIGH}


def test_a_change_tells_where_the_value_comes_from() -> None:
    found = course(recorded([(START + 5, activated())]), Context("s1"), TEMPO)
    (change,) = changed(found)
    assert change.explained is not None
    assert change.explained.source is not None
    assert change.explained.source.config_id == CONFIGS[0]


# --- Few configs, all of one lever: there is hardly an edge that changes nothing ---

_NARROW = [place("global", "global"), place("world", "w1"), place("session", "s1")]
_RULES = [None, None, {"include": LATE}, {"exclude": LATE}]
_VALUES = [{TEMPO: 2}, {TEMPO: 3}, {TEMPO: 0.5}]


@st.composite
def edged(draw: st.DrawFn) -> Event:
    """Activate one of four configs with a window, a ramp or a rule."""
    number = draw(st.integers(0, 3))
    begin, length = draw(st.integers(0, 12)), draw(st.integers(1, 6))
    where = _NARROW[number % 3]
    data = {
        "valid_from": draw(st.sampled_from([None, format_instant(GRID[begin])])),
        "valid_to": draw(st.sampled_from([None, format_instant(GRID[begin] + 10 * length)])),
        "targeting": draw(st.sampled_from(_RULES)),
        "payload": draw(st.sampled_from(_VALUES)),
        "scope": where.scope.value,
        "scope_ref": where.ref,
    }
    steps = draw(st.sampled_from([None, None, [(begin, 100), (begin + 2, 0)], [(begin, 60)]]))
    if steps is not None:
        ramp = [{"at": format_instant(START + 10 * at), "percentage": n} for at, n in steps]
        data["rollout"] = {"ramp": ramp}
    return activated(number, **data)


_edged = st.one_of(
    *[edged()] * 4,
    st.sampled_from(_NARROW).map(Frozen),
    st.sampled_from(_NARROW).map(Unfrozen),
    st.sampled_from([LeverKilled(TEMPO), LeverRestored(TEMPO), ConfigDeactivated(CONFIGS[0])]),
)


@given(st.lists(_edged, min_size=2, max_size=9), waits)
@settings(max_examples=100, deadline=None)
def test_no_edge_is_missed(events: list[Event], steps: list[int]) -> None:
    world = stamped([events], steps)
    found = course(world, WHO[0], TEMPO)
    told = [(change.at, change.before, change.after) for change in changed(found)]
    assert told == list(Brute(world).changes(WHO[0], TEMPO))
    for change in changed(found):
        assert change.position is not None or change.edges


def test_a_window_that_would_open_in_freezes_opened_at_their_end() -> None:
    events: Events = [
        (5, activated(valid_from=written(2))),
        (15, Frozen(EVERYWHERE)),
        (25, Frozen(place("world", "w1"))),
        (33, Unfrozen(EVERYWHERE)),
        (60, Unfrozen(place("world", "w1"))),
    ]
    versions = Versions()
    for each in recorded([(START + at, event) for at, event in events]):
        versions.add(each)
    (version,) = (each for each in versions.all() if each.thing == str(CONFIGS[0]))
    (activation,) = version.state.activations.values()
    assert in_force_since(activation, versions.all()) == START + 33
    assert in_force_since(activation, []) == START + 20


# --- Rules that read `at` ---


def read(rule: str, **bindings: Json) -> tuple[list[int], bool]:
    found = turns(compile_rule(rule).tree, bindings)
    return sorted(found.instants), found.exact


T0 = 'timestamp("1970-01-01T00:00:00.000007Z")'


@pytest.mark.parametrize(
    "rule",
    [
        f"at < {T0}",
        f"{T0} >= at",
        f"level > 3 && !(at == {T0})",
        f"at in [{T0}]",
        f"(at != {T0} ? level > 2 : at < {T0}) || at < born",
        "at < joined && at > 5",
    ],
)
def test_instants_that_at_is_compared_with(rule: str) -> None:
    assert read(rule, joined=Timestamp(7)) == ([7], True)


@pytest.mark.parametrize(
    "rule", [f"(at == {T0} ? at : {T0}) > {T0}", f"[at] == [{T0}]", "at < since.then", "at == at"]
)
def test_other_ways_to_read_at_are_told(rule: str) -> None:
    assert not read(rule)[1]


def test_a_rule_that_cannot_be_listed_is_named() -> None:
    rule = f'[at] == [timestamp("{written(5)}")]'
    events = recorded([(START + 5, activated(targeting={"exclude": rule}))])
    (named,) = course(events, Context("s1"), TEMPO).inexact
    assert (named.rule, named.activation.config_id) == (rule, CONFIGS[0])
    assert not course(events, Context("s1"), LOW).inexact
