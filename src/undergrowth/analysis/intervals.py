"""Confidence intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

BOOTSTRAP_FROM = 10
"""Seeds from which the bootstrap is used: below, it is known to give intervals that are too narrow."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval.

    effect: the mean; low, high: the interval's bounds, NaN where nothing can be said (fewer than two
    seeds, or all values equal: nothing is known of their spread); level: its coverage; n: seeds;
    n_control: seeds of the control, None where none is part of it; method: how.
    """

    effect: float
    low: float
    high: float
    level: float
    n: int
    method: Literal[
        "bootstrap (BCa)",
        "bootstrap (Rao-Wu)",
        "Student's t",
        "Welch's t",
        "Clopper-Pearson",
        "bounds",
        "none",
    ]
    n_control: int | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def seeds(self) -> str:
        """How many seeds it rests on, in words."""
        told = f"{self.n} seed{'' if self.n == 1 else 's'}"
        return told if self.n_control is None else f"{told} and {self.n_control} of the control"


def estimate(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Estimate:
    """Mean over seeds: BCa bootstrap (Efron 1987) of 10 or more values, Student's t of fewer."""
    x = np.asarray(values, np.float64)
    mean = float(x.mean()) if len(x) else np.nan
    if len(x) < 2 or np.isnan(mean) or _are_alike(x):
        return Estimate(mean, np.nan, np.nan, level, len(x), "none")
    if len(x) < BOOTSTRAP_FROM:
        low, high = stats.t.interval(level, len(x) - 1, loc=mean, scale=stats.sem(x))
        return Estimate(mean, float(low), float(high), level, len(x), "Student's t")
    interval = stats.bootstrap(
        (x,), np.mean, confidence_level=level, n_resamples=9999, method="BCa", rng=0
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), level, len(x), "bootstrap (BCa)")


def censored_estimate(
    at_least: Sequence[float] | np.ndarray, at_most: Sequence[float] | np.ndarray, level: float = 0.95
) -> Estimate:
    """Mean over seeds of values known only to lie between two bounds, equal where nothing is censored.

    The interval holds both: it runs from the lower bound of `estimate(at_least)` to the upper one of
    `estimate(at_most)`. Where all seeds have one bound on a side and something is censored, the mean is
    not beyond that bound, which so is the interval's. The effect is the mean of `at_least`.

    >>> found = censored_estimate([0.5, 0.7], [2.0, 2.0])
    >>> found.high, found.method
    (2.0, "Student's t")
    """
    lower, upper = estimate(at_least, level), estimate(at_most, level)
    is_known = np.isfinite([lower.effect, upper.effect]).all()
    if len(at_least) < 2 or not is_known or np.array_equal(at_least, at_most):
        return replace(lower, high=upper.high)
    low = lower.effect if lower.method == "none" else lower.low
    high = upper.effect if upper.method == "none" else upper.high
    method = next((side.method for side in (lower, upper) if side.method != "none"), "bounds")
    return replace(lower, low=low, high=high, method=method)


def proportion(happened: Sequence[bool] | np.ndarray, level: float = 0.95) -> Estimate:
    """The share of seeds to which something happened, with its exact interval (Clopper & Pearson 1934).

    Unlike a mean's, it is bounded where all seeds are alike.

    >>> round(proportion([True] * 6).low, 3)
    0.541
    """
    n, k = len(happened), int(np.sum(np.asarray(happened, bool)))
    if not n:
        return Estimate(np.nan, np.nan, np.nan, level, 0, "none")
    found = stats.binomtest(k, n).proportion_ci(level, method="exact")
    return Estimate(k / n, float(found.low), float(found.high), level, n, "Clopper-Pearson")


def censored_proportion(
    certain: Sequence[bool] | np.ndarray, possible: Sequence[bool] | np.ndarray, level: float = 0.95
) -> Estimate:
    """The share of seeds to which something happened, where of some it is only known that it may have.

    The interval holds both: it runs from the lower bound of `proportion(certain)` to the upper one of
    `proportion(possible)`. The effect is the share of `certain`.
    """
    lower, upper = proportion(certain, level), proportion(possible, level)
    return replace(lower, high=upper.high)


def difference(
    values: Sequence[float] | np.ndarray, control: Sequence[float] | np.ndarray, level: float = 0.95
) -> Estimate:
    """Mean over seeds minus the control's mean: BCa bootstrap of 10 or more of each, else Welch's t."""
    a, b = (np.asarray(v, np.float64) for v in (values, control))
    n, n_control = len(a), len(b)
    effect = float(a.mean() - b.mean()) if min(n, n_control) else np.nan
    if min(n, n_control) < 2 or np.isnan(effect) or (_are_alike(a) and _are_alike(b)):
        return Estimate(effect, np.nan, np.nan, level, n, "none", n_control)
    if min(n, n_control) < BOOTSTRAP_FROM:
        half = _welch_half_width(a, b, level)
        return Estimate(effect, effect - half, effect + half, level, n, "Welch's t", n_control)
    interval = stats.bootstrap(
        (a, b),
        lambda a, b, axis=-1: a.mean(axis=axis) - b.mean(axis=axis),
        confidence_level=level,
        n_resamples=9999,
        method="BCa",
        rng=0,
    ).confidence_interval
    low, high = float(interval.low), float(interval.high)
    return Estimate(effect, low, high, level, n, "bootstrap (BCa)", n_control)


def _are_alike(x: np.ndarray) -> bool:
    """Whether values are equal up to rounding."""
    return bool(np.ptp(x) <= 1e-9 * np.abs(x).max())


def _welch_half_width(a: np.ndarray, b: np.ndarray, level: float) -> float:
    """Half the interval of a difference of means with unequal variances (Welch 1947)."""
    squares = [x.var(ddof=1) / len(x) for x in (a, b)]
    freedom = sum(squares) ** 2 / sum(s**2 / (len(x) - 1) for s, x in zip(squares, (a, b), strict=True))
    return float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(sum(squares)))
