"""What an operator can ask of the ledger: commands, imperative, already well-formed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ledger.catalog import Catalog
from ledger.content import Content
from ledger.experiments import Experiment
from ledger.live import Live
from ledger.rollout import Rollout
from ledger.schedule import Window
from ledger.scopes import EVERYWHERE, Place


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a decision is made.

    `strict`: a range error refuses an activation. `frozen_here`: the process that decides was
    started frozen (LIVEOPS_GLOBAL_FREEZE). `reason`: why the actor does it.
    """

    strict: bool = True
    frozen_here: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CreateConfig:
    """Draft a config as revision 1."""

    config_id: UUID
    content: Content


@dataclass(frozen=True, slots=True)
class ReviseConfig:
    """Draft a further revision of a config, its whole content."""

    config_id: UUID
    content: Content
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class ActivateConfig:
    """Put a revision (the newest for None) in force.

    `window` None means the revision's own; `immediate` drops the window's beginning.
    """

    config_id: UUID
    revision: int | None = None
    window: Window | None = None
    immediate: bool = False
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class DeactivateConfig:
    """End a config's activation."""

    config_id: UUID
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class ArchiveConfig:
    """Put a config away, ending its activation if it has one."""

    config_id: UUID
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class RollBackConfig:
    """Put an earlier activation in force again: the one before, or the last of a revision."""

    config_id: UUID
    revision: int | None = None
    break_glass: bool = False
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class ChangeRollout:
    """Give the live activation another rollout."""

    config_id: UUID
    rollout: Rollout
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class StartShadow:
    """Evaluate a revision (the newest for None) beside what is in force."""

    config_id: UUID
    revision: int | None = None
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class StopShadow:
    """End a config's shadow."""

    config_id: UUID
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class StartExperiment:
    """Run an experiment; which of its group's buckets it gets is decided then."""

    experiment: Experiment


@dataclass(frozen=True, slots=True)
class ChangeExperiment:
    """Let a running experiment enrol another percentage, in thousandths."""

    experiment_id: str
    percentage: int


@dataclass(frozen=True, slots=True)
class StopExperiment:
    """End a running experiment."""

    experiment_id: str


@dataclass(frozen=True, slots=True)
class RollBack:
    """Make the activations and experiments in force equal to those of an earlier prefix.

    `target` is that prefix, folded; `place` None means everything. An experiment is rolled back
    with the place of its own id.
    """

    target: Live
    place: Place | None = None
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class Freeze:
    """Freeze everything, or one place."""

    place: Place = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """Lift a freeze."""

    place: Place = EVERYWHERE


@dataclass(frozen=True, slots=True)
class KillLever:
    """Make a lever resolve to its kill value everywhere."""

    lever: str
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class RestoreLever:
    """Let a killed lever resolve by its configs again."""

    lever: str
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class AdoptCatalog:
    """Put a lever catalog in force."""

    catalog: Catalog


Intent = (
    CreateConfig
    | ReviseConfig
    | ActivateConfig
    | DeactivateConfig
    | ArchiveConfig
    | RollBackConfig
    | ChangeRollout
    | StartShadow
    | StopShadow
    | StartExperiment
    | ChangeExperiment
    | StopExperiment
    | RollBack
    | Freeze
    | Unfreeze
    | KillLever
    | RestoreLever
    | AdoptCatalog
)
