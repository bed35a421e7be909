"""Samples of what games were given, resolved again: each lever against the version it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ledger.errors import NotFound
from ledger.levers import Fallback, Lever
from ledger.live import Live
from ledger.resolve import Reason, disabled, resolve
from ledger.samples import STALE, Sample, Source
from ledger.scopes import Context

Json = Any

Past = Callable[[int, Context], Live]
"""Gives what a context needs of a prefix of the ledger; raises NotFound beyond the head."""

_NOT_KNOWN = (
    "it is what the lever falls back to when nothing is heard of the ledger; whether nothing was "
    "heard is not in the ledger"
)


class Checked(NamedTuple):
    """What came of resolving a sample again.

    `differs` maps a lever to (sampled, resolved); `unverified` maps one that the ledger alone can
    neither confirm nor refute to why. `problem` says why nothing could be compared at all.
    """

    differs: Mapping[str, tuple[Json, Json]] = {}
    unverified: Mapping[str, str] = {}
    problem: str = ""

    @property
    def agrees(self) -> bool:
        """Tell whether nothing speaks against the sample."""
        return not self.differs and not self.problem


class _Impossible(Exception):
    pass


def check(sample: Sample, past: Past) -> Checked:
    """Resolve a sample again, lever by lever from where each came."""
    try:
        values, fallen = _resolved(sample, past)
    except _Impossible as error:
        return Checked(problem=str(error))
    names = sorted(sample.values.keys() | values.keys())
    pairs = {name: (sample.values.get(name), values.get(name)) for name in names}
    differs = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return Checked(differs, dict.fromkeys(sorted(fallen - differs.keys()), _NOT_KNOWN))


def _resolved(sample: Sample, past: Past) -> tuple[dict[str, Json], set[str]]:
    """Give what the ledger says, and which levers are what they fall back to."""
    first = Source("", None, sample.position, sample.at, sample.position)
    whole = next((source for source in sample.mixed if source.levers is None), first)
    values, fallen = _from(whole, sample, past), set[str]()
    for source in sample.mixed:
        if source.levers is None:
            continue
        if source.why == STALE:
            given = _fallbacks(source, sample.context, past)
            fallen |= set(source.levers)
        else:
            given = _from(source, sample, past)
        values |= {lever: given.get(lever) for lever in source.levers}
    return values, fallen


def _from(source: Source, sample: Sample, past: Past) -> dict[str, Json]:
    live = _at(source.position, sample.context, past)
    if source.at < live.recorded_at:
        raise _Impossible("it was resolved for an instant before its last event")
    if source.kills != source.position:
        kills = _at(source.kills, sample.context, past).kills
        live = live.copy()
        live.kills = dict(kills)
    if sample.reason == Reason.DISABLED:
        return dict(disabled(live.catalog, live.position, source.at).values)
    return dict(resolve(live, sample.context, source.at).values)


def _at(position: int, context: Context, past: Past) -> Live:
    try:
        return past(position, context)
    except NotFound:
        raise _Impossible(f"the ledger has no position {position}") from None


def _fallbacks(source: Source, context: Context, past: Past) -> dict[str, Json]:
    levers = _at(source.position, context, past).catalog.levers
    return {name: _fallback(lever) for name, lever in levers.items() if lever.when_stale}


def _fallback(lever: Lever) -> Json:
    closes = lever.when_stale is not None and lever.when_stale.do is Fallback.CLOSE
    return lever.closed if closes else lever.default
