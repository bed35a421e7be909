"""Resolution beside the peers' SDKs, and beside a naive scan and the copy of a dict.

Everything is checked before it is measured: the peers against what the flat list says is right,
ours against `ledger.resolve.resolve`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from itertools import chain, count, islice, product
from typing import Any

from benchmarks.bench import Contestant, Row, Taken, race
from benchmarks.naive import Scan
from benchmarks.peers import Opening, Peer
from benchmarks.peers.ours import Ours
from benchmarks.workload import PERCENTAGE, Knob, Visitor, answer, knobs, only_read, visitors
from benchmarks.worlds import NOW, asker, everywhere, flat, players, tree, volatile
from consumers.session import Session
from ledger.catalog import shipped_catalog
from ledger.live import Live
from ledger.resolve import resolve
from ledger.scopes import Context

Json = Any
Race = dict[str, Contestant]

PEERS = ("eppo", "growthbook", "flagd", "launchdarkly", "unleash")
SIZES = (100, 1_000, 10_000)
CHECKED = 300
SESSIONS = 200

FASTER_THAN_ANY, FASTER_THAN_PYTHON = 1 / 10, 1 / 30
GROWTH, NEXT_TURN, SAME_TURN = 3.0, 6.0, 2.0


class Wrong(AssertionError):
    """An answer is not what it has to be: nothing is measured."""


def rows() -> Iterator[Row | str]:
    """Measure the flat list, then the trees; a str is a note on how a peer was asked."""
    yield from _flat_rows()
    yield from _tree_rows()


# --- The flat list ---


def _flat_rows() -> Iterator[Row | str]:
    work = knobs()
    peers = [_opened(name, work) for name in PEERS]
    ours = _ourselves(work)
    for each in (ours, *peers):
        _check(each, work)
    stream, narrow = visitors(2), map(only_read, visitors(3))
    racing = {each.package: _visited(each, stream) for each in (ours, *peers)}
    racing |= {f"{each.package}, 7": _visited(each, narrow) for each in (ours, *peers)}
    taken = race(racing)
    for peer in peers:
        yield f"{peer.package} {version(peer.package)}, {peer.core}: {peer.how}"
        peer.close()
    yield from _beside(taken, peers, "", "16 attributes")
    yield from _beside(taken, peers, ", 7", "only the 7 attributes that rules read")


def _opened(name: str, work: tuple[Knob, ...]) -> Peer:
    opening: Opening = import_module(f"benchmarks.peers.{name}").opened
    return opening(work)


def _ourselves(work: tuple[Knob, ...]) -> Peer:
    resolved = Ours(flat(work)).resolve
    return Peer("ours", "Python", "resolve", lambda visitor: resolved(asker(visitor)).values)


def _visited(peer: Peer, stream: Iterator[Visitor]) -> Contestant:
    return Contestant(peer.answer, lambda number: [(each,) for each in islice(stream, number)])


def _check(peer: Peer, work: tuple[Knob, ...]) -> None:
    """See that a contestant is right: whom its rollouts have in is its own hash's affair.

    But it has to be stable, and the share has to be right within five standard deviations.
    """
    rolled_out = [knob for knob in work if knob.percentage is not None]
    drawn = 0
    for visitor in islice(visitors(), CHECKED):
        values = dict(peer.answer(visitor))
        if values != peer.answer(visitor):
            raise Wrong(f"{peer.package} answers {visitor} twice differently")
        for knob in work:
            held = knob.percentage is not None and values[knob.lever] == knob.value
            if values[knob.lever] != answer(knob, visitor, held):
                raise Wrong(f"{peer.package}: {knob} is {values[knob.lever]!r} for {visitor}")
            drawn += held
    tries, share = CHECKED * len(rolled_out), PERCENTAGE / 100
    if abs(drawn - tries * share) > 5 * (tries * share * (1 - share)) ** 0.5:
        raise Wrong(f"{peer.package} has {drawn} of {tries} in rollouts of {PERCENTAGE} %")


def _beside(
    taken: Mapping[str, Taken], peers: Sequence[Peer], suffix: str, contexts: str
) -> Iterator[Row]:
    what = f"60 levers, flat, distinct contexts, {contexts}"
    for statistic, of in _STATISTICS.items():
        theirs = {peer.package: of(taken[peer.package + suffix]) for peer in peers}
        fastest = min(theirs.values())
        fastest_python = min(theirs[peer.package] for peer in peers if peer.core == "Python")
        for peer in peers:
            limit = theirs[peer.package]
            bar = FASTER_THAN_PYTHON if limit == fastest_python else None
            bar = FASTER_THAN_ANY if limit == fastest else bar
            against = f"{peer.package} ({peer.core})"
            mine = of(taken["ours" + suffix])
            yield Row(f"{what}, {statistic}", mine, limit, against, "µs", bar)


_STATISTICS: Mapping[str, Callable[[Taken], float]] = {
    "median": lambda taken: taken.median,
    "p99": lambda taken: taken.p99,
}


# --- Trees of configs ---


def _tree_rows() -> Iterator[Row]:
    levers = dict(shipped_catalog().defaults)
    racing: Race = {"copy": Contestant(dict.copy, lambda number: [(levers,)] * number)}
    for size in SIZES:
        racing |= _of_tree(size)
    taken = race(racing)
    for statistic, of in _STATISTICS.items():
        yield from _shown({name: of(each) for name, each in taken.items()}, statistic)


def _shown(taken: Mapping[str, float], statistic: str) -> Iterator[Row]:
    def row(name: str, limit: str, against: str, bar: float | None = None) -> Row:
        return Row(f"{name}, {statistic}", taken[name], taken[limit], against, "µs", bar)

    for size in SIZES:
        scan = f"{size:,} configs: naive scan"
        yield row(f"{size:,} configs: distinct contexts", scan, "naive scan of all configs")
        yield row(f"{size:,} configs: first turn of a session", scan, "naive scan of all configs")
        yield row(f"{size:,} configs: just loaded", scan, "naive scan of all configs")
    for what in ("distinct contexts", "first turn of a session"):
        least, most = (f"{size:,} configs: {what}" for size in (SIZES[0], SIZES[-1]))
        yield row(most, least, f"with {SIZES[0]} configs", GROWTH)
    for size in SIZES:
        for volatility in _VOLATILITIES:
            for what, bar in (("next turn", NEXT_TURN), ("same turn again", SAME_TURN)):
                name = f"{size:,} configs: {what}, {volatility}"
                # What a turn brings along is rules to ask, which no copy of a dict does.
                demanded = bar if volatility == _VOLATILITIES[0] else None
                yield row(name, "copy", "dict.copy of 60", demanded)


_VOLATILITIES = ("nothing volatile", "2 volatile attributes")


def _of_tree(size: int) -> Race:
    live = tree(size)
    scan = Scan(live)
    _check_tree(Ours(live), scan, size)
    ours, begun = _warm(live, size), _warm(live, size)
    stream, beginning = players(size, 2), players(size, 3, once=True)

    def distinct(number: int) -> list[tuple[Context]]:
        return [(context,) for context in islice(stream, number)]

    def new(number: int) -> list[tuple[Context]]:
        return [(context,) for context in islice(beginning, number)]

    def first_turn(context: Context) -> object:
        return begun.session(context).turn(1)

    def scanned(context: Context) -> object:
        return scan.resolve(context, NOW)

    name = f"{size:,} configs: "
    steady, shaken = _VOLATILITIES
    return {
        f"{name}distinct contexts": Contestant(ours.resolve, distinct),
        f"{name}first turn of a session": Contestant(first_turn, new),
        f"{name}naive scan": Contestant(scanned, distinct),
        f"{name}just loaded": Contestant(Ours.resolve, _loaded(live, size)),
        **_turns(_warm(live, size), size, f", {steady}", lambda: ()),
        **_turns(_warm(live, size), size, f", {shaken}", _shaken()),
    }


def _warm(live: Live, size: int) -> Ours:
    """Give us as we are once every place has been asked for; no session is known yet."""
    ours = Ours(live)
    for context in everywhere(size):
        ours.resolve(context)
    return ours


def _loaded(live: Live, size: int) -> Callable[[int], list[tuple[Ours, Context]]]:
    """Give what is asked of a state that nobody has asked before, a new one each round."""
    stream = players(size, 6)

    def asked(number: int) -> list[tuple[Ours, Context]]:
        ours = Ours(live)
        return [(ours, context) for context in islice(stream, number)]

    return asked


def _shaken() -> Callable[[], tuple[Mapping[str, Json], ...]]:
    chance = random.Random(4)
    return lambda: (volatile(chance),)


def _turns(
    ours: Ours, size: int, suffix: str, more: Callable[[], tuple[Mapping[str, Json], ...]]
) -> Race:
    """Give what measures known sessions, each with its turns counted on."""
    name = f"{size:,} configs: "
    known = players(size, 4, once=True)
    sessions = [ours.session(context) for context in islice(known, SESSIONS)]
    for session, turn_id in product(sessions, (-2, -1)):
        session.turn(turn_id, *more())
    numbers = count(1)
    asked: list[tuple[Any, ...]] = []

    def next_turn(number: int) -> list[tuple[Any, ...]]:
        asked.clear()
        for begin in range(0, number, len(sessions)):
            turn_id = next(numbers)
            some = sessions[: number - begin]
            asked.extend((session, turn_id, *more()) for session in some)
        return asked

    def same_turn(number: int) -> list[tuple[Any, ...]]:
        again = next_turn(min(number, len(sessions)))
        for arguments in again:
            Session.turn(*arguments)
        return [again[index % len(again)] for index in range(number)]

    return {
        f"{name}next turn{suffix}": Contestant(Session.turn, next_turn),
        f"{name}same turn again{suffix}": Contestant(Session.turn, same_turn),
    }


def _check_tree(ours: Ours, scan: Scan, size: int) -> None:
    """See that all ways of asking, and the scan, say what `resolve` says."""
    chance = random.Random(5)
    live = scan.live
    for context in chain(islice(players(size, 1, once=True), CHECKED), everywhere(size)):
        right = resolve(live, context, NOW).values
        _same("a scan", scan.resolve(context, NOW), right)
        _same("resolve", ours.resolve(context, NOW).values, right)
        session = ours.session(context)
        for turn_id in range(3):
            more = volatile(chance)
            turned = {**context.attributes, **more}
            right = resolve(live, context._replace(turn_id=turn_id, attributes=turned), NOW).values
            _same("a turn", session.turn(turn_id, more, at=NOW).values, right)
            _same("a turn again", session.turn(turn_id, more, at=NOW).values, right)


def _same(what: str, values: Mapping[str, Json], right: Mapping[str, Json]) -> None:
    if dict(values) != dict(right):
        wrong = {lever: (values.get(lever), right[lever]) for lever in right}
        differing = {lever: pair for lever, pair in wrong.items() if pair[0] != pair[1]}
        raise Wrong(f"{what} differs from resolve(): {differing}")
