"""Browsers of other origins: they may evaluate flags, where a setting allows it, and nothing else.

The rest of the API changes a game; no page of another origin has any business with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from commands.http.answers import POSITION_HEADER
from commands.http.ofrep import PREFIX

_SENT = ("Authorization", "X-API-Key", "If-None-Match", "Ledger-Min-Position")
_READ = ("ETag", POSITION_HEADER, "Retry-After")


class FlagOrigins:
    """Answers as CORS demands under OFREP's paths, for the origins that are allowed."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        # Without ETag among the exposed headers a page could never ask whether flags changed.
        self._shared = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["POST"],
            allow_headers=_SENT,
            expose_headers=_READ,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        evaluating = scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/")
        await (self._shared if evaluating else self._app)(scope, receive, send)
