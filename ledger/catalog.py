"""The levers of a game: what can be set, within which bounds, and what holds by default.

A catalog is read whole or refused whole. One that was adopted lives in the ledger for ever and
is read again at every replay: what `Catalog.from_json` accepted once, it must go on accepting.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ledger.attributes import readers
from ledger.errors import NotFound
from ledger.levers import ApplyAt, Fallback, Field, Lever, LeverType, Rule, WhenStale
from ledger.values import normalise

__all__ = [
    "ApplyAt",
    "Catalog",
    "Fallback",
    "Field",
    "Lever",
    "LeverType",
    "Rule",
    "WhenStale",
    "shipped_catalog",
]

Json = Any


class Catalog:
    """All levers of a game by name, in the file's order. Nothing in it is ever changed.

    `defaults` is what resolution starts from: copy it, and never change a value inside.
    `attributes` maps the attributes that contexts may carry to CEL types, None if undeclared.
    """

    __slots__ = (
        *("_readers", "attributes", "defaults", "levers", "names", "rules", "source", "version"),
    )

    def __init__(
        self,
        levers: Mapping[str, Lever],
        rules: tuple[Rule, ...] = (),
        attributes: Mapping[str, str] | None = None,
        version: int = 1,
        source: str | None = None,
    ) -> None:
        self.levers = levers
        self.rules = rules
        self.attributes = attributes
        self.version = version
        self.source = source
        self.names = tuple(levers)
        self.defaults = {name: lever.default for name, lever in levers.items()}
        self._readers = readers(attributes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalog) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((self.names, self.version, self.source))

    def __repr__(self) -> str:
        return f"Catalog({len(self.levers)} levers, version {self.version})"

    def _parts(self) -> tuple[object, ...]:
        # Answers list the levers in this order: catalogs that order them otherwise are not equal.
        return self.names, self.levers, self.rules, self.attributes, self.version, self.source

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Catalog:
        """Read a catalog file; raises CatalogError with every lever that is wrong and why."""
        from ledger.catalog_file import read_catalog

        return cls(*read_catalog(data))

    def to_json(self) -> dict[str, Json]:
        """Write the catalog so that `from_json` reads an equal one, with its rules spelt out."""
        written: dict[str, Json] = {"catalog_version": self.version}
        if self.source is not None:
            written["source"] = self.source
        written["levers"] = [lever.to_json() for lever in self.levers.values()]
        written["rules"] = [rule.to_json() for rule in self.rules]
        if self.attributes is not None:
            written["attributes"] = dict(self.attributes)
        return written

    def kill_value(self, lever: str) -> Json:
        """Give what a killed lever resolves to: `off` for a gate, else its default."""
        known = self.levers.get(lever)
        if known is None:
            raise NotFound(f"There is no lever {lever[:128]!r} in the catalog.")
        return known.default if known.closed is None else known.closed

    def read(self, lever: str, value: Json) -> Json | None:
        """Give a stored value in this catalog's normal form, whatever its bounds.

        It may have been stored under an earlier catalog: 5 is 5.0 where the lever has become a
        float. None, which no lever takes, where this catalog has no such lever or value.
        """
        known = self.levers.get(lever)
        if known is None:
            return None
        normal, faults = normalise(known, value)
        return None if faults else normal

    def read_attributes(self, attributes: Mapping[str, Json]) -> Mapping[str, Json]:
        """Give a context's attributes with numbers in their declared type, for targeting rules.

        JSON writes one number in two ways: 5 where a double is declared is 5.0, and 5.0 where an
        int is, 5. What cannot be had exactly stays as it is. The same object when nothing changes.
        """
        if not self._readers:
            return attributes
        read: dict[str, Json] = {}
        for name, reader in self._readers.items():
            if name in attributes and (value := reader(attributes[name])) is not attributes[name]:
                read[name] = value
        return {**attributes, **read} if read else attributes


@cache
def shipped_catalog() -> Catalog:
    """Read the catalog that comes with the program."""
    # Not importlib.resources: it takes 10 ms to import, a third of what a game grants us.
    from pkgutil import get_data

    import orjson

    return Catalog.from_json(orjson.loads(get_data("ledger", "catalog.json") or b""))
