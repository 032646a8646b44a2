"""The mean of normal values of which some are known only to lie between two bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from jaxtyping import Float

BEYOND = 32.0
"""How far from the best mean others are looked at, in spreads of the known bounds."""


@dataclass(frozen=True, eq=False)
class Profile:
    """The likelihood of a mean, at its best spread.

    bounds [seed, 2]: on a scale on which the known numbers have mean 0 and spread 1; centre, scale: of
    that scale. No point may lie between the bounds of all: there the likelihood has no greatest value.
    """

    bounds: Float[np.ndarray, "seed 2"]
    centre: float
    scale: float

    @classmethod
    def of(cls, bounds: Float[np.ndarray, "seed 2"]) -> Profile:
        """From the bounds of each value, at least one finite for each seed."""
        known = bounds[np.isfinite(bounds)]
        centre, scale = float(np.mean(known)), float(np.std(known))
        return cls((bounds - centre) / scale, centre, scale)

    @cached_property
    def mean(self) -> float:
        """The mean of the greatest likelihood."""
        return self.centre + self.scale * self._best

    @cached_property
    def _best(self) -> float:
        known = self.bounds[np.isfinite(self.bounds)]
        least, most = float(known.min()), float(known.max())
        far = np.geomspace(0.1, BEYOND, 16)  # where most values are open, the mean lies beyond the known
        grid = np.concatenate([least - far[::-1], np.linspace(least, most, 21), most + far])
        for _ in range(7):
            at = int(np.argmax(self.log_likelihood(grid)))
            grid = np.linspace(grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)], 17)
        return float(grid[8])

    def log_likelihood(self, means: Float[np.ndarray, " mean"]) -> Float[np.ndarray, " mean"]:
        """Of means, on the scale of `bounds`, each at the spread that makes it greatest."""
        best, found = np.full(len(means), -1.0), np.empty((len(means), 0))
        for step in 8.0 ** -np.arange(6):  # of the logarithm of the spread
            log_spreads = best[:, None] + step * np.arange(-8, 9)
            found = self._at(means[:, None], np.exp(log_spreads))
            best = log_spreads[np.arange(len(means)), found.argmax(axis=1)]
        return found.max(axis=1)

    def _at(
        self, mean: Float[np.ndarray, "mean 1"], spread: Float[np.ndarray, "mean spread"]
    ) -> Float[np.ndarray, "mean spread"]:
        low, high = ((side - mean[..., None]) / spread[..., None] for side in self.bounds.T)
        is_known = self.bounds[:, 0] == self.bounds[:, 1]
        squares = (low[..., is_known] ** 2).sum(axis=-1)
        density = -squares / 2 - is_known.sum() * (np.log(spread) + np.log(2 * np.pi) / 2)
        return density + _log_between(low[..., ~is_known], high[..., ~is_known]).sum(axis=-1)

    def _fall(self, mean: float) -> float:
        """By how much the likelihood of a mean is below the greatest."""
        best, its = self.log_likelihood(np.array([self._best, mean]))
        return float(best - its)

    def interval(self, level: float) -> tuple[float, float]:
        """The means whose likelihood is not too low for the level: see `censored_estimate`."""
        n = len(self.bounds)
        quantile = float(scipy.stats.t.ppf((1 + level) / 2, n - 1))
        most = float(n / 2 * np.log1p(quantile**2 / (n - 1)))
        low, high = (
            _crossing(lambda mean: most - self._fall(mean), self._best, side) for side in (-1.0, 1.0)
        )
        return self.centre + self.scale * low, self.centre + self.scale * high

    def p(self, threshold: float) -> float:
        """Two-sided, of the mean being that."""
        n, at = len(self.bounds), (threshold - self.centre) / self.scale
        at = float(np.clip(at, self._best - BEYOND, self._best + BEYOND))
        fall = max(0.0, self._fall(at))
        return float(2 * scipy.stats.t.sf(np.sqrt((n - 1) * np.expm1(2 * fall / n)), n - 1))


def log_probability(z: Float[np.ndarray, "value 2"], spread: float) -> Float[np.ndarray, " value"]:
    """Of normal values each known to lie between two bounds: the logarithm of the probability, or where
    the bounds are equal of the density.

    z: the bounds less the mean, in units of the spread.
    """
    low, high = z.T
    is_known = low == high
    found = scipy.stats.norm.logpdf(low) - np.log(spread)
    found[~is_known] = _log_between(low[~is_known], high[~is_known])
    return found


def _log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The logarithm of the normal probability between bounds, in the tail where it is not lost."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = scipy.special.log_ndtr(b), scipy.special.log_ndtr(a)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isneginf(lower), upper, upper + np.log(-np.expm1(lower - upper)))


def _crossing(excess: Callable[[float], float], start: float, direction: float) -> float:
    """Where a function that falls away from `start` in a direction comes to 0; infinite where never."""
    step, inner = 0.5, start
    while step <= BEYOND:
        outer = start + direction * step
        if excess(outer) < 0:
            return float(scipy.optimize.brentq(excess, inner, outer, xtol=1e-7))  # pyright: ignore[reportArgumentType]
        inner, step = outer, step * 2
    return direction * np.inf
