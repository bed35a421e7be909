"""What a config says: its content, a revision pinned by an activation, and the targeting rule."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

from ledger.rollout import Rollout
from ledger.schedule import Window
from ledger.scopes import Place, Scope

Json = Any
T = TypeVar("T")

ALWAYS = Window(None, None)

# Replays read millions of contents: this is three times as fast as asking the enum.
_SCOPES: Mapping[str, Scope] = {scope.value: scope for scope in Scope}


class Targeting(NamedTuple):
    """Whom a config is for: `include` true or absent, and `exclude` not true (CEL texts)."""

    include: str | None = None
    exclude: str | None = None

    def to_json(self) -> dict[str, Json]:
        """Write the two rules, without the absent one."""
        rules = {"include": self.include, "exclude": self.exclude}
        return {name: text for name, text in rules.items() if text is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Json] | None) -> Targeting | None:
        """Read the two rules; an absent or empty object is no targeting at all."""
        if not data:
            return None
        include, exclude = data.get("include"), data.get("exclude")
        return cls(
            None if include is None else _a(str, include),
            None if exclude is None else _a(str, exclude),
        )


class Content(NamedTuple):
    """One revision of a config, as it was written and normalised."""

    name: str
    place: Place
    payload: Mapping[str, Json]
    window: Window = ALWAYS
    targeting: Targeting | None = None
    rollout: Rollout | None = None
    priority: int = 0
    labels: Mapping[str, str] = MappingProxyType({})

    def to_json(self) -> dict[str, Json]:
        """Write the content with every member, null where absent."""
        return {
            "name": self.name,
            "scope": self.place.scope.value,
            "scope_ref": self.place.ref,
            "payload": dict(self.payload),
            **self.window.to_json(),
            "targeting": self.targeting and self.targeting.to_json(),
            "rollout": self.rollout and self.rollout.to_json(),
            "priority": self.priority,
            "labels": dict(self.labels),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            name=data["name"],
            place=Place(_SCOPES[data["scope"]], data["scope_ref"]),
            payload=data["payload"],
            window=Window.from_json(data),
            targeting=Targeting.from_json(data.get("targeting")),
            rollout=_rollout(data.get("rollout")),
            priority=data.get("priority", 0),
            labels=data.get("labels") or {},
        )


class Pinned(NamedTuple):
    """A revision as an activation pins it: all that resolution needs to know of a config.

    `rank` is None where the activation restores no earlier one: its own position is its rank.
    """

    revision: int
    name: str
    place: Place
    payload: Mapping[str, Json]
    window: Window
    targeting: Targeting | None
    rollout: Rollout | None
    priority: int
    rank: int | None = None

    @classmethod
    def of(cls, revision: int, content: Content, window: Window) -> Self:
        """Pin a revision's content to a window."""
        return cls(
            revision=revision,
            name=content.name,
            place=content.place,
            payload=content.payload,
            window=window,
            targeting=content.targeting,
            rollout=content.rollout,
            priority=content.priority,
        )

    def ranked(self, rank: int | None) -> Self:
        """Return the same with another rank."""
        return self._replace(rank=rank)

    def rolled_out(self, rollout: Rollout | None) -> Self:
        """Return the same with another rollout, ranked as new."""
        return self._replace(rollout=rollout, rank=None)

    def to_json(self) -> dict[str, Json]:
        """Write it with every member, null where absent."""
        return {
            "revision": self.revision,
            "name": self.name,
            "scope": self.place.scope.value,
            "scope_ref": self.place.ref,
            "payload": dict(self.payload),
            **self.window.to_json(),
            "targeting": self.targeting and self.targeting.to_json(),
            "rollout": self.rollout and self.rollout.to_json(),
            "priority": self.priority,
            "rank": self.rank,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        """Read what `to_json` wrote; what is not of its type is refused with some exception."""
        return cls(
            revision=_a(int, data["revision"]),
            name=_a(str, data["name"]),
            place=Place(_SCOPES[data["scope"]], _a(str, data["scope_ref"])),
            payload=_a(dict, data["payload"]),
            window=Window.from_json(data),
            targeting=Targeting.from_json(data["targeting"]),
            rollout=_rollout(data["rollout"]),
            priority=_a(int, data["priority"]),
            rank=None if data["rank"] is None else _a(int, data["rank"]),
        )


def _rollout(data: Mapping[str, Json] | None) -> Rollout | None:
    return None if data is None else Rollout.from_json(data)


def _a(kind: type[T], value: Json) -> T:
    if type(value) is not kind:
        raise TypeError(f"{str(value)[:40]!r} stands where a {kind.__name__} should")
    return value
