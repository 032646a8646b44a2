"""How unevenly something is spread over components: along the last axis, for arrays of any shape."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "*batch component"]
Statistic = Float[np.ndarray, "*batch"]


def skewness(values: Values) -> Statistic:
    """Third standardised moment m3 / m2^1.5 (biased); > 0 where the long tail is on the right.

    Not a measure of sparsity: it may fall while fewer components carry more (Hurley & Rickard 2009,
    arXiv:0811.4706), so read it beside `gini`. NaN where all values are equal.
    """
    centred = np.asarray(values, np.float64) - np.mean(values, axis=-1, keepdims=True, dtype=np.float64)
    varies = np.ptp(values, axis=-1) > 0
    return _ratio((centred**3).mean(axis=-1), np.where(varies, (centred**2).mean(axis=-1) ** 1.5, 0))


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
    return np.asarray(1 - 2 * _ratio((ascending * weight).sum(axis=-1), ascending.sum(axis=-1)))


def effective_number(values: Values) -> Statistic:
    """Participation ratio (sum x)^2 / sum x^2 of magnitudes, in [1, n]; NaN where all are zero.

    >>> effective_number(np.array([[1.0, 1.0, 0.0, 0.0]])).tolist()
    [2.0]
    """
    magnitude = np.abs(np.asarray(values, np.float64))
    return _ratio(magnitude.sum(axis=-1) ** 2, (magnitude**2).sum(axis=-1))


def _ratio(numerator: np.ndarray | np.floating, denominator: np.ndarray | np.floating) -> np.ndarray:
    below = np.asarray(denominator)
    return np.divide(numerator, below, out=np.full_like(below, np.nan), where=below > 0)
