"""What each component adds to the score of examples of each side: its Shapley value, with its error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from undergrowth.gating.attribution import completeness_residual
from undergrowth.gating.scores import ScoreName
from undergrowth.gating.shapley_values import Sampling, shapley_values
from undergrowth.measures.context import Context
from undergrowth.measures.gating.attributed import SiteMeasure
from undergrowth.measures.reading import SIDES, Observed, Reading, scalar
from undergrowth.models import Model
from undergrowth.schedules import Schedule


class Shapley(SiteMeasure):
    """Shapley values of components over some examples of each side; see `shapley_values`.

    n_examples: how many of each side, drawn at each step. score: for accuracy, the mean is the value of
    Neuron Shapley (Ghorbani and Zou 2020, arXiv:2002.09815).

    {prefix}_mean [side, component]: mean over the examples, in units of the score; its sum over
    components is the mean score with all of them minus that with none. {prefix}_standard_error [side,
    component]: of that mean, from drawing orders (not examples); 0 where values are exact.
    {prefix}_median [side, component]: median over the examples. {prefix}_example_error [side,
    component]: root mean square over the examples of one value's standard error: a median that is no
    larger means nothing. {prefix}_residual: the largest |sum of an example's values - (score with all -
    score with none)|, relative to the largest difference: rounding and truncation error.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "mean",
        "standard_error",
        "median",
        "example_error",
        "residual",
    )

    name: Literal["shapley"] = "shapley"
    prefix: str = Field(default="shapley", pattern=r"^[a-z][a-z0-9_]*$")
    score: ScoreName = "accuracy"
    n_examples: int = Field(default=256, ge=1)
    sampling: Sampling = Sampling()
    schedule: Schedule = Schedule(every=1000, until=1000, per_decade=6)

    @property
    def scalars(self) -> tuple[str, ...]:
        return (f"{self.prefix}_residual",)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        site, baseline = self.where(model, data)
        chosen = [_drawn(side, self.n_examples, at.rng) for side in data.sides()]
        index = np.concatenate(chosen)
        inputs, labels = data.inputs[index], data.labels[index]
        values, errors = shapley_values(
            model,
            inputs,
            labels,
            site=site,
            score=self.score,
            baseline=baseline,
            rng=at.rng,
            sampling=self.sampling,
        )
        residual = completeness_residual(
            model, inputs, labels, values, site=site, score=self.score, baseline=baseline
        )

        def by_side(rows: Float[np.ndarray, "side component"]) -> Reading:
            return Reading(("side", self.component), rows.astype(np.float32), {"side": SIDES})

        edge = [len(chosen[0])]
        of_sides = list(zip(np.split(values, edge), np.split(errors, edge), strict=True))
        return {
            f"{self.prefix}_mean": by_side(np.stack([v.mean(axis=0) for v, _ in of_sides])),
            f"{self.prefix}_standard_error": by_side(
                np.stack([np.sqrt((e**2).sum(axis=0)) / len(e) for _, e in of_sides])
            ),
            f"{self.prefix}_median": by_side(np.stack([np.median(v, axis=0) for v, _ in of_sides])),
            f"{self.prefix}_example_error": by_side(
                np.stack([np.sqrt((e**2).mean(axis=0)) for _, e in of_sides])
            ),
            f"{self.prefix}_residual": scalar(float(np.abs(residual).max())),
        }


def _drawn(side: np.ndarray, n: int, rng: np.random.Generator) -> Int[np.ndarray, " example"]:
    """The positions of n examples of a side, or of all where it has no more."""
    of_side = np.flatnonzero(side)
    return np.sort(rng.choice(of_side, min(n, len(of_side)), replace=False))
