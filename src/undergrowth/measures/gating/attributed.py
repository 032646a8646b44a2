"""What measures of a site's components have in common, and those of them that rest on an attribution."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from undergrowth.gating.attribution import (
    BaselineName,
    Baselines,
    Method,
    attribute,
    baselines,
    refuse_steps,
    site_of,
)
from undergrowth.gating.scores import ScoreName
from undergrowth.measures.context import MeasuredRun
from undergrowth.measures.reading import Measure, Observed
from undergrowth.models import Component, Model, Site
from undergrowth.schedules import Schedule


class SiteMeasure(Measure):
    """Names the components that it opens and closes, and what stands in for a closed one.

    prefix: how the readings' names begin, so that a run can have several of a kind. layer: counted from
    0, or from the end as -1 is; of the layers that have such components.
    """

    prefix: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    component: Component = "neuron"
    layer: int = -1
    baseline: BaselineName = "mean"
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the run's model has no such components, or none in such a layer."""
        if self.component not in run.model.components:
            raise ValueError(
                f"measures look at component = {self.component!r}, which a {run.model.name} lacks: "
                f"take {' or '.join(map(repr, run.model.components))}"
            )
        if self.layer not in (0, -1):  # which every model has
            try:
                site_of(run.blank_model(), self.component, self.layer)
            except ValueError as error:
                raise ValueError(f"measure {self.key!r}: {error}") from None

    def where(self, model: Model, data: Observed) -> tuple[Site, Baselines]:
        """The site that is looked at, and what stands in for it."""
        site = site_of(model, self.component, self.layer)
        return site, baselines(model, data.train_inputs(), self.baseline)


class AttributedMeasure(SiteMeasure):
    """Names the attribution beside its readings; see `attribution.attribute` for the fields.

    method, score: how, and of what; of a step function, as accuracy is, ablation alone.
    n_nodes: of the quadrature, where the method has a path.
    """

    method: Method = "integrated_gradients"
    score: ScoreName = "centred_logit"
    n_nodes: int = Field(default=16, ge=1, le=256)

    @model_validator(mode="after")
    def _differentiates_no_steps(self) -> AttributedMeasure:
        refuse_steps(self.method, self.score)
        return self

    def attributed(
        self,
        model: Model,
        data: Observed,
        only: np.ndarray | None = None,
        where: tuple[Site, Baselines] | None = None,
    ) -> Float[np.ndarray, "example component"]:
        """The attribution of every example, or of those that `only` picks, in units of the score.

        where: the site and its baselines, for whoever has computed them.
        """
        site, baseline = where or self.where(model, data)
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
