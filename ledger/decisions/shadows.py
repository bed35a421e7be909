"""Evaluating a revision beside what is in force.

A shadow changes nothing that resolves. So no freeze refuses it, nor bounds: what is wrong with
its values is listed, for that is what a shadow is to find out.
"""

from __future__ import annotations

from ledger.content import Pinned
from ledger.decisions.decision import Decision, expected_config
from ledger.decisions.drafts import listed, refuse
from ledger.errors import Conflict
from ledger.events import CATALOG_STREAM, ShadowStarted, ShadowStopped
from ledger.intents import StartShadow, StopShadow, Terms
from ledger.state import State
from ledger.validation import validate


def start_shadow(state: State, intent: StartShadow, terms: Terms) -> Decision:
    """Put a revision in shadow, in place of another one of the same config."""
    config = expected_config(state, intent.config_id, intent.expected_revision)
    revision = config.revision(intent.revision)
    if config.archived:
        raise Conflict("an archived config cannot be in shadow: roll it back to life first")
    standing = state.live.shadows.get(config.config_id)
    if standing is not None and standing.pinned.revision == revision.number:
        raise Conflict(f"revision {revision.number} is in shadow already")
    checked = validate(state.live.catalog, revision.content.payload, strict=terms.strict)
    if checked.refuses_draft:
        refuse(checked)
    content = revision.content._replace(payload=checked.payload)
    pinned = Pinned.of(revision.number, content, content.window)
    event = ShadowStarted(config.config_id, pinned, listed(checked))
    return Decision((event,), frozenset({CATALOG_STREAM}))


def stop_shadow(state: State, intent: StopShadow) -> Decision:
    """End a config's shadow."""
    config = expected_config(state, intent.config_id, intent.expected_revision)
    if config.config_id not in state.live.shadows:
        raise Conflict(f"config {config.config_id} is not in shadow")
    return Decision((ShadowStopped(config.config_id),))
