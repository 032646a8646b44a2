"""Intervals of statistics of a distribution over components, by drawing the components again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

NUMBERS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Resampled:
    """A statistic with its interval [low, high], each in the shape of the values without the last axis.

    n: components that it is of; level: the share of redrawn statistics inside; n_resamples: how many.
    """

    value: Float[np.ndarray, "*batch"]
    low: Float[np.ndarray, "*batch"]
    high: Float[np.ndarray, "*batch"]
    n: int
    level: float
    n_resamples: int


def resampled(
    values: ArrayLike,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    level: float = 0.95,
    n_resamples: int = 999,
    seed: int = 0,
) -> Resampled:
    """A statistic along the last axis with the percentile bootstrap over components (Efron 1979).

    It shows how much the number depends on which components there happen to be, as if they were drawn
    independently: a wide interval means that a few of them make the number. It says nothing about other
    seeds (`intervals.estimate` does), and components that work together are not independent, so it is no
    test of a difference. A resample repeats components and leaves others out, which shifts statistics of
    concentration: the value may lie near an end of its interval, or outside.

    All rows are resampled alike, so rows can be compared. A resample without the statistic (it is NaN)
    is left out; NaN where all are.
    """
    wide = np.asarray(values, np.float64)
    n = wide.shape[-1]
    drawn = np.random.default_rng(seed).integers(0, n, (n_resamples, n))
    at_once = max(1, NUMBERS_AT_ONCE // wide.size)
    found = np.concatenate(
        [
            statistic(wide[..., drawn[start : start + at_once]])
            for start in range(0, n_resamples, at_once)
        ],
        axis=-1,
    )
    low, high = _percentiles(found, level)
    return Resampled(np.asarray(statistic(wide)), low, high, n, level, n_resamples)


def _percentiles(found: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Of the numbers along the last axis; NaN where there are none."""
    nothing = np.asarray(np.isnan(found).all(axis=-1))
    known = np.where(nothing[..., None], 0.0, found)
    low, high = np.nanquantile(known, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)
