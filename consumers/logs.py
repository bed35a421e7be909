"""Where consumers log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger


def log() -> Logger:
    """Give the logger of this package, `consumers`."""
    import logging  # a tenth of what a game's import may take, and mostly for nothing

    return logging.getLogger("consumers")
