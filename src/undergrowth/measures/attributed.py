"""What measures have in common that rest on an attribution: of which score, to what, and how."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from undergrowth.measures.attribution import (
    BaselineName,
    Baselines,
    Method,
    attribute,
    baselines,
    site_of,
)
from undergrowth.measures.reading import Measure, Observed
from undergrowth.measures.scores import ScoreName
from undergrowth.models import Model, Site
from undergrowth.training.schedules import Schedule


class AttributedMeasure(Measure):
    """Names the attribution beside its readings; see `attribution.attribute` for the fields.

    prefix: how the readings' names begin, so that a run can have several of a kind.
    """

    prefix: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    component: Literal["neuron", "head"] = "neuron"
    method: Method = "integrated_gradients"
    score: ScoreName = "margin"
    baseline: BaselineName = "mean"
    n_nodes: int = Field(default=16, ge=1, le=256)
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    @property
    def key(self) -> str:
        return self.prefix

    def where(self, model: Model, data: Observed) -> tuple[Site, Baselines]:
        """The site that is attributed to, and what stands in for it."""
        return site_of(model, self.component), baselines(model, data.train_inputs(), self.baseline)

    def attributed(
        self, model: Model, data: Observed, only: np.ndarray | None = None
    ) -> Float[Array, "example component"]:
        """The attribution of every example, or of those that the mask `only` picks."""
        site, baseline = self.where(model, data)
        picked = slice(None) if only is None else only
        return attribute(
            model,
            data.inputs[picked],
            data.labels[picked],
            site=site,
            method=self.method,
            score=self.score,
            baseline=baseline,
            n_nodes=self.n_nodes,
        )
