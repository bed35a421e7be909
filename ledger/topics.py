"""The topics on Kafka: their names, how they are made, and how our clients talk to brokers.

Shared by who writes them and who reads them. Nothing here speaks to Kafka itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

Client = TypeVar("Client")

LARGEST_RECORD = 16 << 20
"""Bytes. An event that was accepted must never be one that cannot be published."""

_ALL_TOPICS = {
    "max.message.bytes": str(LARGEST_RECORD),
    # Records carry the ledger's time, and replicas find their place by it.
    "message.timestamp.type": "CreateTime",
}
EVENTS_SETTINGS: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    **_ALL_TOPICS,
}
CHECKPOINTS_SETTINGS = EVENTS_SETTINGS
ACTIVE_SETTINGS: Mapping[str, str] = {"cleanup.policy": "compact", **_ALL_TOPICS}

TELEMETRY_SETTINGS: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * 24 * 3600 * 1000),
    **_ALL_TOPICS,
}
TELEMETRY_PARTITIONS = 8

CLIENT: Mapping[str, int] = {
    "bootstrap_timeout_ms": 3_000,
    "request_timeout_ms": 10_000,
    # By default a client that lost its broker looks for it only every 30 s.
    "reconnect_backoff_max_ms": 1_000,
    # The embedded broker ignores the limits of a fetch: a whole log comes as one response.
    "receive_message_max_bytes": 1 << 30,
}
"""Options of every client of ours. The version of the protocol is never among them."""


class Topics(NamedTuple):
    """The names of the topics of one ledger."""

    prefix: str

    @property
    def events(self) -> str:
        """Name the topic of every event, in ledger order."""
        return f"{self.prefix}.events"

    @property
    def active(self) -> str:
        """Name the compacted topic of all that matters to resolution now."""
        return f"{self.prefix}.active"

    @property
    def checkpoints(self) -> str:
        """Name the topic of the log's signed heads."""
        return f"{self.prefix}.checkpoints"

    @property
    def telemetry(self) -> str:
        """Name the topic of what games report."""
        return f"{self.prefix}.telemetry"

    @property
    def settings(self) -> dict[str, Mapping[str, str]]:
        """List the topics that are published, with the settings that they must have."""
        return {
            self.events: EVENTS_SETTINGS,
            self.active: ACTIVE_SETTINGS,
            self.checkpoints: CHECKPOINTS_SETTINGS,
        }


def open_client(make: Callable[..., Client], network: Callable[..., Any], **options: Any) -> Client:
    """Open a client of kafka-python, and when that fails, leave no thread of it behind.

    `make` is the client's class, `network` the class of what moves its bytes: the client does not
    close that when no broker answers.
    """
    opened: list[Any] = []

    def made(**configs: Any) -> Any:
        opened.append(network(**configs))
        return opened[-1]

    try:
        return make(**{**CLIENT, **options}, kafka_client=made)
    except BaseException:
        for client in opened:
            client.close()
        raise
