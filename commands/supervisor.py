"""What `liveops up` runs and keeps running: servers and programs, each a child process.

Parts start one after the other and stop in reverse order. In between each has a thread of its
own that starts it again when it ends: one that waits for another never keeps that one from
coming back.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self, TypeVar

from commands.embedded.errors import EmbeddedServerError
from commands.embedded.home import Home
from commands.embedded.part import Part
from commands.embedded.process import UNWATCHED, ChildProcess, Watch, last_lines

PARENT_PIPE = "LIVEOPS_EXIT_WITH_PARENT"
"""Set in the environment of a child whose standard input ends when its parent dies."""

_TICK = 0.05
"""Seconds between two looks at a process."""

AnyPart = TypeVar("AnyPart", bound=Part)
Report = Callable[[str, str], None]
"""Takes the name of a part and what has become of it, in words for people; from any thread."""


@dataclass(frozen=True, slots=True)
class Exit:
    """A part has ended without having been asked to."""

    name: str
    pid: int
    exit_code: int | None

    @property
    def clean(self) -> bool:
        """Whether it ended by itself and called that a success."""
        return self.exit_code == 0

    def __str__(self) -> str:
        if self.exit_code is None or self.exit_code >= 0:
            return f"ended with exit code {self.exit_code}"
        try:
            return f"ended by {signal.Signals(-self.exit_code).name}"
        except ValueError:  # a real-time signal: it has a number only
            return f"ended by signal {-self.exit_code}"


OnExit = Callable[[Exit], None]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a part that ended is started again, in seconds.

    The wait doubles from `first` to `longest`, and begins anew once a part has served for
    `settled`.
    """

    first: float = 0.1
    longest: float = 5.0
    settled: float = 3.0

    def delay(self, failures: int) -> float:
        """The wait after so many failures in a row, of which there is at least one."""
        return float(min(self.longest, self.first * 2 ** min(failures - 1, 16)))


class Child(Part):
    """One of our own programs. It must call `exit_with_parent()` when it begins."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        home: Path,
        env: Mapping[str, str] = MappingProxyType({}),
        ready: Callable[[], bool] = lambda: True,
        ready_seconds: float = 60.0,
    ) -> None:
        """`env` is added to ours; `ready` is asked until it says yes, and must not block long."""
        super().__init__(name)
        self._ready = ready
        self._ready_seconds = ready_seconds
        self._program = ChildProcess(
            argv,
            log=home / "logs" / f"{name}.log",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env, PARENT_PIPE: "1"},
            parent_pipe=True,
        )

    def start(self, watch: Watch = UNWATCHED) -> None:
        """Start it, unless it runs; return once it is ready. Raises EmbeddedServerError."""
        if self.running:
            return
        self._process = self._program
        self._program.start(watch)
        if not self._program.serves(self._ready, self._ready_seconds, watch):
            self.stop()
            raise EmbeddedServerError(
                f"{self.name} did not start; the end of {self._program.log}:"
                + last_lines(self.said())
            )


class Stopping(Exception):
    """A stop was asked for while something was starting. Ends at the supervisor's context."""


class Supervisor:
    """Starts parts, starts them again when they end, and stops them, in one home.

    Use as a context: entering takes the home and ends what an earlier program left there;
    leaving stops everything. SIGINT, SIGTERM and SIGHUP ask for the stop, where it was the main
    thread that entered.
    """

    def __init__(self, home: Path, *, report: Report = lambda _name, _text: None) -> None:
        self._home = Home(home)
        self._report = report
        self._stop = _StopRequest()
        self._shared = _Shared(self._home, report, self._stop)
        self._keepers: dict[str, _Keeper] = {}
        self._context = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as context:
            context.callback(self._stop.close)
            ended = self._home.claim()
            context.callback(self._home.release)
            context.enter_context(_signals_ask_for(self._stop))
            context.callback(self._stop_all)
            self._context = context.pop_all()
        if ended:
            self._report("home", f"ended {ended} processes that an earlier run had left")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._context.__exit__(kind, error, trace)
        return isinstance(error, Stopping)

    def start(
        self, part: AnyPart, *, backoff: Backoff = Backoff(), on_exit: Sequence[OnExit] = ()
    ) -> AnyPart:
        """Start a part and look after it from now on; return it once it serves.

        Raises EmbeddedServerError when it does not start this first time. The hooks are called
        whenever it has ended unasked, also during a later start, and before it is started again,
        in the part's own thread.
        """
        keeper = _Keeper(part, backoff, on_exit, self._shared)
        self._keepers[part.name] = keeper
        keeper.begin()
        return part

    def restart(self, name: str) -> None:
        """Stop a part and start it anew; return once it serves. Its hooks are not called.

        Raises EmbeddedServerError when it does not start; it is then tried again as after an end.
        """
        self._keepers[name].restart()

    def run(self) -> None:
        """Keep everything running until a stop is asked for."""
        self._stop.wait()

    def request_stop(self) -> None:
        """Ask for the end of `run`, or of a start that is under way. From any thread."""
        self._stop.request()

    def _stop_all(self) -> None:
        self._stop.request()
        for keeper in self._keepers.values():
            keeper.retire()
        for keeper in reversed(self._keepers.values()):
            keeper.stop()


@dataclass(frozen=True, slots=True)
class _Shared:
    home: Home
    report: Report
    stop: _StopRequest


class _Keeper:
    """Looks after one part in a thread of its own."""

    def __init__(
        self, part: Part, backoff: Backoff, on_exit: Sequence[OnExit], shared: _Shared
    ) -> None:
        self._part = part
        self._backoff = backoff
        self._on_exit = on_exit
        self._shared = shared
        self._stop = shared.stop
        # Held while the part is started or stopped, never while a hook runs: a hook may restart
        # another part whose hook restarts this one.
        self._busy = threading.Lock()
        self._failures = 0
        self._serves_since: float | None = None
        self._trouble = ""
        self._thread = threading.Thread(target=self._keep, name=f"keep-{part.name}", daemon=True)

    def begin(self) -> None:
        """Start the part, then the thread. Raises Stopping when a stop comes in between."""
        self._launch()
        self._thread.start()

    def restart(self) -> None:
        """Stop and start the part. Raises Stopping when there is no point any more."""
        with self._busy:
            self._part.stop()
            self._launch()

    def retire(self) -> None:
        """Wait for the thread's end; a stop must have been asked for."""
        if self._thread.is_alive():
            self._thread.join()

    def stop(self) -> None:
        """Stop the part, and say so when there was one to stop."""
        with self._busy:
            if self._part.running:
                self._report("stopping")
            self._part.stop()
            self._shared.home.forget(self._part.name)

    def _keep(self) -> None:
        while not self._stop.within(_TICK):
            if (ended := self._unexpected_end()) is not None:
                self._count(ended)
                self._call_hooks(ended)
                if not self._stop.within(self._backoff.delay(self._failures)):
                    self._start_again()

    def _unexpected_end(self) -> Exit | None:
        if self._part.running:
            return None
        with self._busy:  # whoever restarts it just now has ended it on purpose
            if self._part.running:
                return None
            return Exit(self._part.name, self._part.pid, self._part.exit_code)

    def _count(self, ended: Exit) -> None:
        since = self._serves_since
        settled = since is not None and time.monotonic() - since >= self._backoff.settled
        self._failures = 1 if settled else self._failures + 1
        # Who is killed does not get to say why.
        words = "" if ended.exit_code == -signal.SIGKILL else last_lines(self._part.said(), 5)
        self._report(self._trouble or f"{ended}{words}")

    def _call_hooks(self, ended: Exit) -> None:
        for hook in self._on_exit:
            try:
                hook(ended)
            except Stopping:
                return
            except Exception as error:
                self._report(f"after its end: {error}")

    def _start_again(self) -> None:
        # The error is kept and reported as the reason of this end, in the next round.
        with self._busy, contextlib.suppress(EmbeddedServerError, OSError, Stopping):
            if not self._part.running:
                self._launch()

    def _launch(self) -> None:
        if self._stop.requested:
            raise Stopping
        self._serves_since, self._trouble = None, ""
        self._report("starting")
        began = time.monotonic()
        try:
            self._part.start(_Starting(self._part, self._shared))
        except (EmbeddedServerError, OSError) as error:
            self._trouble = str(error)
            if self._stop.requested:
                raise Stopping from None
            raise
        self._serves_since = time.monotonic()
        self._report(f"ready after {self._serves_since - began:.1f} s")

    def _report(self, text: str) -> None:
        self._shared.report(self._part.name, text)


class _Starting(Watch):
    """Records the process, and gives up when a stop is asked for."""

    def __init__(self, part: Part, shared: _Shared) -> None:
        self._part = part
        self._shared = shared

    def spawned(self, pid: int) -> None:
        asks = self._part.farewell[0][0] if self._part.farewell else signal.SIGKILL
        self._shared.home.remember(self._part.name, pid, asks)

    def cancelled(self) -> bool:
        return self._shared.stop.requested


class _StopRequest:
    """A flag that a signal handler may raise and that many threads may wait for.

    A threading.Event would not do: its lock may be held by the very thread that the handler
    interrupts. A socket that becomes readable, and stays so, wakes everybody.
    """

    def __init__(self) -> None:
        self.requested = False
        self._readable, self._writable = socket.socketpair()

    def request(self) -> None:
        """Raise the flag, for good."""
        if not self.requested:
            self.requested = True
            self._writable.send(b"x")

    def within(self, seconds: float) -> bool:
        """Wait for at most so long; tell whether the flag is raised."""
        select.select([self._readable], [], [], seconds)
        return self.requested

    def wait(self) -> None:
        """Wait until the flag is raised."""
        select.select([self._readable], [], [])

    def close(self) -> None:
        """Let go of the sockets; nobody waits any more."""
        self._readable.close()
        self._writable.close()


@contextlib.contextmanager
def _signals_ask_for(stop: _StopRequest) -> Iterator[None]:
    """Let signals ask for the stop, in the main thread, until the context ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks not to be disturbed
        wanted.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.request()) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_with_parent(grace: float = 5.0) -> None:
    """Have this program end when the supervisor that started it is gone. Call it first of all.

    It gets SIGTERM, and after `grace` seconds no further choice. Nothing happens in a program
    that was started by hand.
    """
    if os.environ.pop(PARENT_PIPE, None):
        threading.Thread(target=_outlive, args=(grace,), name="parent", daemon=True).start()


def _outlive(grace: float) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace)
    os._exit(1)
