"""How unevenly something is spread over components: along the last axis, for arrays of any shape.

Stored readings may be given as they are. The statistics are plain arrays; with
`xr.apply_ufunc(gini, run["saliency_median"], input_core_dims=[["neuron"]])` they keep their axes' names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

Statistic = Float[np.ndarray, "*batch"]

ROUNDING = 1e-12
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def skewness(values: ArrayLike) -> Statistic:
    """Third standardised moment m3 / m2^1.5 (biased); > 0 where the long tail is on the right.

    Not a measure of sparsity: it may fall while fewer components carry more, and it ignores what all
    have in common (Hurley & Rickard 2009, arXiv:0811.4706), so read it together with `gini`. NaN where
    all values are equal.
    """
    wide = np.asarray(values, np.float64)
    centred = wide - np.mean(wide, axis=-1, keepdims=True)
    squares = centred**2
    varies = np.ptp(wide, axis=-1) > 0
    return _ratio((squares * centred).mean(axis=-1), np.where(varies, squares.mean(axis=-1) ** 1.5, 0))


def gini(values: ArrayLike) -> Statistic:
    """Gini coefficient of magnitudes in [0, 1): 0 when all are equal, 1 - 1/n when one has all.

    1 - 2 sum_k x_(k) / |x|_1 * (n - k + 1/2) / n with x ascending (Hurley & Rickard 2009, table I). The
    only measure in their table that satisfies all six of their axioms. NaN where all are zero.

    >>> gini([[1.0, 1.0], [0.0, 1.0]]).tolist()
    [0.0, 0.5]
    """
    ascending = np.sort(_magnitudes(values), axis=-1)
    n = ascending.shape[-1]
    weight = (n - np.arange(1, n + 1) + 0.5) / n
    return np.asarray(1 - 2 * _ratio((ascending * weight).sum(axis=-1), ascending.sum(axis=-1)))


def hoyer(values: ArrayLike) -> Statistic:
    """(sqrt(n) - |x|_1 / |x|_2) / (sqrt(n) - 1) in [0, 1]: 0 when all are equal, 1 when one has all.

    Hoyer 2004, section 3.1. It depends on n: duplicating every component changes it. NaN where
    all are zero, and for one component.

    >>> hoyer([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 3.0, 0.0]]).tolist()
    [0.0, 1.0]
    """
    magnitude = _magnitudes(values)
    root = np.sqrt(magnitude.shape[-1])
    spread = _ratio(magnitude.sum(axis=-1), np.sqrt((magnitude**2).sum(axis=-1)))
    return _ratio(root - spread, np.broadcast_to(root - 1, spread.shape))


def effective_number(values: ArrayLike) -> Statistic:
    """Participation ratio (sum x)^2 / sum x^2 of magnitudes, in [1, n]; NaN where all are zero.

    >>> effective_number([[1.0, 1.0, 0.0, 0.0]]).tolist()
    [2.0]
    """
    magnitude = _magnitudes(values)
    return _ratio(magnitude.sum(axis=-1) ** 2, (magnitude**2).sum(axis=-1))


def number_holding(values: ArrayLike, share: float = 0.9) -> Statistic:
    """The fewest components whose magnitudes add up to a share of all, in [1, n]; k90 with share = 0.9.

    NaN where all are zero.

    >>> number_holding([[5.0, 3.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]).tolist()
    [3.0, 4.0]
    """
    held = np.cumsum(-np.sort(-_magnitudes(values), axis=-1), axis=-1)
    total = held[..., -1]
    short = held < share * total[..., None] * (1 - ROUNDING)
    return np.where(total > 0, 1.0 + np.count_nonzero(short, axis=-1), np.nan)


def histogram(values: ArrayLike, edges: ArrayLike) -> Int[np.ndarray, "*batch bin"]:
    """How many components lie in each bin [edge, next edge), the last one with its upper edge.

    edges: ascending, in the unit of the values. What lies outside of them, or is NaN, is not counted.

    >>> histogram([[0.0, 0.5, 1.0, 2.0, 7.0]], [0, 1, 2]).tolist()
    [[2, 2]]
    """
    wide, bounds = np.asarray(values, np.float64), np.asarray(edges, np.float64)
    rows = [np.histogram(row, bounds)[0] for row in wide.reshape(-1, wide.shape[-1])]
    return np.reshape(rows, (*wide.shape[:-1], len(bounds) - 1))


def over_components(values: xr.DataArray, statistic: Callable[[np.ndarray], np.ndarray]) -> xr.DataArray:
    """A statistic along the last dim of a reading; the other dims stay."""
    return xr.apply_ufunc(statistic, values, input_core_dims=[[str(values.dims[-1])]])


def pooled_quantiles(values: xr.DataArray) -> pd.DataFrame:
    """Columns step and quantile_0.05, ... of a reading at each step, over all its other dims."""
    over = [dim for dim in values.dims if dim != "step"]
    has_gaps = bool(values.isnull().any())  # looking for them takes ten times as long
    found = values.quantile(QUANTILES, dim=over, skipna=has_gaps).transpose("step", "quantile").values
    names = [f"quantile_{q:g}" for q in QUANTILES]
    return pd.DataFrame(found, columns=names).assign(step=values["step"].values)


def folded(share: xr.DataArray, lowest: int) -> pd.DataFrame:
    """The mean over runs of histograms [run, step, bin], without step 0 and bins that are empty.

    Columns step, error_probability (the middle of a bin, whose coordinates are its lower edges), share.
    What lies below the bin at `lowest` is counted in it.
    """
    mean = share.mean("run")
    edges = mean["bin"].values.astype(float)
    at = np.maximum(edges, lowest) + np.diff(edges).min() / 2
    placed = mean.assign_coords(bin=at).rename(bin="error_probability").rename("share")
    table: Any = placed.to_dataframe()
    summed = table.groupby(["step", "error_probability"])["share"].sum().reset_index()
    return summed[(summed["step"] > 0) & (summed["share"] > 0)]


def _magnitudes(values: ArrayLike) -> Float[np.ndarray, "*batch component"]:
    return np.abs(np.asarray(values, np.float64))


def _ratio(numerator: np.ndarray | np.floating, denominator: np.ndarray | np.floating) -> np.ndarray:
    below = np.asarray(denominator)
    return np.divide(numerator, below, out=np.full_like(below, np.nan), where=below > 0)
