"""The mean of normal values of which some are known only to lie between two bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import optimize, special, stats

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
        near = np.linspace(least, most, 21)
        far = np.geomspace(0.1, BEYOND, 16)  # where most values are open, the mean lies beyond the known
        grid = np.concatenate([least - far[::-1], near, most + far])
        at = int(np.argmax([self.log_likelihood(float(m)) for m in grid]))
        ends = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
        found = optimize.minimize_scalar(
            lambda m: -self.log_likelihood(m), bounds=ends, method="bounded", options={"xatol": 1e-6}
        )
        return float(found.x)

    def log_likelihood(self, mean: float) -> float:
        """Of a mean, on the scale of `bounds`, at the spread that makes it greatest."""
        low, high, best = -9.0, 7.0, -np.inf
        for _ in range(6):  # each time 8 times as fine, about the best so far
            log_spreads = np.linspace(low, high, 17)
            found = self._at(mean, np.exp(log_spreads))
            at, step = int(np.argmax(found)), log_spreads[1] - log_spreads[0]
            low, high = float(log_spreads[at] - step), float(log_spreads[at] + step)
            best = max(best, float(found[at]))
        return best

    def _at(self, mean: float, spread: Float[np.ndarray, " spread"]) -> Float[np.ndarray, " spread"]:
        low, high = ((self.bounds - mean) / spread[:, None, None]).transpose(2, 0, 1)
        is_known = self.bounds[:, 0] == self.bounds[:, 1]
        squares = (low[:, is_known] ** 2).sum(axis=1)
        density = -squares / 2 - is_known.sum() * (np.log(spread) + np.log(2 * np.pi) / 2)
        return density + _log_between(low[:, ~is_known], high[:, ~is_known]).sum(axis=1)

    def interval(self, level: float) -> tuple[float, float]:
        """The means whose likelihood is not too low for the level: see `censored_estimate`."""
        n = len(self.bounds)
        quantile = float(stats.t.ppf((1 + level) / 2, n - 1))
        least = self.log_likelihood(self._best) - n / 2 * np.log1p(quantile**2 / (n - 1))
        low, high = (
            _crossing(lambda mean: self.log_likelihood(mean) - least, self._best, side)
            for side in (-1.0, 1.0)
        )
        return self.centre + self.scale * low, self.centre + self.scale * high

    def p(self, threshold: float) -> float:
        """Two-sided, of the mean being that."""
        n, at = len(self.bounds), (threshold - self.centre) / self.scale
        at = float(np.clip(at, self._best - BEYOND, self._best + BEYOND))
        fall = max(0.0, self.log_likelihood(self._best) - self.log_likelihood(at))
        return float(2 * stats.t.sf(np.sqrt((n - 1) * np.expm1(2 * fall / n)), n - 1))


def _log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The logarithm of the normal probability between bounds, in the tail where it is not lost."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = special.log_ndtr(b), special.log_ndtr(a)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isneginf(lower), upper, upper + np.log(-np.expm1(lower - upper)))


def _crossing(excess: Callable[[float], float], start: float, direction: float) -> float:
    """Where a function that falls away from `start` in a direction comes to 0; infinite where never."""
    step, inner = 0.5, start
    while step <= BEYOND:
        outer = start + direction * step
        if excess(outer) < 0:
            return float(optimize.brentq(excess, inner, outer, xtol=1e-8))  # pyright: ignore[reportArgumentType]
        inner, step = outer, step * 2
    return direction * np.inf
