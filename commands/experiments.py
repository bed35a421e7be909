"""What a caller may say of experiments: one model per request body, strict as those of configs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from commands.models import Body, Percentage, Reasoned, Ref
from ledger.errors import Invalid
from ledger.experiments import HEAVIEST, MOST_VARIATIONS, Experiment
from ledger.rollout import thousandths

LONGEST_DESCRIPTION = 2000


def _in_a_path(experiment_id: str) -> str:
    if "/" in experiment_id or experiment_id in (".", ".."):
        raise ValueError("must have no slash and be no dots, so that it can stand in a path")
    return experiment_id


ExperimentId = Annotated[Ref, AfterValidator(_in_a_path)]


class VariationBody(Body):
    """One arm of an experiment, and its share among all of them."""

    name: Ref
    weight: int = Field(ge=0, le=HEAVIEST)


class HoldoutBody(Body):
    """Units that are kept out of every experiment that names it."""

    name: Ref
    percentage: Percentage


class ExperimentBody(Reasoned):
    """An experiment to run: who takes part, and in which variation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "experiment_id": "legendary-drops",
                    "variations": [
                        {"name": "control", "weight": 1},
                        {"name": "generous", "weight": 1},
                    ],
                    "percentage": 20,
                    "group": "economy",
                    "holdout": {"name": "2026", "percentage": 5},
                }
            ]
        }
    )

    experiment_id: ExperimentId
    variations: list[VariationBody] = Field(min_length=1, max_length=MOST_VARIATIONS)
    unit: str = Field("session_id", max_length=128)
    percentage: Percentage = Field(100, description="of all units, in steps of 0.001")
    group: Ref | None = Field(None, description="experiments of one group share no unit")
    holdout: HoldoutBody | None = None
    description: Annotated[str, StringConstraints(max_length=LONGEST_DESCRIPTION)] = ""

    def experiment(self) -> Experiment:
        """Give the experiment as the ledger keeps it; raises Invalid."""
        return Experiment.from_json(self.model_dump(exclude={"reason"}, exclude_none=True))


class PercentageBody(Reasoned):
    """How many units a running experiment enrols from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"percentage": 50}]})

    percentage: Percentage

    def thousandths(self) -> int:
        """Give the percentage as the ledger counts it; raises Invalid."""
        try:
            return thousandths(self.percentage)
        except ValueError as error:
            raise Invalid.at("/percentage", str(error)) from None
