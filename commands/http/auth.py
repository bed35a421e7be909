"""Who calls: the bearer token, and the actor that it stands for."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from fastapi.security import HTTPBearer

from commands.http.problems import UNAUTHORIZED, Problem
from commands.identity import ADMINISTRATOR

BEARER = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="The administrator's token."
)
"""How the OpenAPI document says it; `Authority` is what checks."""


class Authority:
    """Tells callers apart by their token: there is one, the administrator's."""

    def __init__(self, admin_token: str) -> None:
        self._digest = _digest(admin_token)

    def actor(self, authorization: Sequence[str]) -> UUID:
        """Tell who calls, given the Authorization headers; raises an unauthorized Problem."""
        if not authorization:
            raise _refused("", "Send the token as: Authorization: Bearer <token>")
        scheme, _, token = authorization[0].partition(" ")
        if len(authorization) > 1 or scheme.lower() != "bearer" or not token.strip():
            raise _refused("", "Send one token as: Authorization: Bearer <token>")
        # Digests have one length, so that the time it takes tells nothing of the token's.
        if not hmac.compare_digest(_digest(token.strip()), self._digest):
            raise _refused(', error="invalid_token"', "This token is not valid here")
        return ADMINISTRATOR


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()


def _refused(error: str, detail: str) -> Problem:
    challenge = f'Bearer realm="liveops"{error}'
    return Problem(UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
