"""The HTTP API: routes by noun, problem details, one strict way in for every request."""

from __future__ import annotations

from commands.http.app import create_app

__all__ = ["create_app"]
