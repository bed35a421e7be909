"""The HTTP API as the command line and the tour call it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import httpx
import orjson

Json = Any

BASE = "/api/awf-liveops"
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


class ApiProblem(Exception):
    """The API refused, as RFC 9457 problem details."""

    def __init__(self, status: int, problem: Mapping[str, Json]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or status))
        self.status = status
        self.problem = dict(problem)


class ApiUnreachable(Exception):
    """Nothing answers at the API's address."""


class Api:
    """A connection to one server with one bearer token; a context manager."""

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"}
        # No proxy that the environment names can reach the server on this very machine.
        near = httpx.URL(self.url).host in _THIS_MACHINE
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, trust_env=not near
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: Json) -> Json:
        """Ask a question; members of `query` that are None are left out."""
        asked = {name: value for name, value in query.items() if value is not None}
        return self._json("GET", path, params=asked)

    def text(self, path: str) -> str:
        """Ask for an answer that is plain text."""
        return self._sent("GET", path).text

    def post(self, path: str, body: Json = None, *, key: str | None = None) -> Json:
        """Give a command, with an idempotency key where it may be repeated."""
        headers = {} if key is None else {"Idempotency-Key": f'"{key}"'}
        return self._json("POST", path, json={} if body is None else body, headers=headers)

    def put(self, path: str, body: Json, *, revision: int) -> Json:
        """Replace what stands at a revision."""
        return self._json("PUT", path, json=body, headers={"If-Match": f'"{revision}"'})

    def delete(self, path: str, **query: Json) -> Json:
        """Remove something."""
        return self._json("DELETE", path, params=query)

    @contextmanager
    def streamed(self, path: str, *, accept: str, **query: Json) -> Iterator[httpx.Response]:
        """Open an answer whose body is read as it comes, piece by piece.

        Raises ApiUnreachable when it breaks off, while it is read too.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        try:
            with self._http.stream(
                "GET", BASE + path, params=asked, headers={"Accept": accept}
            ) as answer:
                if answer.is_error:
                    answer.read()
                    raise _problem(answer)
                yield answer
        except httpx.TransportError as error:
            raise ApiUnreachable(f"nothing answers at {self.url}: {error}") from error

    def _json(self, method: str, path: str, **request: Json) -> Json:
        answer = self._sent(method, path, **request)
        return orjson.loads(answer.content) if answer.content else None

    def _sent(self, method: str, path: str, **request: Json) -> httpx.Response:
        try:
            answer = self._http.request(method, BASE + path, **request)
        except httpx.TransportError as error:
            raise ApiUnreachable(f"nothing answers at {self.url}: {error}") from error
        if answer.is_error:
            raise _problem(answer)
        return answer


def _problem(answer: httpx.Response) -> ApiProblem:
    try:
        return ApiProblem(answer.status_code, orjson.loads(answer.content))
    except orjson.JSONDecodeError:
        return ApiProblem(answer.status_code, {"title": answer.reason_phrase})
