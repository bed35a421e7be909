"""Merging what is in force, step by step, and taking back what breaks a rule between levers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.catalog import Catalog
from ledger.levers import Rule
from ledger.live import Activation

Json = Any


class Merge:
    """The values as they stand after each step, and which activation set them.

    `fields` has the sources of an object lever's fields, `undone` the levers that a rule took
    back, each with how it was broken.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.values: dict[str, Json] = dict(catalog.defaults)
        self.sources: dict[str, Activation] = {}
        self.fields: dict[str, dict[str, Activation]] = {}
        self.undone: dict[str, str] = {}
        self._held: dict[Rule, dict[str, tuple[Json, Activation | None]]] = {}
        self._note_rules_that_hold(catalog.rules)

    def step(self, activation: Activation) -> None:
        """Let one activation replace what stands."""
        touched = activation.pinned.payload
        for lever, stored in touched.items():
            if (value := self.catalog.read(lever, stored)) is not None:
                self._put(lever, value, activation)
        rules = [rule for rule in self.catalog.rules if not touched.keys().isdisjoint(rule.levers)]
        self._note_rules_that_hold(rules)

    def _put(self, lever: str, value: Json, activation: Activation) -> None:
        if self.catalog.levers[lever].type == "object":
            value = {**self.values[lever], **value}
            by_field = self.fields.get(lever, {})
            supplied = dict.fromkeys(activation.pinned.payload[lever], activation)
            self.fields[lever] = {**by_field, **supplied}
        self.values[lever] = value
        self.sources[lever] = activation

    def _note_rules_that_hold(self, rules: Iterable[Rule]) -> None:
        for rule in rules:
            if rule.holds(self.values):
                self._held[rule] = {
                    lever: (self.values[lever], self.sources.get(lever)) for lever in rule.levers
                }

    def settle(self) -> None:
        """Undo, for each rule that is broken now, all since the last step at which it held."""
        for rule in self.catalog.rules:
            if not rule.holds(self.values):
                low, high = self.values[rule.lower], self.values[rule.upper]
                broken = f"{rule.lower} {low} would be above {rule.upper} {high}"
                self._undo(self._held.get(rule, {}), broken)

    def _undo(self, held: Mapping[str, tuple[Json, Activation | None]], broken: str) -> None:
        for lever, (value, source) in held.items():
            if source is not self.sources.get(lever):
                self.undone[lever] = broken
            self.values[lever] = value
            if source is None:
                self.sources.pop(lever, None)
            else:
                self.sources[lever] = source
