"""Estimates over seeds: a number with its interval, and the p of any threshold.

No estimate depends on the order of the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import numpy as np
import scipy

P = Callable[[float], float]
"""From a threshold to the two-sided p of the number being that."""

T, WELCH = "Student's t, corrected for skewness", "Welch's t, corrected for skewness"
SIGN, PERMUTATION, EXACT = "exact sign test", "exact permutation test", "Clopper-Pearson"
CENSORED, NONE = "censored normal likelihood", "none"


@dataclass(frozen=True)
class Estimate:
    """A number over seeds with its interval.

    effect: the number; low, high: the interval's bounds, infinite where a side is open and NaN where
    nothing can be said (fewer than two seeds); level: its coverage; n: seeds; n_control: seeds of the
    control, None where none is part of it; method: how; p: from a threshold to the two-sided p of the
    number being that, below 1 - level where the interval leaves it out, None where there is none.
    """

    effect: float
    low: float
    high: float
    level: float
    n: int
    method: str
    n_control: int | None = None
    p: P | None = field(default=None, compare=False, repr=False)

    @property
    def is_known(self) -> bool:
        """Whether there is an interval, be it open on a side."""
        return not (np.isnan(self.low) or np.isinf([self.low, self.high]).all())

    @property
    def is_bounded(self) -> bool:
        """Whether there is an interval with two ends."""
        return bool(np.isfinite([self.low, self.high]).all())

    def within(self, least: float, most: float) -> Estimate:
        """The same of a number that cannot leave [least, most], such as a share."""
        low, high = (float(np.clip(bound, least, most)) for bound in (self.low, self.high))
        p = self.p
        return replace(
            self,
            low=low,
            high=high,
            p=p and (lambda threshold: p(threshold) if least <= threshold <= most else 0.0),
        )

    @property
    def seeds(self) -> str:
        """How many seeds it rests on, in words."""
        said = f"{self.n} seed{'' if self.n == 1 else 's'}"
        return said if self.n_control is None else f"{said} and {self.n_control} of the control"


def unknown(effect: float, level: float, n: int, n_control: int | None = None) -> Estimate:
    """A number of which nothing can be said but that."""
    return Estimate(float(effect), np.nan, np.nan, level, n, NONE, n_control)


def estimate(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Estimate:
    """Mean over seeds, with Student's interval corrected for skewness (`corrected_t`).

    Where all values are equal nothing is known of their spread, but that all seeds agree is evidence:
    the interval is that value as soon as an exact sign test excludes all others (6 seeds at 95 %), and
    nothing below that.

    >>> found = estimate([0.25] * 6)
    >>> found.low, found.high, found.p(0.0)
    (0.25, 0.25, 0.03125)
    """
    x = np.sort(np.asarray(values, np.float64))
    n = len(x)
    mean = float(x[0] if n and x[0] == x[-1] else x.mean()) if n else np.nan  # equal ones unrounded
    if n < 2 or np.isnan(mean):
        return unknown(mean, level, n)
    if _are_alike(x):
        return _only(mean, 2.0 ** (1 - n), level, n, SIGN)
    error = float(x.std(ddof=1) / np.sqrt(n))
    third = float(((x - mean) ** 3).mean() / n**2)
    return corrected_t(mean, error, third / error**3, float(n - 1), level, n, T)


def difference(
    values: Sequence[float] | np.ndarray, control: Sequence[float] | np.ndarray, level: float = 0.95
) -> Estimate:
    """Mean over seeds minus the control's mean, with Welch's interval corrected for skewness.

    Where each side has one value throughout, an exact permutation test takes the place of the spread:
    after any other shift than theirs all of one side would lie above all of the other.
    """
    a, b = (np.sort(np.asarray(v, np.float64)) for v in (values, control))
    n, n_control = len(a), len(b)
    effect = float(a.mean() - b.mean()) if min(n, n_control) else np.nan
    if min(n, n_control) < 2 or np.isnan(effect):
        return unknown(effect, level, n, n_control)
    if _are_alike(a) and _are_alike(b):
        chance = 2 / math.comb(n + n_control, n)
        return _only(effect, min(1.0, chance), level, n, PERMUTATION, n_control)
    squares = [x.var(ddof=1) / len(x) for x in (a, b)]
    thirds = [float(((x - x.mean()) ** 3).mean() / len(x) ** 2) for x in (a, b)]
    freedom = sum(squares) ** 2 / sum(s**2 / (len(x) - 1) for s, x in zip(squares, (a, b), strict=True))
    error = float(np.sqrt(sum(squares)))
    skewness = (thirds[0] - thirds[1]) / error**3
    return corrected_t(effect, error, skewness, freedom, level, n, WELCH, n_control)


def corrected_t(
    mean: float,
    error: float,
    skewness: float,
    freedom: float,
    level: float,
    n: int,
    method: str,
    n_control: int | None = None,
) -> Estimate:
    """Student's interval of a mean after Hall's cubic transformation, which takes its skewness away.

    With T the studentised mean and c its standardised third cumulant, T + c T^2 / 3 + c^2 T^3 / 27 + c/6
    is nearer to Student's distribution (Hall 1992, J. R. Stat. Soc. B 54:221). For values that are not
    skewed it is Student's interval. At 10 and 16 seeds it covers the mean of normal, gamma, exponential
    and t values and of log-normal ones of spread 0.5 in 93 to 96 of 100 samples, where Student's comes
    down to 90 and a BCa bootstrap to 91 for normal ones. Longer tails are covered less: log-normal
    values of spread 1 in 89 (10 seeds) and 92 (16), a difference to 10 exponential controls of three
    times the spread in 92.

    error: the standard error of the mean; skewness: c; freedom: degrees of freedom.
    """
    quantile = float(scipy.special.stdtrit(freedom, (1 + level) / 2))
    low, high = (mean - error * _untransformed(sign * quantile, skewness) for sign in (1, -1))
    p = partial(_corrected_p, mean, error, skewness, freedom)
    return Estimate(mean, low, high, level, n, method, n_control, p)


def _corrected_p(mean: float, error: float, skewness: float, freedom: float, threshold: float) -> float:
    t = (mean - threshold) / error
    y = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6
    return float(2 * scipy.special.stdtr(freedom, -abs(y)))


def _untransformed(y: float, skewness: float) -> float:
    """The t that Hall's transformation takes to y."""
    if abs(skewness) < 1e-6:
        return y - skewness / 6
    return 3 / skewness * (float(np.cbrt(1 + skewness * (y - skewness / 6))) - 1)


def proportion(happened: Sequence[bool] | np.ndarray, level: float = 0.95) -> Estimate:
    """The share of seeds to which something happened, with its exact interval (Clopper & Pearson 1934).

    >>> round(proportion([True] * 6).low, 3)
    0.541
    """
    return censored_proportion(happened, happened, level)


def censored_proportion(
    certain: Sequence[bool] | np.ndarray, possible: Sequence[bool] | np.ndarray, level: float = 0.95
) -> Estimate:
    """The share of seeds to which something happened, where of some it is only known that it may have.

    The interval holds both: it runs from the lower bound of `proportion(certain)` to the upper one of
    `proportion(possible)`. The effect is the share of `certain`.
    """
    n, k, most = len(certain), int(np.sum(certain)), int(np.sum(possible))
    if not n:
        return unknown(np.nan, level, 0)
    tail = (1 - level) / 2
    low = float(scipy.stats.beta.ppf(tail, k, n - k + 1)) if k else 0.0
    high = float(scipy.stats.beta.isf(tail, most + 1, n - most)) if most < n else 1.0
    return Estimate(k / n, low, high, level, n, EXACT, p=partial(_share_p, k, most, n))


def _share_p(certain: int, possible: int, n: int, threshold: float) -> float:
    if not 0 <= threshold <= 1:
        return 0.0
    tails = (
        scipy.stats.binom.sf(certain - 1, n, threshold),
        scipy.stats.binom.cdf(possible, n, threshold),
    )
    return min(1.0, 2 * float(min(tails)))


def censored_estimate(
    at_least: Sequence[float] | np.ndarray, at_most: Sequence[float] | np.ndarray, level: float = 0.95
) -> Estimate:
    """Mean over seeds of values each known to lie between two bounds: equal where it is known, infinite
    where a side is open.

    Normal values by maximum likelihood, an interval-censored accelerated failure time where they are
    logarithms of times. The bounds are where the profile likelihood of the mean falls by
    n/2 log(1 + t^2 / (n - 1)), which makes them Student's where no value is censored (there `estimate`
    corrects them for skewness too). Seeds of which nothing is known (both sides open) count for nothing.
    Where all seeds could have one and the same value, as when all are open on one side, nothing is known
    of their spread, and an exact sign test of the median takes its place.

    >>> found = censored_estimate([0.4, 0.5, 0.7, 0.6], [0.4, 0.5, 0.7, float("inf")])
    >>> round(found.effect, 3), round(found.low, 3), round(found.high, 3)
    (0.575, 0.312, 0.948)
    """
    bounds = np.array(sorted(zip(at_least, at_most, strict=True)), np.float64).reshape(-1, 2)
    bounds = bounds[~np.isinf(bounds).all(axis=1)]
    n = len(bounds)
    if np.isnan(bounds).any() or n < 2:
        return unknown(float(bounds.mean()) if n and np.isfinite(bounds).all() else np.nan, level, n)
    low, high = bounds.T
    if np.array_equal(low, high):
        return estimate(low, level)
    if low.max() <= high.min():
        return _median(low, high, level)
    from undergrowth.analysis.censored import Profile

    profile = Profile.of(bounds)
    ends = profile.interval(level)
    effect = float(np.median(_middle(low, high))) if np.isinf(ends).all() else profile.mean
    return Estimate(effect, *ends, level, n, CENSORED, p=profile.p)


def _median(low: np.ndarray, high: np.ndarray, level: float) -> Estimate:
    """The median of values between bounds, by how many lie beyond a threshold for certain."""
    n = len(low)
    at = median_rank(n, level)
    least, most = (float(np.sort(low)[at - 1]), float(np.sort(high)[-at])) if at else (-np.inf, np.inf)
    effect = float(np.median(_middle(low, high)))
    return Estimate(effect, least, most, level, n, SIGN, p=partial(_median_p, low, high))


@lru_cache(maxsize=1 << 12)
def median_rank(n: int, level: float = 0.95) -> int:
    """Which of n values, from below and from above, bound their median by the exact sign test: the first
    of which it is not too unlikely that fewer lie below. 0 where n is too small for any.

    >>> [median_rank(n) for n in (1, 5, 6, 16)]
    [0, 0, 1, 4]
    """
    return int(scipy.stats.binom.ppf((1 - level) / 2, n, 0.5))


def _median_p(low: np.ndarray, high: np.ndarray, threshold: float) -> float:
    beyond = max(int((low > threshold).sum()), int((high < threshold).sum()))
    return min(1.0, 2 * float(scipy.stats.binom.sf(beyond - 1, len(low), 0.5)))


def _middle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Halfway between bounds, or the one that is known."""
    return np.where(np.isinf(low), high, np.where(np.isinf(high), low, (low + high) / 2))


def _are_alike(x: np.ndarray) -> bool:
    """Whether values are equal up to rounding."""
    return bool(np.ptp(x) <= 1e-9 * np.abs(x).max())


def _only(
    value: float, chance: float, level: float, n: int, method: str, n_control: int | None = None
) -> Estimate:
    """One value, where the chance of so much agreement were it another is small enough for the level."""
    spread = (value, value) if chance <= 1 - level else (-np.inf, np.inf)
    p = lambda threshold: chance if threshold != value else 1.0  # noqa: E731
    return Estimate(value, *spread, level, n, method, n_control, p)
