"""A ledger in memory that is published to topics in memory, the way the publisher does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from hypothesis import strategies as st

from ledger.cloudevents import Record
from ledger.content import Content
from ledger.errors import Refused
from ledger.events import Recorded, encode
from ledger.experiments import Experiment, Variation
from ledger.intents import (
    ActivateConfig,
    AdoptCatalog,
    ArchiveConfig,
    ChangeExperiment,
    CreateConfig,
    DeactivateConfig,
    Freeze,
    Intent,
    KillLever,
    RestoreLever,
    RollBack,
    StartExperiment,
    StartShadow,
    StopExperiment,
    StopShadow,
    Unfreeze,
)
from ledger.live import Live
from ledger.scopes import EVERYWHERE, Place, Scope
from ledger.state import replay_live
from ledger.store import Stored
from projections.mirror import Mirror, transaction
from tests.unit.history import History

WORLD = Place(Scope.WORLD, "w1")
CONFIG_IDS = [UUID(int=n) for n in range(1, 5)]


class Chronicle(History):
    """A history whose events are also there as the store gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[Stored] = []

    def do(self, intent: Intent, reason: str = "because") -> Recorded:
        """Carry an intent out; returns its last event."""
        before = len(self.events)
        last = super().do(intent, reason)
        for recorded in self.events[before:]:
            self.stored.append(_stored(recorded, UUID(int=10_000 + before)))
        return last

    def attempt(self, intent: Intent) -> None:
        """Carry an intent out unless the state refuses it."""
        try:
            self.do(intent)
        except Refused:
            return

    def live_at(self, position: int) -> Live:
        """Fold the prefix that ends at a position."""
        return replay_live(self.events[:position])


def _stored(recorded: Recorded, causation_id: UUID) -> Stored:
    event = recorded.event
    cause = replace(recorded.cause, causation_id=causation_id)
    state = encode(event, recorded.event_id, cause)
    position, recorded_at = recorded.position, recorded.recorded_at
    return Stored(position, recorded_at, event.stream, 1, type(event).__name__, state)


@dataclass
class Broker:
    """Two topics in memory; `active` is compacted at once."""

    events: list[Record] = field(default_factory=list)
    active: dict[str, bytes] = field(default_factory=dict)

    def publish(self, stored: Sequence[Stored], limit: int, mirror: Mirror) -> Iterator[Mirror]:
        """Publish what the mirror lacks; yields after each transaction."""
        while read := stored[mirror.live.position :][: limit + 1]:
            batch = transaction(read, limit)
            for event in batch:
                mirror.apply(event.recorded)
            self.events += [event.record() for event in batch]
            self.put(mirror.due() if batch[-1].ends_batch else [])
            yield mirror

    def put(self, things: Sequence[Record]) -> None:
        """Write to the compacted topic."""
        for record in things:
            key = record.key.decode()
            if record.value is None:
                self.active.pop(key, None)
            else:
                self.active[key] = record.value


# --- Random histories ---


def _content(number: int) -> Content:
    scope, ref = ("global", "global") if number % 2 else WORLD
    payload = {"TURN_PACING_MULTIPLIER": number / 10, "AWF_TOOL_CALL_QUOTA": number}
    data = {"name": f"config {number}", "scope": scope, "scope_ref": ref, "payload": payload}
    return Content.from_json(data)


def experiment(experiment_id: str) -> Experiment:
    """Give an experiment of two arms that half of its group takes part in."""
    arms = (Variation("a", 1), Variation("b", 1))
    return Experiment(experiment_id, arms, percentage=50_000, group="g")


_experiments = st.sampled_from(["x", "y", "é"])
_ids = st.sampled_from(CONFIG_IDS)
_places = st.sampled_from([EVERYWHERE, WORLD])
_levers = st.sampled_from(["TURN_PACING_MULTIPLIER", "MODS_GATE"])
intents = st.one_of(
    _ids.map(lambda config_id: CreateConfig(config_id, _content(config_id.int))),
    _ids.map(ActivateConfig),
    _ids.map(DeactivateConfig),
    _ids.map(ArchiveConfig),
    _places.map(Freeze),
    _places.map(Unfreeze),
    _levers.map(KillLever),
    _levers.map(RestoreLever),
    _ids.map(StartShadow),
    _ids.map(StopShadow),
    _experiments.map(experiment).map(StartExperiment),
    _experiments.map(lambda experiment_id: ChangeExperiment(experiment_id, 20_000)),
    _experiments.map(StopExperiment),
    st.just(RollBack(Live())),
)


@st.composite
def chronicles(draw: st.DrawFn) -> Chronicle:
    """A ledger after some commands, of which a few have many events."""
    chronicle = Chronicle()
    chronicle.do(AdoptCatalog(chronicle.live.catalog))
    for config_id in CONFIG_IDS:
        chronicle.do(CreateConfig(config_id, _content(config_id.int)))
    for intent in draw(st.lists(intents, max_size=25)):
        chronicle.attempt(intent)
    return chronicle
