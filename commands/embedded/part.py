"""What every server and program that `liveops up` runs has in common."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from commands.embedded.errors import EmbeddedServerError
from commands.embedded.process import UNWATCHED, ChildProcess, Watch


class Part(ABC):
    """A child process that can be started, again and again, and stopped."""

    farewell: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 10.0),)
    """The signals that ask it to stop, each with its seconds of grace; the last word is SIGKILL."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """Its process id, also after its end. Raises EmbeddedServerError before the first start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self._process is not None and self._process.running

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._started().exit_code

    @abstractmethod
    def start(self, watch: Watch = UNWATCHED) -> None:
        """Start it, unless it serves already; return once it serves.

        Raises EmbeddedServerError when it does not, or when the watch is cancelled.
        """

    def stop(self) -> None:
        """Stop it, and return once its process is gone. Nothing happens when it is not running."""
        if self._process is not None:
            self._process.stop(self.farewell)

    def said(self) -> str:
        """The end of what it wrote to its log since its latest start."""
        return "" if self._process is None else self._process.said()

    def _started(self) -> ChildProcess:
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} has not been started")
        return self._process
