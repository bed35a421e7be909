"""What a game reports of its turns is what the ledger says of them, lever by lever."""

from __future__ import annotations

import random
from contextlib import suppress
from time import monotonic, time_ns
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.answers import Sampling
from ledger.clock import format_instant
from ledger.cloudevents import Unreadable
from ledger.errors import NotFound, Refused
from ledger.intents import AdoptCatalog, KillLever, RestoreLever
from ledger.live import Live
from ledger.resolve import resolve
from ledger.sample_checks import Checked, check
from ledger.samples import Sample
from ledger.scopes import Context
from ledger.state import replay_live
from tests.unit.test_session import MODS, PLAYER, QUOTA, TEMPO, Game, catalog

Json = Any
MIXED: dict[str, Json] = {
    TEMPO: {"apply_at": "session"},
    QUOTA: {"apply_at": "immediate"},
    MODS: {"when_stale": {"do": "close", "after": "60s"}},
}


def sampled(game: Game, share: float = 1.0) -> list[Sample]:
    """Collect what a game samples, as it comes out of a record."""
    told: list[Sample] = []

    def take(sample: Sample) -> None:
        told.append(Sample.read(sample.record().value or b""))

    game.answers.sampling = Sampling(share, take, random.Random(1).random)
    return told


def checked(game: Game, sample: Sample) -> Checked:
    def past(position: int, _: Context) -> Live:
        if position > len(game.history.events):
            raise NotFound
        return replay_live(game.history.events[:position])

    return check(sample, past)


@pytest.fixture
def game() -> Game:
    game = Game(**MIXED)
    game.set(1, "world", "w1", payload={TEMPO: 1.5, QUOTA: 7})
    return game


def test_a_turn_is_sampled_once_with_what_it_was_given(game: Game) -> None:
    told = sampled(game)
    answer = game.session().turn(7, {"gold": 12})
    game.session().turn(7, {"gold": 12})
    (sample,) = told
    assert sample.values == answer.values
    assert (sample.context.turn_id, sample.context.attributes) == (7, {"tier": "gold", "gold": 12})


def test_a_plain_game_mixes_nothing() -> None:
    game = Game()
    told = sampled(game)
    for turn in range(3):
        game.session().turn(turn)
    assert [sample.mixed for sample in told] == [()] * 3
    assert [checked(game, sample) for sample in told] == [Checked()] * 3


def test_each_lever_is_checked_against_its_own_version(game: Game) -> None:
    session = game.session()
    session.turn(1)
    told = sampled(game)
    game.set(2, "world", "w1", payload={TEMPO: 2.0, QUOTA: 9})
    game.answers.contact = monotonic() - 100
    session.turn(2)
    (sample,) = told
    assert (sample.values[TEMPO], sample.values[QUOTA]) == (1.5, 9)
    assert [source.why for source in sample.mixed] == ["session", "immediate", "stale"]
    assert checked(game, sample).agrees
    assert list(checked(game, sample).unverified) == [MODS]


def test_a_pinned_session_is_checked_with_the_kills_of_its_turn(game: Game) -> None:
    session = game.session(pin="session")
    session.turn(1)
    told = sampled(game)
    game.set(2, "world", "w1", payload={TEMPO: 2.0})
    game.do(KillLever(QUOTA))
    session.turn(2)
    (sample,) = told
    (first, *_) = sample.mixed
    assert (first.why, first.levers, first.kills - first.position) == ("session", None, 3)
    assert checked(game, sample).agrees


@pytest.mark.parametrize("pin", [None, "session"])
def test_what_a_session_waits_for_is_checked_for_the_instant_it_began(
    game: Game, pin: Literal["session"] | None
) -> None:
    later = time_ns() // 1000 + 3_600_000_000
    game.set(2, "world", "w1", payload={TEMPO: 2.0}, valid_from=format_instant(later))
    session = game.session(pin=pin)
    session.turn(1)
    told = sampled(game)
    session.turn(2, at=later + 1)
    (sample,) = told
    assert sample.values[TEMPO] == 1.5
    assert checked(game, sample).agrees


def test_a_switched_off_game_is_sampled_as_such() -> None:
    game = Game()
    told = sampled(game)
    game.answers.enabled = False
    game.session().turn(1)
    assert told[0].reason == "DISABLED"
    assert checked(game, told[0]).agrees


def act(chance: random.Random, game: Game, number: int) -> None:
    """Change the ledger, in a way that may be refused."""
    lever = chance.choice([TEMPO, QUOTA, MODS])
    place = chance.choice([("world", "w1"), ("session", "s1"), ("global", "global")])
    match chance.randrange(6):
        case 0:
            game.do(KillLever(lever))
        case 1:
            game.do(RestoreLever(lever))
        case 2:
            game.do(AdoptCatalog(chance.choice([catalog(**MIXED), catalog()])))
        case _:
            rare = chance.choice([0.5, 0.75])
            payload = {lever: chance.choice([2, 1]), "DROP_RATE_RARE_MULTIPLIER": rare}
            targeting = chance.choice([None, {"include": "gold > 1"}])
            game.set(number, *place, payload=payload, targeting=targeting)


def play(seed: int) -> tuple[Game, list[Sample]]:
    """Change a ledger and play turns, in sessions of all kinds, at random."""
    chance, game = random.Random(seed), Game(**MIXED)
    told = sampled(game)
    for step in range(70):
        game.answers.contact = monotonic() - chance.choice([0, 0, 100])
        with suppress(Refused):
            act(chance, game, step + 10)
        for _ in range(3):
            context = PLAYER._replace(session_id=f"s{chance.randrange(3)}")
            session = game.session(context, chance.choice([None, "session"]))
            attributes = chance.choice([{}, {"gold": chance.randrange(3)}])
            session.turn(step + chance.randrange(2), attributes)
    return game, told


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_played_the_ledger_says_the_same(seed: int) -> None:
    game, told = play(seed)
    assert len(told) > 100
    assert {source.why for sample in told for source in sample.mixed} >= {"session", "immediate"}
    for sample in told:
        result = checked(game, sample)
        assert result.agrees, (sample, result)


@pytest.mark.parametrize("lever", [TEMPO, QUOTA, MODS, "DROP_RATE_RARE_MULTIPLIER"])
def test_a_value_that_was_never_given_is_named(lever: str) -> None:
    game, told = play(3)
    for sample in told[::9]:
        was = sample.values[lever]
        lie = sample._replace(values={**sample.values, lever: "never"})
        assert checked(game, lie).differs == {lever: ("never", was)}


def test_a_share_of_the_turns_is_sampled() -> None:
    game = Game()
    told = sampled(game, share=0.1)
    for turn in range(1_000):
        game.session().turn(turn)
    assert 60 < len(told) < 140


def test_a_sampler_that_fails_fails_no_turn(game: Game, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Sample) -> None:
        raise RuntimeError("no")

    game.answers.sampling = Sampling(1.0, fail, lambda: 0.0)
    assert game.session().turn(1).values[QUOTA] == 7
    assert "was not taken" in caplog.text


# --- What cannot be checked, and what is no sample ---


def plain(game: Game) -> Sample:
    answer = resolve(game.history.live, PLAYER, game.history.now)
    values, position, at, reason = answer[:4]
    return Sample(PLAYER, values, position, at, reason.value, at)


def test_a_position_that_the_ledger_has_not_is_a_problem(game: Game) -> None:
    beyond = plain(game)._replace(position=99)
    assert checked(game, beyond).problem == "the ledger has no position 99"


def test_an_instant_before_the_prefix_ends_is_a_problem(game: Game) -> None:
    early = plain(game)._replace(at=1)
    assert "before its last event" in checked(game, early).problem


def test_the_record_is_a_cloud_event_of_its_session(game: Game) -> None:
    record = plain(game).record()
    headers = dict(record.headers)
    assert record.key == b"s"
    assert headers["ce_type"] == b"liveops.SnapshotTaken.v1"
    assert headers["ce_time"].decode() == format_instant(plain(game).taken_at)


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.binary(max_size=60))
def test_what_is_no_sample_is_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        Sample.read(value)


@given(
    st.sampled_from(["context", "values", "position", "at", "reason", "taken_at", "mixed"]), jsons
)
def test_a_damaged_sample_is_unreadable_or_a_sample(member: str, value: Json) -> None:
    import orjson

    game = Game()
    data = orjson.loads(plain(game).record().value or b"")
    try:
        damaged = orjson.dumps({**data, member: value})
    except TypeError:  # more than 64 bits
        return
    with suppress(Unreadable):
        sample = Sample.read(damaged)
        assert sample.context.session_id
        sample.record()
