"""Every kind of event, and the envelope that each is recorded in.

An event class is frozen and named in the past tense; its name is its stable type name in the
store, on Kafka and over HTTP. Changing what `data` holds means raising `VERSION` and adding an
entry to `UPCASTS`: bytes that were stored never change, they are read as the newest version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar, Self
from uuid import NAMESPACE_URL, UUID, SafeUUID, uuid5

import orjson

from ledger.catalog import Catalog
from ledger.clock import Instant, format_instant, parse_instant
from ledger.content import Content, Pinned
from ledger.experiments import Experiment
from ledger.scopes import Place, Scope

Json = Any

_NO_CONFIG = UUID(int=0)
_STREAMS = uuid5(NAMESPACE_URL, "liveops-ledger")

CATALOG_STREAM = uuid5(_STREAMS, "catalog")
FREEZES_STREAM = uuid5(_STREAMS, "freezes")
EXPERIMENTS_STREAM = uuid5(_STREAMS, "experiments")


@cache
def lever_stream(lever: str) -> UUID:
    """Name the stream in which a lever is killed and restored."""
    return uuid5(_STREAMS, f"lever:{lever}")


@dataclass(frozen=True, slots=True)
class ConfigEvent:
    """What all events of one config share: their stream is the config's id."""

    VERSION: ClassVar[int] = 1
    config_id: UUID

    @property
    def stream(self) -> UUID:
        """Name the stream that the event belongs to."""
        return self.config_id


@dataclass(frozen=True, slots=True)
class _Written(ConfigEvent):
    revision: int
    content: Content
    violations: tuple[Json, ...] = ()

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {
            "revision": self.revision,
            "content": self.content.to_json(),
            "violations": list(self.violations),
        }

    @classmethod
    def read(cls, config_id: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        content = Content.from_json(data["content"])
        return cls(config_id, data["revision"], content, tuple(data["violations"]))


@dataclass(frozen=True, slots=True)
class ConfigCreated(_Written):
    """A config was drafted, as revision 1."""


@dataclass(frozen=True, slots=True)
class ConfigRevised(_Written):
    """A config got a further revision, which stays a draft until it is activated."""


@dataclass(frozen=True, slots=True)
class ConfigActivated(ConfigEvent):
    """A revision was put in force for its window; it ends the config's earlier activation."""

    pinned: Pinned
    violations: tuple[Json, ...] = ()

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"activation": self.pinned.to_json(), "violations": list(self.violations)}

    @classmethod
    def read(cls, config_id: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(config_id, Pinned.from_json(data["activation"]), tuple(data["violations"]))


@dataclass(frozen=True, slots=True)
class ConfigDeactivated(ConfigEvent):
    """A config's activation was ended."""

    break_glass: bool = False

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"break_glass": self.break_glass}

    @classmethod
    def read(cls, config_id: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(config_id, data["break_glass"])


@dataclass(frozen=True, slots=True)
class ConfigArchived(ConfigEvent):
    """A config was put away, its activation ended."""

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event: nothing."""
        return {}

    @classmethod
    def read(cls, config_id: UUID, _: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(config_id)


@dataclass(frozen=True, slots=True)
class ConfigRolledBack(ConfigEvent):
    """An earlier activation was put in force again, with its rank.

    `restores` is the position at which the restored activation began.
    """

    pinned: Pinned
    restores: int
    break_glass: bool = False

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {
            "activation": self.pinned.to_json(),
            "restores": self.restores,
            "break_glass": self.break_glass,
        }

    @classmethod
    def read(cls, config_id: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        pinned = Pinned.from_json(data["activation"])
        return cls(config_id, pinned, data["restores"], data["break_glass"])


@dataclass(frozen=True, slots=True)
class RolloutChanged(ConfigEvent):
    """The live activation was ended and a new one began that differs in its rollout."""

    pinned: Pinned

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"activation": self.pinned.to_json()}

    @classmethod
    def read(cls, config_id: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(config_id, Pinned.from_json(data["activation"]))


@dataclass(frozen=True, slots=True)
class ShadowStarted(ConfigEvent):
    """A revision is evaluated beside what is in force, as if it were; it changes nothing."""

    pinned: Pinned
    violations: tuple[Json, ...] = ()

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"shadow": self.pinned.to_json(), "violations": list(self.violations)}

    @classmethod
    def read(cls, config_id: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(config_id, Pinned.from_json(data["shadow"]), tuple(data["violations"]))


@dataclass(frozen=True, slots=True)
class ShadowStopped(ConfigEvent):
    """A config is evaluated in shadow no more."""

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event: nothing."""
        return {}

    @classmethod
    def read(cls, config_id: UUID, _: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(config_id)


@dataclass(frozen=True, slots=True)
class _PlaceEvent:
    VERSION: ClassVar[int] = 1
    place: Place

    @property
    def stream(self) -> UUID:
        """Name the stream that the event belongs to: all freezes share one."""
        return FREEZES_STREAM

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"scope": self.place.scope.value, "scope_ref": self.place.ref}

    @classmethod
    def read(cls, _: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(Place(Scope(data["scope"]), data["scope_ref"]))


@dataclass(frozen=True, slots=True)
class Frozen(_PlaceEvent):
    """A place was frozen: nothing that would change what resolves there is accepted."""


@dataclass(frozen=True, slots=True)
class Unfrozen(_PlaceEvent):
    """A freeze was lifted."""


@dataclass(frozen=True, slots=True)
class _LeverEvent:
    VERSION: ClassVar[int] = 1
    lever: str
    break_glass: bool = False

    @property
    def stream(self) -> UUID:
        """Name the stream that the event belongs to: one per lever."""
        return lever_stream(self.lever)

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"lever": self.lever, "break_glass": self.break_glass}

    @classmethod
    def read(cls, _: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(data["lever"], data["break_glass"])


@dataclass(frozen=True, slots=True)
class LeverKilled(_LeverEvent):
    """A lever was killed: it resolves to its kill value everywhere."""


@dataclass(frozen=True, slots=True)
class LeverRestored(_LeverEvent):
    """A killed lever was restored: it resolves by its configs again."""


@dataclass(frozen=True, slots=True)
class _ExperimentWritten:
    VERSION: ClassVar[int] = 1
    experiment: Experiment
    break_glass: bool = False

    @property
    def stream(self) -> UUID:
        """Name the stream that the event belongs to: all experiments share one."""
        return EXPERIMENTS_STREAM

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"experiment": self.experiment.to_json(), "break_glass": self.break_glass}

    @classmethod
    def read(cls, _: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(Experiment.from_json(data["experiment"]), data["break_glass"])


@dataclass(frozen=True, slots=True)
class ExperimentStarted(_ExperimentWritten):
    """An experiment runs: who is enrolled is in it, with a variation."""


@dataclass(frozen=True, slots=True)
class ExperimentChanged(_ExperimentWritten):
    """A running experiment enrols another percentage; nothing else of it differs."""


@dataclass(frozen=True, slots=True)
class ExperimentStopped:
    """An experiment runs no more: only contexts that name it are in it."""

    VERSION: ClassVar[int] = 1
    experiment_id: str
    break_glass: bool = False

    @property
    def stream(self) -> UUID:
        """Name the stream that the event belongs to: all experiments share one."""
        return EXPERIMENTS_STREAM

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"experiment_id": self.experiment_id, "break_glass": self.break_glass}

    @classmethod
    def read(cls, _: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(data["experiment_id"], data["break_glass"])


@dataclass(frozen=True, slots=True)
class CatalogAdopted:
    """A lever catalog came into force for the whole ledger."""

    VERSION: ClassVar[int] = 1
    catalog: Catalog

    @property
    def stream(self) -> UUID:
        """Name the stream that the event belongs to."""
        return CATALOG_STREAM

    def data(self) -> dict[str, Json]:
        """Write what is particular to this event."""
        return {"catalog": self.catalog.to_json()}

    @classmethod
    def read(cls, _: UUID, data: Mapping[str, Json]) -> Self:
        """Read what `data` wrote."""
        return cls(Catalog.from_json(data["catalog"]))


Activating = ConfigActivated | ConfigRolledBack | RolloutChanged
Event = (
    ConfigCreated
    | ConfigRevised
    | ConfigActivated
    | ConfigDeactivated
    | ConfigArchived
    | ConfigRolledBack
    | RolloutChanged
    | ShadowStarted
    | ShadowStopped
    | Frozen
    | Unfrozen
    | LeverKilled
    | LeverRestored
    | ExperimentStarted
    | ExperimentChanged
    | ExperimentStopped
    | CatalogAdopted
)

EVENT_TYPES: Mapping[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        ConfigCreated,
        ConfigRevised,
        ConfigActivated,
        ConfigDeactivated,
        ConfigArchived,
        ConfigRolledBack,
        RolloutChanged,
        ShadowStarted,
        ShadowStopped,
        Frozen,
        Unfrozen,
        LeverKilled,
        LeverRestored,
        ExperimentStarted,
        ExperimentChanged,
        ExperimentStopped,
        CatalogAdopted,
    )
}

# (type, version) -> the function that turns that version's data into the next version's.
UPCASTS: dict[tuple[str, int], Callable[[dict[str, Json]], dict[str, Json]]] = {}


@dataclass(frozen=True, slots=True)
class Cause:
    """Who did it, why, and in which chain of causes: shared by all events of one command."""

    actor: UUID
    reason: str
    correlation_id: UUID
    causation_id: UUID


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the ledger recorded it."""

    position: int
    recorded_at: Instant
    event_id: UUID
    cause: Cause
    event: Event


def encode(event: Event, event_id: UUID, cause: Cause) -> bytes:
    """Write the bytes that are stored for an event: the envelope without position and stamp."""
    config_id = {"config_id": event.config_id} if isinstance(event, ConfigEvent) else {}
    return orjson.dumps(
        {
            "event_id": event_id,
            "type": type(event).__name__,
            "schema_version": event.VERSION,
            **config_id,
            "actor": cause.actor,
            "reason": cause.reason,
            "correlation_id": cause.correlation_id,
            "causation_id": cause.causation_id,
            "data": event.data(),
        }
    )


def envelope(position: int, recorded_at: Instant, state: bytes) -> bytes:
    """Put position and stamp in front of the stored bytes: the one form on every surface."""
    head = b'{"position":%d,"recorded_at":"%s",'
    return head % (position, format_instant(recorded_at).encode()) + state[1:]


def decode(position: int, recorded_at: Instant, state: bytes) -> Recorded:
    """Read stored bytes, whatever their schema version."""
    return decode_members(position, recorded_at, orjson.loads(state))


def decode_envelope(value: bytes) -> Recorded:
    """Read an event from its envelope, as it travels on Kafka and over HTTP."""
    members = orjson.loads(value)
    return decode_members(members["position"], parse_instant(members["recorded_at"]), members)


def decode_members(position: int, recorded_at: Instant, members: Mapping[str, Json]) -> Recorded:
    """Read an event from the members of its stored bytes."""
    config_id = read_uuid(members["config_id"]) if "config_id" in members else _NO_CONFIG
    correlation, causation = members["correlation_id"], members["causation_id"]
    correlation_id = read_uuid(correlation)
    cause = Cause(
        actor=read_actor(members["actor"]),
        reason=members["reason"],
        correlation_id=correlation_id,
        causation_id=correlation_id if causation == correlation else read_uuid(causation),
    )
    return Recorded(
        position,
        recorded_at,
        read_uuid(members["event_id"]),
        cause,
        _event(members["type"], members["schema_version"], config_id, members["data"]),
    )


_new, _set, _UNKNOWN = object.__new__, object.__setattr__, SafeUUID.unknown


def read_uuid(text: str) -> UUID:
    """Read a UUID; raises ValueError.

    Its own constructor does the same, but takes a quarter of a replay's time.
    """
    digits = text.replace("-", "")
    if len(digits) != 32:
        return UUID(text)
    made = _new(UUID)
    _set(made, "int", int(digits, 16))
    _set(made, "is_safe", _UNKNOWN)
    return made


# The same few people do nearly everything.
read_actor = lru_cache(maxsize=1024)(read_uuid)


@cache
def known_version(kind: str, version: int) -> type[Event]:
    """Find the class of a type of event; raises ValueError for what a newer program has written."""
    known = EVENT_TYPES.get(kind)
    if known is None or version > known.VERSION:
        raise ValueError(f"event {kind} v{version} was written by a newer LiveOps Ledger")
    return known


def _event(kind: str, version: int, config_id: UUID, data: dict[str, Json]) -> Event:
    known = known_version(kind, version)
    while version < known.VERSION:
        data = UPCASTS[kind, version](data)
        version += 1
    return known.read(config_id, data)
