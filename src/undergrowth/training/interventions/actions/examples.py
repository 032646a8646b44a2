"""Changing what is trained on: the batches, or the training examples and their labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from undergrowth.rng import stream
from undergrowth.tasks import Labels, kept, make_data
from undergrowth.training.batches import AnyBatch
from undergrowth.training.interventions.action import RegimeAction
from undergrowth.training.setup import Setup
from undergrowth.training.state import Regime


class SetBatch(RegimeAction):
    """Replaces the batches: their size, or their order."""

    name: Literal["set_batch"] = "set_batch"
    batch: AnyBatch

    def regime_after(self, regime: Regime, run: Setup) -> Regime:
        return Regime(regime.data, self.batch)


class SetData(RegimeAction):
    """From here on trains on other labels, or on fewer of the run's training examples.

    keep: the share of the run's training examples that stays, at random but nested: a smaller share is a
    subset of a larger one. What is left out is on neither side, so validation is unchanged. labels,
    label_noise: as in a run, drawn from its data seed. Fields not given are as at the start of the run,
    whatever an earlier set_data did.
    """

    name: Literal["set_data"] = "set_data"
    keep: float = Field(default=1.0, gt=0, le=1)
    labels: Labels | None = None
    label_noise: float | None = Field(default=None, ge=0, lt=1)

    @model_validator(mode="after")
    def _sets_something(self) -> SetData:
        if self.keep == 1 and self.labels is None and self.label_noise is None:
            raise ValueError("set_data sets nothing: give it keep < 1, labels or label_noise")
        return self

    def regime_after(self, regime: Regime, run: Setup) -> Regime:
        data = make_data(
            run.task,
            run.split,
            run.labels if self.labels is None else self.labels,
            run.seeds.data,
            run.label_noise if self.label_noise is None else self.label_noise,
            run.weights,
        )
        return Regime(kept(data, self.keep, stream(run.seeds.data, "interventions")), regime.batch)
