"""What a session is answered within a turn, across turns, pinned, in shadow, and when stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from consumers.answers import Answers, Exposure, NotReady
from consumers.memo import MOST_SESSIONS, TURNS_PER_SESSION, Memo
from consumers.session import Session
from ledger.catalog import Catalog, shipped_catalog
from ledger.events import ExperimentStarted, ShadowStarted
from ledger.intents import AdoptCatalog, KillLever, RestoreLever
from ledger.live import evolve_live
from ledger.plan import Plan
from ledger.resolve import Reason, resolve
from ledger.scopes import Context, Scope
from tests.unit.history import History

Json = Any

TEMPO = "QUEST_PACING_TEMPO_MULTIPLIER"
QUOTA = "AWF_TOOL_CALL_QUOTA"
MODS = "MODS_GATE"
PLAYER = Context("s", world_id="w1", attributes={"tier": "gold"})


class Game:
    """A ledger and what answers from it."""

    def __init__(self, **levers: Mapping[str, Json]) -> None:
        self.history = History()
        self.answers = Answers(ttl=60.0)
        self.history.do(AdoptCatalog(catalog(**levers)))
        self.serve()

    def set(self, number: int, *place: str, **content: Json) -> UUID:
        config_id = self.history.config(number, *place, **content)
        self.serve()
        return config_id

    def do(self, intent: Any) -> None:
        self.history.do(intent)
        self.serve()

    def serve(self) -> None:
        self.answers.serve(Plan.of(self.history.live))
        self.answers.contact = monotonic()

    def session(self, context: Context = PLAYER, pin: Any = None) -> Session:
        return self.answers.session(context, pin)


def catalog(**levers: Mapping[str, Json]) -> Catalog:
    """The shipped catalog with further members of some levers."""
    file = shipped_catalog().to_json()
    for lever in file["levers"]:
        lever.update(levers.get(lever["name"], {}))
    return Catalog.from_json(file)


@pytest.fixture
def game() -> Game:
    game = Game()
    game.set(1, "world", "w1", payload={TEMPO: 1.5})
    return game


def test_nothing_is_answered_before_data_has_arrived() -> None:
    session = Answers(ttl=60.0).session(PLAYER, None)
    with pytest.raises(NotReady):
        session.turn(1)


def test_a_turn_holds_and_the_next_one_is_new(game: Game) -> None:
    session = game.session()
    first = session.turn(1)
    game.set(2, "session", "s", payload={TEMPO: 2.0})
    assert session.turn(1) is first
    assert session.turn(2).values[TEMPO] == 2.0
    assert session.turn(1) == first


def test_what_varies_is_learned(game: Game) -> None:
    game.set(2, "world", "w1", payload={QUOTA: 9}, targeting={"include": "gold > 10"})
    session = game.session()
    assert session.turn(1).values[QUOTA] == 5
    assert [session.turn(n, {"gold": n}).values[QUOTA] for n in (2, 11, 3, 12)] == [5, 9, 5, 9]


def test_what_changes_inside_an_attribute_of_a_turn_is_seen(game: Game) -> None:
    game.set(2, "world", "w1", payload={QUOTA: 9}, targeting={"include": '"key" in bag'})
    session = game.session()
    bag: list[str] = []
    assert [session.turn(turn, {"bag": bag}).values[QUOTA] for turn in (1, 2, 3)] == [5, 5, 5]
    bag.append("key")
    assert session.turn(3, {"bag": bag}).values[QUOTA] == 9


def test_names_without_end_are_not_all_remembered(game: Game) -> None:
    session = game.session()
    for turn in range(1_000):
        session.turn(turn, {f"name{turn}": 1})
    assert len(session._varying) < 300


def test_an_attribute_of_a_turn_goes_before_the_sessions(game: Game) -> None:
    game.set(2, "world", "w1", payload={QUOTA: 9}, targeting={"include": 'tier == "gold"'})
    session = game.session()
    assert session.turn(1).values[QUOTA] == 9
    assert session.turn(2, {"tier": "lead"}).values[QUOTA] == 5
    assert session.turn(3).values[QUOTA] == 9


def test_an_attribute_never_stands_for_what_the_context_says(game: Game) -> None:
    rules = {"include": 'session_id == "other" || turn_id == 99'}
    game.set(5, "global", "global", payload={QUOTA: 7}, targeting=rules)
    session = game.session()
    assert session.turn(1, {"session_id": "other", "turn_id": 99}).values[QUOTA] == 5


def test_a_rollout_can_go_by_what_varies(game: Game) -> None:
    game.set(2, "world", "w1", payload={QUOTA: 9}, rollout={"percentage": 50, "unit": "guild"})
    session = game.session()
    for turn, guild in enumerate(f"g{n}" for n in range(20)):
        context = Context("s", turn, world_id="w1", attributes={"tier": "gold", "guild": guild})
        answer = session.turn(turn, {"guild": guild})
        assert answer.values == resolve(game.history.live, context, answer.at).values


def test_what_the_caller_does_to_the_attributes_changes_nothing(game: Game) -> None:
    game.set(2, "world", "w1", payload={QUOTA: 9}, targeting={"include": "gold > 10"})
    session, attributes = game.session(), {"gold": 5}
    first = session.turn(1, attributes)
    attributes["gold"] = 50
    assert session.turn(1, attributes).values[QUOTA] == 9
    assert session.turn(1, {"gold": 5}) == first


def test_what_the_caller_does_inside_an_attribute_is_seen(game: Game) -> None:
    rules = {"include": "size(party) == 2"}
    game.set(5, "global", "global", payload={QUOTA: 7}, targeting=rules)
    party = ["a"]
    context = Context("s", attributes={"party": party})
    game.answers.ask(context._replace(turn_id=1), None, explain=False, pin=None)
    party.append("b")
    answer = game.answers.ask(context._replace(turn_id=2), None, explain=False, pin=None)
    assert answer.values[QUOTA] == 7


def test_turns_are_forgotten_however_they_are_asked(game: Game) -> None:
    session = game.session()
    for turn_id in range(0, 1000, 10):
        session.turn(turn_id, explain=True)
    assert len(game.answers.memo.record("s").turns) <= TURNS_PER_SESSION


def test_a_window_opens_between_two_turns(game: Game) -> None:
    opens = game.history.now + 10_000_000
    text = "2026-01-01T00:01:00Z"
    game.set(2, "world", "w1", payload={QUOTA: 9}, valid_from=text)
    session = game.session()
    assert session.turn(1, at=opens).values[QUOTA] == 5
    assert session.turn(2, at=opens + 60_000_000).values[QUOTA] == 9
    assert session.turn(3, at=opens).values[QUOTA] == 5


def test_a_rule_that_fails_is_counted(game: Game) -> None:
    config_id = game.set(2, "world", "w1", payload={QUOTA: 9}, targeting={"include": "nowhere > 1"})
    game.session().turn(1)
    assert game.answers.errors[config_id] == 1


# --- Pins ---


def test_a_pinned_session_stays_as_it_began(game: Game) -> None:
    session = game.session(pin="session")
    first = session.turn(1)
    game.set(2, "session", "s", payload={TEMPO: 2.0})
    assert session.turn(2) == first
    assert game.session(pin="session").turn(3) == first
    assert game.session().turn(4).values[TEMPO] == 2.0


def test_kills_pass_through_the_pin_of_a_session(game: Game) -> None:
    session = game.session(pin="session")
    session.turn(1)
    game.set(2, "session", "s", payload={TEMPO: 2.0})
    game.do(KillLever(TEMPO))
    assert session.turn(1).values[TEMPO] == 1.0
    game.do(RestoreLever(TEMPO))
    assert session.turn(1).values[TEMPO] == 1.5


def test_a_kill_ends_the_turn(game: Game) -> None:
    session = game.session()
    session.turn(1)
    game.set(2, "session", "s", payload={QUOTA: 9})
    game.do(KillLever(TEMPO))
    answer = session.turn(1)
    assert (answer.values[TEMPO], answer.values[QUOTA]) == (1.0, 9)
    assert answer.position == game.history.live.position


def test_a_session_that_is_forgotten_is_pinned_anew(game: Game) -> None:
    game.session(pin="session").turn(1)
    game.set(2, "session", "s", payload={TEMPO: 2.0})
    game.answers.memo.forget("s")
    assert game.session(pin="session").turn(2).values[TEMPO] == 2.0


# --- When a lever's value applies ---


@pytest.mark.parametrize("forget", [Memo.clear, lambda memo: memo.forget("s")])
def test_what_is_forgotten_is_forgotten_for_handles_too(
    game: Game, forget: Callable[[Memo], None]
) -> None:
    session = game.session(pin="session")
    session.turn(1)
    game.set(5, "session", "s", payload={QUOTA: 7})
    forget(game.answers.memo)
    assert session.turn(2).values[QUOTA] == 7
    assert game.session(pin="session").turn(3).values[QUOTA] == 7


def test_a_session_that_is_played_is_kept_among_many_others(game: Game) -> None:
    session = game.session()
    for turn_id in range(3 * MOST_SESSIONS):
        game.answers.memo.record(f"other {turn_id}")
        session.turn(turn_id)
    game.set(5, "session", "s", payload={QUOTA: 7})
    asked = PLAYER._replace(turn_id=turn_id)
    assert game.answers.ask(asked, None, explain=False, pin=None).values[QUOTA] == 5


def test_a_lever_for_sessions_waits_for_the_next_session() -> None:
    game = Game(**{TEMPO: {"apply_at": "session"}})
    game.set(1, "world", "w1", payload={TEMPO: 1.5, QUOTA: 6})
    game.session().turn(1)
    game.set(2, "session", "s", payload={TEMPO: 2.0, QUOTA: 7})
    answer = game.session().turn(2)
    assert (answer.values[TEMPO], answer.values[QUOTA]) == (1.5, 7)
    game.answers.memo.forget("s")
    assert game.session().turn(3).values[TEMPO] == 2.0


def test_an_immediate_lever_does_not_wait_for_the_turn() -> None:
    game = Game(**{TEMPO: {"apply_at": "immediate"}})
    session = game.session()
    assert session.turn(1).values[TEMPO] == 1.0
    game.set(1, "session", "s", payload={TEMPO: 2.0, QUOTA: 7})
    answer = session.turn(1)
    assert (answer.values[TEMPO], answer.values[QUOTA]) == (2.0, 5)


def test_a_lever_that_becomes_immediate_does_not_wait_for_the_turn(game: Game) -> None:
    session = game.session()
    assert [session.turn(1).values[QUOTA] for _ in range(2)] == [5, 5]
    game.do(AdoptCatalog(catalog(**{QUOTA: {"apply_at": "immediate"}})))
    game.set(5, "session", "s", payload={QUOTA: 7})
    assert session.turn(1).values[QUOTA] == 7


def test_an_explanation_tells_where_a_waiting_value_is_from() -> None:
    game = Game(**{TEMPO: {"apply_at": "session"}})
    game.session().turn(1)
    game.set(1, "session", "s", payload={TEMPO: 2.0, QUOTA: 7})
    answer = game.session().turn(2, explain=True)
    assert answer.explanation is not None
    assert answer.explanation[TEMPO].source is None
    assert answer.explanation[QUOTA].source is not None


# --- Without fresh data ---


def test_levers_fall_back_once_the_data_is_too_old() -> None:
    game = Game(
        **{
            TEMPO: {"when_stale": {"do": "default", "after": "60s"}},
            MODS: {"when_stale": {"do": "close", "after": "5m"}},
            QUOTA: {"when_stale": {"do": "keep", "after": "1s"}},
        }
    )
    game.set(1, "session", "s", payload={TEMPO: 2.0, QUOTA: 7, MODS: "readonly"})
    session = game.session()

    def at_age(seconds: float) -> list[Json]:
        game.answers.contact = monotonic() - seconds
        values = session.turn(1).values
        return [values[TEMPO], values[QUOTA], values[MODS]]

    assert at_age(0) == [2.0, 7, "readonly"]
    assert at_age(70) == [1.0, 7, "readonly"]
    assert at_age(400) == [1.0, 7, "off"]
    assert at_age(0) == [2.0, 7, "readonly"]


def test_a_killed_gate_stays_shut_when_the_data_is_too_old() -> None:
    game = Game(**{MODS: {"when_stale": {"do": "default", "after": "60s"}}})
    game.do(KillLever(MODS))
    game.answers.contact = monotonic() - 70
    assert game.session().turn(1).values[MODS] == "off"


# --- Experiments and shadows ---


def experiment(game: Game, **members: Json) -> None:
    from ledger.experiments import Experiment

    data = {"experiment_id": "x", "variations": [{"name": "b", "weight": 1}], **members}
    record(game, ExperimentStarted(Experiment.from_json(data)))


def record(game: Game, event: Any) -> None:
    """Record an event without deciding on it."""
    from ledger.events import Cause, Recorded

    history = game.history
    history.now += 1_000_000
    cause = Cause(UUID(int=1), "", UUID(int=1), UUID(int=1))
    position = history.live.position + 1
    evolve_live(history.live, Recorded(position, history.now, UUID(int=position), cause, event))
    game.serve()


def test_an_exposure_is_told_once_for_a_session(game: Game) -> None:
    told: list[Exposure] = []
    game.answers.listeners = (told.append,)
    game.set(2, "experiment", "x:b", payload={QUOTA: 9})
    assert game.session().turn(1).values[QUOTA] == 5
    experiment(game)
    for turn in (2, 3, 3):
        assert game.session().turn(turn).values[QUOTA] == 9
    assert [(each.experiment, each.variation, each.turn_id) for each in told] == [("x", "b", 2)]


def test_an_exposure_is_told_when_the_unit_changes_from_turn_to_turn(game: Game) -> None:
    told: list[Exposure] = []
    game.answers.listeners = (told.append,)
    experiment(game, unit="guild", variations=[{"name": n, "weight": 1} for n in "ab"])
    session = game.session()
    drawn = [session.turn(n, {"guild": f"g{n}"}).experiments["x"] for n in range(20)]
    assert {"a", "b"} == set(drawn) == {each.variation for each in told}


@pytest.mark.parametrize("explain", [True, False])
def test_nobody_changes_what_others_of_the_turn_are_given(game: Game, explain: bool) -> None:
    experiment(game)
    answer: Any = game.session().turn(1, explain=explain)
    for shared in (answer.values, answer.experiments):
        with pytest.raises(TypeError):
            shared["x"] = "changed"


def test_a_listener_that_fails_stops_nobody(game: Game, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Exposure) -> None:
        raise RuntimeError

    game.answers.listeners = (fail,)
    experiment(game)
    assert game.session().turn(1).reason is not Reason.DISABLED
    assert "a listener failed" in caplog.text


def test_a_shadow_changes_nothing_and_is_told_beside(game: Game) -> None:
    config_id = game.set(2, "world", "w1", payload={QUOTA: 9})
    pinned = game.history.live.activations[config_id].pinned
    record(
        game,
        ShadowStarted(
            config_id,
            pinned.__class__.from_json(pinned.to_json() | {"payload": {QUOTA: 11, TEMPO: 1.5}}),
        ),
    )
    answer = game.session().turn(1)
    assert answer.values[QUOTA] == 9
    assert answer.shadow is not None
    assert answer.shadow.differs == {QUOTA: {"live": 9, "shadow": 11}}
    assert game.answers.differences == {(QUOTA, Scope.WORLD): 1}


def test_what_a_session_waits_for_is_no_difference_of_a_shadow() -> None:
    game = Game(**{TEMPO: {"apply_at": "session"}})
    config_id = game.set(1, "world", "w1", payload={QUOTA: 9})
    game.session().turn(1)
    game.set(2, "session", "s", payload={TEMPO: 2.0})
    record(game, ShadowStarted(config_id, game.history.live.activations[config_id].pinned))
    answer = game.session().turn(2)
    assert answer.values[TEMPO] == 1.0
    assert answer.shadow is not None
    assert answer.shadow.differs == {}


def test_off_is_the_defaults() -> None:
    answers = Answers(ttl=60.0, enabled=False)
    answer = answers.session(PLAYER, None).turn(1)
    assert (answer.reason, answer.values) == (Reason.DISABLED, shipped_catalog().defaults)
