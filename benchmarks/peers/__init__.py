"""The contestants, each fed without a network as its maintainers mean it to be, one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.workload import Knob, Visitor

Json = Any


class Peer(NamedTuple):
    """A contestant that holds the flat list.

    `answer` gives the values of all levers for a visitor. `core` is the language that decides,
    `how` what was asked and what was switched off, `close` ends what runs in the background.
    """

    package: str
    core: str
    how: str
    answer: Callable[[Visitor], Mapping[str, Json]]
    close: Callable[[], None] = lambda: None


Opening = Callable[[tuple[Knob, ...]], Peer]
