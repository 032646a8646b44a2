"""How unevenly something is spread over components: along the last axis, for arrays of any shape."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats

Values = Float[np.ndarray, "*batch component"]
Statistic = Float[np.ndarray, "*batch"]


def skewness(values: Values) -> Statistic:
    """Third standardised moment m3 / m2^1.5 (biased); > 0 where the long tail is on the right.

    Not a measure of sparsity: it may fall while fewer components carry more (Hurley & Rickard 2009,
    arXiv:0811.4706), so read it beside `gini`. NaN where all values are equal.
    """
    values = np.asarray(values, np.float64)
    spread = values.max(axis=-1) - values.min(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(stats.skew(np.where(spread[..., None] > 0, values, np.nan), axis=-1))


def gini(values: Values) -> Statistic:
    """Gini coefficient of magnitudes in [0, 1): 0 when all are equal, 1 - 1/n when one has all.

    1 - 2 sum_k x_(k) / |x|_1 * (n - k + 1/2) / n with x ascending (Hurley & Rickard 2009, table I).
    NaN where all are zero.

    >>> gini(np.array([[1.0, 1.0], [0.0, 1.0]])).tolist()
    [0.0, 0.5]
    """
    ascending = np.sort(np.abs(np.asarray(values, np.float64)), axis=-1)
    n = ascending.shape[-1]
    weight = (n - np.arange(1, n + 1) + 0.5) / n
    return 1 - 2 * _ratio((ascending * weight).sum(axis=-1), ascending.sum(axis=-1))


def effective_number(values: Values) -> Statistic:
    """Participation ratio (sum x)^2 / sum x^2 of magnitudes, in [1, n]; NaN where all are zero.

    >>> effective_number(np.array([[1.0, 1.0, 0.0, 0.0]])).tolist()
    [2.0]
    """
    magnitude = np.abs(np.asarray(values, np.float64))
    return _ratio(magnitude.sum(axis=-1) ** 2, (magnitude**2).sum(axis=-1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    nothing = np.full_like(denominator, np.nan)
    return np.divide(numerator, denominator, out=nothing, where=denominator > 0)
