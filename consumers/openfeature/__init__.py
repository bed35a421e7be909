"""The levers of a game through OpenFeature: a provider over the replica in its own process.

    with Replica("kafka:9092") as replica:
        api.set_provider_and_wait(LedgerProvider(replica))
        client = api.get_client()
        client.get_float_value("DROP_RATE_LEGENDARY_MULTIPLIER", 1.0, EvaluationContext("s1"))

An adapter for programs that speak OpenFeature already: each call resolves and explains one lever.
What is asked in every turn is asked of the replica itself.
"""

from __future__ import annotations

try:
    from consumers.openfeature.provider import LedgerProvider
    from consumers.openfeature.tracking import Tracked, Tracking
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] != "openfeature":
        raise
    raise ModuleNotFoundError(
        "OpenFeature's SDK is not installed: pip install 'liveops-ledger[openfeature]'",
        name=error.name,
    ) from None

__all__ = ["LedgerProvider", "Tracked", "Tracking"]
