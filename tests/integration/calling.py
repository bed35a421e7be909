"""Calling the HTTP API in tests; every answer is held against the API's own OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from commands.client import BASE
from commands.http import create_app
from commands.ledger import Ledger
from commands.settings import Settings
from ledger.catalog import shipped_catalog
from ledger.store import LedgerStore

Json = Any

TOKEN = "the-administrators-token"
PROBLEM = "application/problem+json"
SKILLS = {
    "name": "Tutorial Pacing Adjustment",
    "scope": "adventure",
    "scope_ref": "adventure.tutorial",
    "payload": {
        "QUEST_PACING_TEMPO_MULTIPLIER": 0.8,
        "SOFT_LOCK_HINT_FREQUENCY": 0.2,
        "SKILL_CHECK_SUCCESS_RATE_MULTIPLIER": 1.1,
    },
}
DROPS = {
    "name": "Drops",
    "scope": "world",
    "scope_ref": "world.forest_glade",
    "payload": {"DROP_RATE_LEGENDARY_MULTIPLIER": 1.5},
}


@dataclass
class Api:
    """A client of an app that serves a ledger."""

    client: TestClient
    ledger: Ledger

    def call(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        key: str | None = None,
        revision: int | None = None,
        **request: Json,
    ) -> httpx2.Response:
        """Send a request and check that the document foresees its answer."""
        headers = dict(request.pop("headers", {}))
        if key is not None:
            headers["Idempotency-Key"] = f'"{key}"'
        if revision is not None:
            headers["If-Match"] = f'"{revision}"'
        if body is not None:
            request["json"] = body
        url = path if path.startswith("/api/") else BASE + path
        answer = self.client.request(method, url, headers=headers, **request)
        self.document.check(method, url, answer)
        return answer

    def get(self, path: str, **query: Json) -> httpx2.Response:
        """Ask, with parameters as the query."""
        return self.call("GET", path, params=query)

    def post(self, path: str, body: Json = None, **options: Json) -> httpx2.Response:
        """Give a command, or ask with a body."""
        return self.call("POST", path, body, **options)

    def created(self, config: Mapping[str, Json] = DROPS, **members: Json) -> str:
        """Draft a config and return its id."""
        answer = self.post("/configs", {**config, **members})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["config_id"])

    def activated(self, config: Mapping[str, Json] = DROPS, **members: Json) -> str:
        """Draft a config, activate it, and return its id."""
        config_id = self.created(config, **members)
        assert self.post(f"/configs/{config_id}/activate").status_code == 200
        return config_id

    def head(self) -> int:
        """Return the position of the ledger's last event."""
        return self.ledger.store.head().position

    @property
    def document(self) -> Document:
        """The app's OpenAPI document."""
        if not _DOCUMENTS:
            _DOCUMENTS.append(Document(self.client.get("/openapi.json").json()))
        return _DOCUMENTS[0]


@contextmanager
def serving(store: LedgerStore, database: str, **settings: Json) -> Iterator[Api]:
    """Serve a ledger to a client that is its administrator."""
    set_to = Settings(admin_token=TOKEN, database_url=database, **settings)
    ledger = Ledger(store, strict=set_to.bounds_strict, frozen=set_to.global_freeze)
    ledger.adopt(shipped_catalog())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(create_app(ledger, set_to), headers=headers) as client:
        yield Api(client, ledger)


@dataclass
class Document:
    """An OpenAPI document, to hold answers against."""

    written: Mapping[str, Json]
    _validators: dict[str, Draft202012Validator] = field(default_factory=dict)

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Json]]]:
        """Yield each operation with its method and path."""
        for path, operations in self.written["paths"].items():
            for method, operation in operations.items():
                yield method.upper(), path, operation

    def check(self, method: str, url: str, answer: httpx2.Response) -> None:
        """Assert that an answer is as the document says."""
        operation = self._operation(method, url.partition("?")[0])
        if operation is None:
            assert answer.status_code in {404, 405}, answer.text
            return
        told = f"{method} {url} {answer.status_code} {answer.text[:300]}"
        assert str(answer.status_code) in operation["responses"], told
        foreseen = operation["responses"][str(answer.status_code)]
        for header in foreseen.get("headers", ()):
            assert header in answer.headers, f"{header} is missing: {told}"
        self._check_body(foreseen["content"], answer)

    def _operation(self, method: str, path: str) -> Mapping[str, Json] | None:
        for named, template, operation in self.operations():
            pattern = re.sub(r"\{\w+\}", "[^/]+", template.replace("{path}", ".+"))
            if named == method and re.fullmatch(pattern, path):
                return operation
        return None

    def _check_body(self, content: Mapping[str, Json], answer: httpx2.Response) -> None:
        media_type = answer.headers["content-type"].partition(";")[0]
        kinds = {kind.partition(";")[0]: schema for kind, schema in content.items()}
        assert media_type in kinds, f"{media_type} is not in {list(kinds)}"
        if "schema" in kinds[media_type]:
            self.fits(kinds[media_type]["schema"], answer.json())

    def fits(self, schema: Mapping[str, Json], value: Json) -> None:
        """Assert that a value fits a schema of the document."""
        written = str(schema)
        if written not in self._validators:
            whole = {**schema, "components": self.written["components"]}
            self._validators[written] = Draft202012Validator(whole)
        errors = [str(error)[:800] for error in self._validators[written].iter_errors(value)]
        assert not errors, errors


_DOCUMENTS: list[Document] = []
"""The one document, which all apps have: writing it takes a tenth of a second."""


def problem(answer: httpx2.Response, status: int, slug: str) -> Json:
    """Assert that an answer is a problem of a kind, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    told = answer.json()
    assert told["type"] == f"urn:liveops:problem:{slug}"
    assert told["status"] == status
    return told
