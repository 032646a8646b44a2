"""Confidence intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

BOOTSTRAP_FROM = 10
"""Seeds from which the bootstrap is used: below, it is known to give intervals that are too narrow."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval; NaN bounds where seeds are too few or a value is NaN.

    effect: the mean; low, high: the interval's bounds; level: its coverage; n: seeds; method: how.
    """

    effect: float
    low: float
    high: float
    level: float
    n: int
    method: Literal["bootstrap (BCa)", "Student's t", "Welch's t", "none"]


def estimate(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Estimate:
    """Mean over seeds: BCa bootstrap (Efron 1987) of 10 or more values, Student's t of fewer."""
    x = np.asarray(values, np.float64)
    mean = float(x.mean()) if len(x) else np.nan
    if len(x) < 2 or np.isnan(mean):
        return Estimate(mean, np.nan, np.nan, level, len(x), "none")
    if np.ptp(x) == 0:
        return Estimate(mean, mean, mean, level, len(x), "Student's t")
    if len(x) < BOOTSTRAP_FROM:
        low, high = stats.t.interval(level, len(x) - 1, loc=mean, scale=stats.sem(x))
        return Estimate(mean, float(low), float(high), level, len(x), "Student's t")
    interval = stats.bootstrap(
        (x,), np.mean, confidence_level=level, n_resamples=9999, method="BCa", rng=0
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), level, len(x), "bootstrap (BCa)")


def difference(
    values: Sequence[float] | np.ndarray, control: Sequence[float] | np.ndarray, level: float = 0.95
) -> Estimate:
    """Mean over seeds minus the control's mean: BCa bootstrap of 10 or more of each, else Welch's t."""
    a, b = (np.asarray(v, np.float64) for v in (values, control))
    effect = float(a.mean() - b.mean()) if min(len(a), len(b)) else np.nan
    if min(len(a), len(b)) < 2 or np.isnan(effect):
        return Estimate(effect, np.nan, np.nan, level, len(a), "none")
    if min(len(a), len(b)) < BOOTSTRAP_FROM or np.ptp(a) == 0 == np.ptp(b):
        half = _welch_half_width(a, b, level)
        return Estimate(effect, effect - half, effect + half, level, len(a), "Welch's t")
    interval = stats.bootstrap(
        (a, b),
        lambda a, b, axis=-1: a.mean(axis=axis) - b.mean(axis=axis),
        confidence_level=level,
        n_resamples=9999,
        method="BCa",
        rng=0,
    ).confidence_interval
    return Estimate(effect, float(interval.low), float(interval.high), level, len(a), "bootstrap (BCa)")


def _welch_half_width(a: np.ndarray, b: np.ndarray, level: float) -> float:
    """Half the interval of a difference of means with unequal variances (Welch 1947)."""
    squares = [x.var(ddof=1) / len(x) for x in (a, b)]
    if sum(squares) == 0:
        return 0.0
    freedom = sum(squares) ** 2 / sum(s**2 / (len(x) - 1) for s, x in zip(squares, (a, b), strict=True))
    return float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(sum(squares)))
