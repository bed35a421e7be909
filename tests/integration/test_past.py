"""Any past instant is answered as a replay from the first event answers it, for ever.

Whether the timeline is there, behind or new; from the memory of a process or from nothing; and
whatever has happened since.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from commands.http.views import Views
from commands.ledger import Ledger
from commands.models import ContextBody
from commands.prefixes import Prefixes
from commands.questions import Answer, Question, Questions
from ledger.live import things
from ledger.resolve import resolve
from ledger.store import LedgerStore
from projections.catalogue import install
from projections.rebuild import rebuild
from projections.timeline import TimelineView
from projections.views import Feed, connect, stand
from tests.integration.projecting import EXPERIMENTS, project, random_history, record
from tests.unit.history import History

VIEW = TimelineView()
CONTEXTS = [
    ContextBody(session_id="s"),
    ContextBody(session_id="s", world_id="w1", attributes={"country": "de"}),
    ContextBody(session_id="x", world_id="w2", experiments={EXPERIMENTS[0]: "a"}),
]


@contextmanager
def questions(url: str, *, timeline: bool = True) -> Iterator[Questions]:
    """Open what a process of its own answers from."""
    views = Views(url)
    with LedgerStore(url) as store:
        ledger = Ledger(store)
        yield Questions(ledger, Prefixes(ledger, views.past if timeline else None))
    views.close()


def project_some(url: str, events: int) -> None:
    """Bring the timeline only as far as an event."""
    connection = connect(url)
    batch = Feed(events).after(connection, 0)
    with connection.transaction(), connection.cursor() as cursor:
        VIEW.apply(cursor, batch)
        stand(connection, VIEW, batch[-1])
    connection.close()


@pytest.fixture
def history(database: str) -> History:
    install(database)
    made = random_history(7)
    record(database, made.events)
    return made


@pytest.mark.parametrize("reached", [0.0, 0.5, 1.0])
def test_every_position_is_answered_as_a_replay_answers_it(
    database: str, history: History, reached: float
) -> None:
    head = len(history.events)
    if reached:
        project_some(database, round(head * reached))
    chance = random.Random(reached)
    with questions(database) as asked:
        for position in chance.sample(range(head + 1), head // 2):
            context = chance.choice(CONTEXTS).context()
            folded = asked._ledger.live_at(position)
            for explain in (False, True):
                live = asked.prefixes.at(position, context, explained=explain)
                answers = [
                    resolve(each, context, folded.recorded_at, explain=explain).to_json()
                    for each in (folded, live)
                ]
                assert orjson.dumps(answers[0]) == orjson.dumps(answers[1])
            assert things(asked.prefixes.whole(position)) == things(folded)


def ask(asked: Questions, chance: random.Random, head: int) -> list[Answer]:
    return [
        asked.ask(
            Question(
                chance.choice(CONTEXTS),
                position=chance.randrange(1, head + 1),
                explain=chance.random() < 0.5,
                shadow=chance.random() < 0.5,
            )
        )
        for _ in range(60)
    ]


def token(answer: Answer) -> str:
    written: str = orjson.loads(answer.body)["token"]
    return written


def test_a_token_repeats_its_answer_for_ever(database: str, history: History) -> None:
    project_some(database, 150)
    with questions(database) as asked:
        answers = ask(asked, random.Random(1), len(history.events))
        assert [asked.repeat(token(answer)) for answer in answers] == answers
    project(database, [VIEW], batch=17)
    recorded = len(history.events)
    history.config(1000, "global", "global", payload={"DROP_RATE_RARE_MULTIPLIER": 0.25})
    record(database, history.events[recorded:])
    with questions(database) as another:
        assert [another.repeat(token(answer)) for answer in answers] == answers
    rebuild(database, VIEW)
    with questions(database) as another, questions(database, timeline=False) as without:
        assert [another.repeat(token(answer)) for answer in answers] == answers
        assert [without.repeat(token(answer)) for answer in answers] == answers


def test_an_instant_is_answered_the_same_after_ten_thousand_more_events(
    database: str, history: History
) -> None:
    chance = random.Random(2)
    instants = [chance.choice(history.events).recorded_at + chance.randrange(3) for _ in range(100)]
    wanted = [
        Question(chance.choice(CONTEXTS), as_of=instant, explain=True) for instant in instants
    ]
    project(database, [VIEW])
    with questions(database) as asked:
        before = [asked.ask(question) for question in wanted]
    recorded = len(history.events)
    for n in range(1000, 6000):
        history.config(n, "world", f"w{n % 3}", payload={"DROP_RATE_RARE_MULTIPLIER": 0.25})
    assert len(history.events) == recorded + 10_000
    record(database, history.events[recorded:])
    project(database, [VIEW], batch=5000)
    with questions(database) as asked:
        assert [asked.ask(question) for question in wanted] == before
