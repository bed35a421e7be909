"""Putting configs in force, and taking them out of it."""

from __future__ import annotations

from ledger.content import Pinned
from ledger.decisions.decision import Decision, expected_config
from ledger.decisions.drafts import check_window, listed, refuse
from ledger.decisions.freezes import refuse_frozen
from ledger.errors import Conflict
from ledger.events import (
    CATALOG_STREAM,
    FREEZES_STREAM,
    ConfigActivated,
    ConfigArchived,
    ConfigDeactivated,
    RolloutChanged,
)
from ledger.intents import ActivateConfig, ArchiveConfig, ChangeRollout, DeactivateConfig, Terms
from ledger.live import Activation
from ledger.schedule import Window
from ledger.state import Config, State
from ledger.validation import validate


def activate(state: State, intent: ActivateConfig, terms: Terms) -> Decision:
    """Put a revision in force for a window."""
    config = expected_config(state, intent.config_id, intent.expected_revision)
    revision = config.revision(intent.revision)
    if config.archived:
        raise Conflict("an archived config cannot be activated: roll it back to life first")
    refuse_frozen(state, terms, [config.place])
    window = _activation_window(revision.content.window, intent)
    checked = validate(state.live.catalog, revision.content.payload, strict=terms.strict)
    if checked.refuses_activation:
        refuse(checked)
    content = revision.content._replace(payload=checked.payload)
    pinned = Pinned.of(revision.number, content, window)
    event = ConfigActivated(config.config_id, pinned, listed(checked))
    return Decision((event,), frozenset({FREEZES_STREAM, CATALOG_STREAM}))


def _activation_window(own: Window, intent: ActivateConfig) -> Window:
    window = own if intent.window is None else intent.window
    if intent.immediate:
        window = Window(None, window.valid_to)
    check_window(window)
    return window


def deactivate(state: State, intent: DeactivateConfig, terms: Terms) -> Decision:
    """End a config's activation."""
    config = expected_config(state, intent.config_id, intent.expected_revision)
    _live_activation(state, config)
    refuse_frozen(state, terms, [config.place])
    return Decision((ConfigDeactivated(config.config_id),), frozenset({FREEZES_STREAM}))


def archive(state: State, intent: ArchiveConfig, terms: Terms) -> Decision:
    """Put a config away."""
    config = expected_config(state, intent.config_id, intent.expected_revision)
    if config.archived:
        raise Conflict("the config is archived already")
    event = ConfigArchived(config.config_id)
    if state.activation(config) is None:
        return Decision((event,))
    refuse_frozen(state, terms, [config.place])
    return Decision((event,), frozenset({FREEZES_STREAM}))


def change_rollout(state: State, intent: ChangeRollout, terms: Terms) -> Decision:
    """Give the live activation another rollout."""
    config = expected_config(state, intent.config_id, intent.expected_revision)
    activation = _live_activation(state, config)
    refuse_frozen(state, terms, [config.place])
    pinned = activation.pinned.rolled_out(intent.rollout)
    return Decision((RolloutChanged(config.config_id, pinned),), frozenset({FREEZES_STREAM}))


def _live_activation(state: State, config: Config) -> Activation:
    activation = state.activation(config)
    if activation is None:
        raise Conflict(f"config {config.config_id} has no activation to change or end")
    return activation
