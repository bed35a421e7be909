"""What an answer is given from: a state of the ledger, and where in it a context stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ledger.catalog import Catalog
from ledger.clock import Instant
from ledger.live import Activation, Origin, Running
from ledger.scopes import Context, Place, experiment_places


class Standing(Protocol):
    """The state of the ledger at `position`, as far as an answer needs it."""

    @property
    def position(self) -> int:
        """The last event's."""

    @property
    def recorded_at(self) -> Instant:
        """The last event's."""

    @property
    def catalog(self) -> Catalog:
        """The catalog in force."""

    @property
    def kills(self) -> Mapping[str, Origin]:
        """The levers that are killed."""

    @property
    def experiments(self) -> Mapping[str, Running]:
        """The experiments that run, by id."""

    def at_place(self, place: Place, /) -> tuple[Activation, ...]:
        """List the activations at a place, in the order in which they are merged."""

    def in_experiment(self, experiment_id: str, /) -> Iterable[Activation]:
        """List the activations at an experiment and at its variations, in any order."""

    def clock(self, place: Place, at: Instant, /) -> Instant:
        """Read the window clock of the configs at a place."""


class TakingPart:
    """The experiments that a context is in: those it names, and those it is enrolled in.

    `places` are where configs of its experiments are set, `given` those among them that it is at
    because a running experiment enrolled it and not because it said so.
    """

    def __init__(self, running: Mapping[str, Running], context: Context) -> None:
        named = context.named_experiments()
        assigned = _assigned(running, context, named) if running else {}
        self._all = {**named, **assigned}
        self.places = experiment_places(self._all)
        self.given = frozenset(experiment_places(assigned)) - set(experiment_places(named))

    @property
    def ids(self) -> Iterable[str]:
        """Name the experiments, with a variation or without."""
        return self._all.keys()

    def variations(self) -> dict[str, str]:
        """List the variations that are known, by experiment, sorted."""
        return {
            experiment_id: variation
            for experiment_id, variation in sorted(self._all.items())
            if variation is not None
        }


def _assigned(
    running: Mapping[str, Running], context: Context, named: Mapping[str, str | None]
) -> dict[str, str]:
    assigned = {}
    for experiment_id, (experiment, _) in running.items():
        if named.get(experiment_id) is None:
            variation = experiment.assign(context.unit(experiment.unit))
            if variation is not None:
                assigned[experiment_id] = variation
    return assigned
