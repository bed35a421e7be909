"""Waiting for a condition, with a bound, in tests of real processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return as soon as the condition holds; fail when it does not within so many seconds."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"not within {seconds} s"
        threading.Event().wait(0.02)


def gone(pid: int) -> bool:
    """Tell whether the process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
