"""What of each example's centred logit is a function of the product in a few irreps, and what is not.

With Z(g) the mean of the logits over the cells ab = g of a group's table (`mean_logits` of `fourier`)
and P the projection of functions of g on some irreps (of a cyclic group frequencies), P Z(ab) is the
general part of the logits of the example (a, b): what a circuit of these irreps computes, the same for
seen and unseen examples (the restricted logits of Nanda et al. 2023, arXiv:2301.05217). A centred logit
is linear, so it is exactly that of the general part plus that of the rest, what is memorised.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from undergrowth.analysis.general_share import rise
from undergrowth.measures.harmonics.group_tables import group_table
from undergrowth.store import Run
from undergrowth.tasks.groups import products
from undergrowth.tasks.irreps import Isotypic, isotypic

MEAN_LOGITS, POWER, WHOLE = "fourier_mean_logits", "fourier_logit_power", "table_centred_logit"
"""The readings that all this rests on."""
MOST = 0.9
"""The share of the last logit power of which the key irreps are the fewest that have it."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The centred logits of the training examples of a run: of the general part, and in all.

    answers: whether the general part alone has the label's logit above all others.
    """

    steps: Int[np.ndarray, " step"]
    general: Float[np.ndarray, "step example"]
    whole: Float[np.ndarray, "step example"]
    answers: Bool[np.ndarray, "step example"]

    @property
    def share(self) -> xr.DataArray:
        """The general part's share of the sum over examples, dim (step); NaN where that is not > 0."""
        whole = self.whole.sum(axis=1)
        share = self.general.sum(axis=1) / np.where(whole > 0, whole, np.nan)
        return xr.DataArray(share, {"step": self.steps}, ("step",))

    @property
    def mean(self) -> xr.DataArray:
        """The mean centred logit, dim (step)."""
        return xr.DataArray(self.whole.mean(axis=1), {"step": self.steps}, ("step",))


def key_irreps(run: Run, n: int | None = None) -> tuple[str, ...]:
    """The irreps of most logit power at the last step: the fewest that have `MOST` of it, or n."""
    power = run[POWER].isel(step=-1).values.astype(np.float64)
    order = np.argsort(power)[::-1]
    if n is None:
        n = int(np.searchsorted(np.cumsum(power[order]), MOST * power.sum())) + 1
    names = _isotypic(run).names[1:]
    return tuple(names[place] for place in sorted(order[:n]))


def parts(run: Run, irreps: Collection[str], at: slice = slice(None)) -> Parts:
    """The centred logits of a run's training examples, parted by some irreps of its task's group.

    at: which of the steps of its readings, by place.
    """
    basis, label = _isotypic(run), _of_label(run)
    chosen = np.isin(np.array(basis.names)[basis.part], list(irreps))
    columns = basis.basis[:, chosen]
    mean = run[MEAN_LOGITS].transpose("step", "product", "label").isel(step=at)
    logits = columns @ columns.T @ mean.values.astype(np.float64)  # [step, product, label]
    of_example = logits[:, label.product]  # [step, example, label]
    is_label = np.arange(of_example.shape[2]) == label.of[:, None]
    correct = of_example[:, is_label].reshape(of_example.shape[:2])
    others = np.where(is_label, -np.inf, of_example).max(axis=2)
    n_others = of_example.shape[2] - 1
    general = correct - (of_example.sum(axis=2) - correct) / n_others
    whole = run[WHOLE].sel(step=mean["step"].values).transpose("step", "x", "y").values
    x, y = label.inputs.T
    whole = whole[:, x, y].astype(np.float64)
    return Parts(mean["step"].values, general, whole, correct > others)


def switch_times(
    found: Parts, since: int, *, least: float
) -> tuple[Float[np.ndarray, " switched"], Float[np.ndarray, " switched"]]:
    """When each example's general share is half of its way, and over how many steps it goes from 10 to
    90 % of it; of the examples whose share rises by at least `least`, from a step to the last.

    The share of an example is its general part over its whole centred logit, unsmoothed; each crossing
    is the first one (`rise`).
    """
    kept = found.steps >= since
    steps = found.steps[kept]
    whole = found.whole[kept]
    shares = found.general[kept] / np.where(whole > 0, whole, np.nan)
    times, widths = [], []
    for share in shares.T:
        known = np.isfinite(share)
        at, values = steps[known].astype(np.float64), share[known]
        if (ends := rise(at, values, least=least)) is None:
            continue
        half = rise(at, values, least=least, share=0.5)
        assert half is not None
        times.append(half[0])
        widths.append(ends[1] - ends[0])
    return np.array(times, np.float64), np.array(widths, np.float64)


@dataclass(frozen=True, eq=False)
class _Examples:
    """The training examples in a group's table: their tokens, labels, and the product as an element."""

    inputs: Int[np.ndarray, "example 2"]
    of: Int[np.ndarray, " example"]
    product: Int[np.ndarray, " example"]


def _isotypic(run: Run) -> Isotypic:
    table = group_table(run.spec.task)
    assert table is not None, "the readings are of a group"
    return isotypic(table.group)


@lru_cache(maxsize=512)
def _of_label(run: Run) -> _Examples:
    table = group_table(run.spec.task)
    assert table is not None, "the readings are of a group"
    data = run.spec.data()
    element = np.full((2, int(data.inputs.max()) + 1), -1)
    for side, tokens in enumerate((table.x, table.y)):
        element[side, tokens] = np.arange(len(tokens))
    a, b = element[0, data.inputs[:, 0]], element[1, data.inputs[:, 1]]
    chosen = data.is_train & (a >= 0) & (b >= 0)
    product = products(table.group)[a[chosen], b[chosen]]
    return _Examples(data.inputs[chosen], data.labels[chosen], product)
