"""The mean of normal values of which some are known only to lie between two bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import optimize, special, stats

BEYOND = 30.0
"""Spreads of the known bounds within which the mean is looked for."""


@dataclass(frozen=True, eq=False)
class Profile:
    """The likelihood of a mean, at its best spread.

    bounds [seed, 2]: on a scale on which the known numbers have mean 0 and spread 1; centre, scale: of
    that scale.
    """

    bounds: Float[np.ndarray, "seed 2"]
    centre: float
    scale: float

    @classmethod
    def of(cls, bounds: Float[np.ndarray, "seed 2"]) -> Profile:
        """From the bounds of each value, at least one finite for each seed."""
        known = bounds[np.isfinite(bounds)]
        centre, scale = float(np.mean(known)), float(np.std(known)) or max(1e-9, abs(float(known[0])))
        return cls((bounds - centre) / scale, centre, scale)

    @cached_property
    def mean(self) -> float:
        """The mean of the greatest likelihood."""
        return self.centre + self.scale * self._best

    @cached_property
    def _best(self) -> float:
        grid = np.linspace(*self._range, 21)
        at = int(np.argmax([self.log_likelihood(m) for m in grid]))
        ends = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
        found = optimize.minimize_scalar(
            lambda m: -self.log_likelihood(m), bounds=ends, method="bounded", options={"xatol": 1e-7}
        )
        return float(found.x)

    @property
    def _range(self) -> tuple[float, float]:
        known = self.bounds[np.isfinite(self.bounds)]
        return float(known.min()) - 1, float(known.max()) + 1

    def log_likelihood(self, mean: float) -> float:
        """Of a mean, on the scale of `bounds`, at the spread that makes it greatest."""
        found = optimize.minimize_scalar(
            lambda log_spread: -self._at(mean, float(np.exp(log_spread))),
            bounds=(-9, 7),
            method="bounded",
            options={"xatol": 1e-7},
        )
        return -float(found.fun)

    def _at(self, mean: float, spread: float) -> float:
        return float(log_probability((self.bounds - mean) / spread, spread).sum())

    def interval(self, level: float) -> tuple[float, float]:
        """The means whose likelihood is not too low for the level: see `censored_estimate`."""
        n = len(self.bounds)
        quantile = float(stats.t.ppf((1 + level) / 2, n - 1))
        least = self.log_likelihood(self._best) - n / 2 * np.log1p(quantile**2 / (n - 1))
        ends = (
            _crossing(lambda mean: self.log_likelihood(mean) - least, self._best, side)
            for side in (-1.0, 1.0)
        )
        low, high = ends
        return self.centre + self.scale * low, self.centre + self.scale * high

    def p(self, threshold: float) -> float:
        """Two-sided, of the mean being that."""
        n, at = len(self.bounds), (threshold - self.centre) / self.scale
        fall = max(0.0, self.log_likelihood(self._best) - self.log_likelihood(at))
        return float(2 * stats.t.sf(np.sqrt((n - 1) * np.expm1(2 * fall / n)), n - 1))


def log_probability(z: Float[np.ndarray, "value 2"], spread: float) -> Float[np.ndarray, " value"]:
    """Of normal values each known to lie between two bounds: the logarithm of the probability, or where
    the bounds are equal of the density.

    z: the bounds less the mean, in units of the spread.
    """
    low, high = z.T
    is_known = low == high
    found = stats.norm.logpdf(low) - np.log(spread)
    found[~is_known] = _log_between(low[~is_known], high[~is_known])
    return found


def _log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The logarithm of the normal probability between bounds, in the tail where it is not lost."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = special.log_ndtr(b), special.log_ndtr(a)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isneginf(lower), upper, upper + np.log(-np.expm1(lower - upper)))


def _crossing(excess: Callable[[float], float], start: float, direction: float) -> float:
    """Where a function that falls away from `start` in a direction comes to 0; infinite where never."""
    step = 0.5
    inner = start
    while step < BEYOND * 2:
        outer = start + direction * step
        if excess(outer) < 0:
            return float(optimize.brentq(excess, inner, outer, xtol=1e-8))
        inner, step = outer, step * 2
    return direction * np.inf
