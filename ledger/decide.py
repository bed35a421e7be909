"""From a state and an intent to the events that follow, or a refusal. Pure.

Refusals are looked for in one order: what is not there (404), what has moved (412), what the
state does not allow (409), what is frozen (423), what is invalid (422).
"""

from __future__ import annotations

from typing import assert_never

from ledger.decisions import activations, drafts, experiments, freezes, levers, rollbacks, shadows
from ledger.decisions.decision import Decision
from ledger.decisions.rollbacks import Change, Turn, plan_experiments, plan_rollback
from ledger.intents import (
    ActivateConfig,
    AdoptCatalog,
    ArchiveConfig,
    ChangeExperiment,
    ChangeRollout,
    CreateConfig,
    DeactivateConfig,
    Freeze,
    Intent,
    KillLever,
    RestoreLever,
    ReviseConfig,
    RollBack,
    RollBackConfig,
    StartExperiment,
    StartShadow,
    StopExperiment,
    StopShadow,
    Terms,
    Unfreeze,
)
from ledger.state import State

__all__ = ["Change", "Decision", "Turn", "decide", "plan_experiments", "plan_rollback"]


def decide(state: State, intent: Intent, terms: Terms) -> Decision:  # noqa: C901, PLR0912
    """Work out what an intent leads to; raises a Refused that says why it leads to nothing."""
    match intent:
        case CreateConfig():
            return drafts.create(state, intent, terms)
        case ReviseConfig():
            return drafts.revise(state, intent, terms)
        case ActivateConfig():
            return activations.activate(state, intent, terms)
        case DeactivateConfig():
            return activations.deactivate(state, intent, terms)
        case ArchiveConfig():
            return activations.archive(state, intent, terms)
        case ChangeRollout():
            return activations.change_rollout(state, intent, terms)
        case RollBackConfig():
            return rollbacks.roll_back_config(state, intent, terms)
        case RollBack():
            return rollbacks.roll_back(state, intent, terms)
        case StartShadow():
            return shadows.start_shadow(state, intent, terms)
        case StopShadow():
            return shadows.stop_shadow(state, intent)
        case StartExperiment():
            return experiments.start_experiment(state, intent, terms)
        case ChangeExperiment():
            return experiments.change_experiment(state, intent, terms)
        case StopExperiment():
            return experiments.stop_experiment(state, intent, terms)
        case Freeze():
            return freezes.freeze(state, intent)
        case Unfreeze():
            return freezes.unfreeze(state, intent)
        case KillLever():
            return levers.kill(state, intent, terms)
        case RestoreLever():
            return levers.restore(state, intent, terms)
        case AdoptCatalog():
            return levers.adopt(state, intent)
    assert_never(intent)
