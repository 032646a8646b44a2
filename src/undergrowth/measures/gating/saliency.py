"""How salient each component is over many examples, and for how many of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from undergrowth.gating.attribution import completeness_residual
from undergrowth.measures.context import Context
from undergrowth.measures.gating.attributed import AttributedMeasure
from undergrowth.measures.reading import SIDES, Observed, Reading, scalar
from undergrowth.models import Model

ROUNDING = 1e-9
"""Of sums that are equal, as of 9 of 10 equal parts and 0.9 of all."""


class Saliency(AttributedMeasure):
    """The distribution over components of |attribution|, reduced over the examples of each side.

    {prefix}_median, {prefix}_mean [side, component]: median and mean of |attribution| over examples,
    in units of the score. {prefix}_breadth [side, component]: see `breadth`. {prefix}_by_few [side]: see
    `by_few`. {prefix}_residual: the largest |completeness residual|, relative (integrated gradients
    only). `attributed` gives what they are computed from, [example, component].
    """

    endings: ClassVar[tuple[str, ...]] = (
        "median",
        "mean",
        "breadth",
        "by_few",
        "residual",
    )

    name: Literal["saliency"] = "saliency"
    prefix: str = Field(default="saliency", pattern=r"^[a-z][a-z0-9_]*$")

    @property
    def scalars(self) -> tuple[str, ...]:
        has_residual = self.method == "integrated_gradients"
        return (f"{self.prefix}_residual",) if has_residual else ()

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        site, baseline = self.where(model, data)
        attribution = self.attributed(model, data, where=(site, baseline))
        readings = {}
        if self.method == "integrated_gradients":
            residual = completeness_residual(
                model,
                data.inputs,
                data.labels,
                attribution,
                site=site,
                score=self.score,
                baseline=baseline,
            )
            readings[f"{self.prefix}_residual"] = scalar(float(np.abs(residual).max()))
        magnitude = np.abs(attribution)
        for name, reduce in (("median", _median), ("mean", _mean), ("breadth", breadth)):
            readings[f"{self.prefix}_{name}"] = Reading(
                ("side", self.component),
                np.stack([reduce(magnitude[side]) for side in data.sides()]),
                {"side": SIDES},
            )
        few = [by_few(attribution[side]) for side in data.sides()]
        readings[f"{self.prefix}_by_few"] = Reading(
            ("side",), np.array(few, np.float32), {"side": SIDES}
        )
        return readings


def breadth(magnitude: Float[np.ndarray, "example component"]) -> Float[np.ndarray, " component"]:
    """Share of the examples for which a component is salient, in [1/n, 1]; 0 if it is for none.

    B_j = (sum_i s_ij)^2 / (n sum_i s_ij^2), the participation ratio over examples: 1/n for a look-up
    entry of one example, 1 for a component equally salient for all.

    >>> breadth(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])).tolist()
    [0.5, 1.0, 0.0]
    """
    wide = magnitude.astype(np.float64)
    total, squares = wide.sum(axis=0), (wide**2).sum(axis=0)
    share = np.divide(total**2, len(wide) * squares, out=np.zeros_like(total), where=squares > 0)
    return share.astype(np.float32)


FEW, HELD = 0.05, 0.9
"""The share of the components that are few, and of an example's score that is nearly all."""


def by_few(attribution: Float[np.ndarray, "example component"]) -> float:
    """Share of the examples nearly all of whose score lies in the same few components, in [0, 1].

    The few are `FEW` of the components, rounded and one at least: those of the greatest median
    |attribution| over these examples, of equals those of the greater mean. Nearly all is `HELD` of an
    example's total attribution; one whose total is not above 0 does not count. NaN where none counts. A
    total that is small beside its parts, as of an example that is answered wrong, says little.

    >>> by_few(np.array([[9.5, 0.5], [3.0, 4.0], [7.0, -1.0], [-2.0, 1.0]]))
    0.6666666666666666
    """
    wide = attribution.astype(np.float64)
    magnitude = np.abs(wide)
    by_saliency = np.lexsort((-magnitude.mean(axis=0), -_medians(magnitude)))
    few = by_saliency[: max(1, round(FEW * wide.shape[1]))]
    total = wide.sum(axis=1)
    is_held = wide[:, few].sum(axis=1) >= HELD * total * (1 - ROUNDING)
    return float(is_held[total > 0].mean()) if (total > 0).any() else float("nan")


def _medians(values: Float[np.ndarray, "example component"]) -> Float[np.ndarray, " component"]:
    """Of each component over examples; laid out by component first, which is nearly twice as fast."""
    return np.median(np.ascontiguousarray(values.T), axis=1, overwrite_input=True)


def _median(magnitude: np.ndarray) -> np.ndarray:
    return _medians(magnitude).astype(np.float32)


def _mean(magnitude: np.ndarray) -> np.ndarray:
    return magnitude.mean(axis=0, dtype=np.float64).astype(np.float32)
