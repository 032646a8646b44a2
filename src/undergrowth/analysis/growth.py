"""How a time grows with the complexity of the task: its slope over tasks, and which law fits it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import permutations
from math import factorial
from typing import Literal, get_args

import numpy as np
import scipy
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from undergrowth.analysis.censored import log_probability
from undergrowth.analysis.intervals import Estimate, unknown

Law = Literal["power law", "exponential"]
LAWS: tuple[Law, ...] = get_args(Law)

MOST_PERMUTATIONS = 40_320
"""All of them up to 8 tasks; 9,999 drawn at random, and the one that is there, beyond."""
SHARPEST = 1e3
"""The least spread that counts as one, as a part of that of all times: its inverse."""
DEALT, VUONG = "exact permutation of the tasks, inverted", "Vuong's, by task"


@dataclass(frozen=True, eq=False)
class Ladder:
    """Runs on tasks of rising complexity.

    task: which task each run is of, 0, 1, ...; complexity: of each task, > 0; bounds: of the decimal
    logarithm of each run's time, the upper one infinite where it had not happened by the lower one.
    """

    task: Int[np.ndarray, " run"]
    complexity: Float[np.ndarray, " task"]
    bounds: Float[np.ndarray, "run 2"]

    @cached_property
    def seeds(self) -> int:
        """Runs of the task that has the fewest."""
        return int(np.bincount(self.task).min()) if len(self.task) else 0

    @property
    def span(self) -> float:
        """The highest complexity over the least; NaN without tasks."""
        return float(self.complexity.max() / self.complexity.min()) if len(self.complexity) else np.nan

    @property
    def happened(self) -> np.ndarray:
        """To which runs it had happened."""
        return np.isfinite(self.bounds[:, 1])

    @cached_property
    def is_open(self) -> np.ndarray:
        """Of which tasks it had happened to no run."""
        return np.bincount(self.task, self.happened) == 0

    @cached_property
    def means(self) -> Float[np.ndarray, " task"]:
        """The mean logarithm of each task's times, by maximum likelihood: log-normal ones of one spread,
        interval-censored. Of an open task that of the times by which it had not happened.
        """
        known = self.bounds.copy()
        known[~self.happened, 1] = known[~self.happened, 0]
        found = np.bincount(self.task, known.mean(axis=1)) / np.bincount(self.task)
        of = ~self.is_open[self.task]
        design = np.eye(len(found))[self.task[of]][:, ~self.is_open]
        if fitted := _fitted(design, self.bounds[of]):
            found[~self.is_open] = fitted[0]
        return found

    @cached_property
    def fits(self) -> dict[Law, Fit | None]:
        """Both laws, where they can be fitted."""
        return {law: fit(self, law) for law in LAWS}


def slope(ladder: Ladder, level: float = 0.95) -> Estimate:
    """By how much the logarithm of the time is larger at the highest complexity than at the least, on
    the straight line through the tasks' means; with the interval by inverting its permutation test.

    A task counts once, however many seeds it has: that tasks differ is what complexity has to beat. With
    a slope b taken away, the complexities could be dealt to the tasks in any other way; those b stay
    in the interval that leave the slope there among the steepest in more than 1 - level of the deals.
    That is exact where the tasks' deviations from the line are exchangeable, and of 3 tasks or fewer it
    says nothing. A task that no run solved has its time or a later one: on the side to which that would
    move the slope, the interval is open.
    """
    at, _ = _scaled(ladder.complexity)
    if not at.any() or ladder.is_open.all():
        return unknown(np.nan, level, ladder.seeds)
    order = np.lexsort((ladder.means, at))
    x, y = at[order] - at.mean(), ladder.means[order]
    deals = x[_deals(len(x))]
    there = float(x @ y / (x @ x))
    ends = _ends(there, deals @ y / (x @ x), deals @ x / (x @ x))
    later = np.sign(at - at.mean())[ladder.is_open]
    is_open = (later < 0).any(), (later > 0).any()
    rarest = int((1 - level) * len(deals) + 1e-9)
    low = -np.inf if is_open[0] else float(np.sort(ends[0])[rarest])
    high = np.inf if is_open[1] else float(np.sort(ends[1])[::-1][rarest])

    def p(threshold: float) -> float:
        if is_open[int(threshold > there)] and threshold != there:
            return 1.0
        return float(((ends[0] <= threshold + 1e-12) & (threshold - 1e-12 <= ends[1])).mean())

    return Estimate(there, low, high, level, ladder.seeds, DEALT, p=p)


def _scaled(complexity: np.ndarray) -> tuple[np.ndarray, float]:
    """From 0, the least, to 1, the highest; and their distance."""
    distance = float(np.ptp(complexity)) if len(complexity) else 0.0
    return (complexity - complexity.min(initial=np.inf)) / (distance or 1.0), distance


@lru_cache(maxsize=16)
def _deals(n: int) -> np.ndarray:
    """The ways [deal, task] to deal as many numbers to n tasks, the one that is there among them."""
    if factorial(n) <= MOST_PERMUTATIONS:
        return np.array(list(permutations(range(n))))
    rng = np.random.default_rng(0)
    return np.stack([np.arange(n), *(rng.permutation(n) for _ in range(9999))])


def _ends(there: float, dealt: np.ndarray, alike: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which slopes b each deal is at least as steep as what is there, once b is taken away.

    dealt: its slope; alike: the slope of the complexities on how it deals them. |dealt - b alike| is at
    least |there - b| between the two b at which they are equal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = np.array([(there - dealt) / (1 - alike), (there + dealt) / (1 + alike)])
    always = np.abs(alike) > 1 - 1e-9
    low, high = (np.where(always, np.nan, crossings[at]) for at in (0, 1))
    return (
        np.where(always, -np.inf, np.minimum(low, high)),
        np.where(always, np.inf, np.maximum(low, high)),
    )


@dataclass(frozen=True, eq=False)
class Fit:
    """The logarithm of the time is intercept + slope g(c) + sigma times a standard normal.

    g(c): log10 c in a power law, whose exponent the slope is; c in an exponential. log_likelihood: of
    each run.
    """

    law: Law
    intercept: float
    slope: float
    sigma: float
    log_likelihood: Float[np.ndarray, " run"]

    def median(self, complexity: ArrayLike) -> Float[np.ndarray, " at"]:
        """The median time at some complexities."""
        return 10 ** (self.intercept + self.slope * _transformed(complexity, self.law))


def fit(ladder: Ladder, law: Law) -> Fit | None:
    """A law by maximum likelihood, free to fall: interval-censored log-normal times.

    None where there is no one maximum: it happened at fewer than 2 complexities, or no spread is left.
    """
    if len(np.unique(ladder.complexity[~ladder.is_open])) < 2:
        return None
    g = _transformed(ladder.complexity, law)
    middle, wide = g.mean(), g.std()
    x = ((g - middle) / wide)[ladder.task]
    fitted = _fitted(np.column_stack([np.ones_like(x), x]), ladder.bounds)
    if fitted is None:
        return None
    (at_middle, rise), sigma, log_likelihood = fitted
    slope = rise / wide
    return Fit(law, float(at_middle - slope * middle), float(slope), sigma, log_likelihood)


def _fitted(design: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Coefficients of a design [run, column], the spread and the log-likelihood [run] of an
    interval-censored normal regression; None where no spread is left.

    In 1 / sigma and coefficients over sigma it is concave (Olsen 1978).
    """
    known = np.where(np.isfinite(bounds[:, 1]), bounds.mean(axis=1), bounds[:, 0])
    if not len(known):
        return None
    centre, scale = float(known.mean()), float(known.std()) or 1.0
    is_known = bounds[:, 0] == bounds[:, 1]
    y, scaled = (known - centre) / scale, (bounds - centre) / scale

    def at_each(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The log-likelihood [run], and its slope along the bounds [run, 2]."""
        z = scaled * at[-1] - (design @ at[:-1])[:, None]
        height = log_probability(z, 1 / at[-1])
        with np.errstate(over="ignore"):
            along = np.exp(scipy.stats.norm.logpdf(z) - height[:, None]) * [-1, 1]
        return height, np.where(is_known[:, None], -z / 2, along)

    def minus(at: np.ndarray) -> tuple[float, np.ndarray]:
        height, along = at_each(at)
        of_sharpness = (along * np.nan_to_num(scaled, posinf=0.0)).sum() + is_known.sum() / at[-1]
        return -height.sum(), -np.append(-design.T @ along.sum(axis=1), of_sharpness)

    start = np.linalg.lstsq(design, y, rcond=None)[0]
    sharp = 1 / max(1e-2, float((y - design @ start).std()))
    found = scipy.optimize.minimize(
        minus,
        np.append(start, 1.0) * sharp,
        jac=True,
        method="L-BFGS-B",
        bounds=[*[(None, None)] * len(start), (1e-3, SHARPEST)],
        options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500},
    ).x
    if found[-1] > 0.99 * SHARPEST:
        return None
    moved = np.linalg.lstsq(design, np.full(len(y), centre), rcond=None)[0]
    return (
        moved + found[:-1] / found[-1] * scale,
        scale / float(found[-1]),
        at_each(found)[0] - is_known * np.log(scale),
    )


def _transformed(complexity: ArrayLike, law: Law) -> np.ndarray:
    c = np.asarray(complexity, np.float64)
    return np.log10(c) if law == "power law" else c


def exponential_over_power_law(ladder: Ladder, level: float = 0.95) -> Estimate:
    """By how much an exponential fits better than a power law: the difference of their log-likelihoods,
    mean of the tasks (Vuong 1989, Econometrica 57:307). Both are free to fall.

    Seeds of one task deviate from a law together, so the task is the unit: the gains of its runs are
    summed. Since each law is fitted by three numbers the sums of n tasks have n - 3 degrees of freedom
    left, in their spread and in Student's quantile; between laws that fit equally well 7 to 10 tasks
    then give a false answer in 2 to 8 of 100 samples (with n - 1 in 7 to 16). Nothing is known
    where it happened at fewer than 3 complexities or of fewer than 4 tasks.
    """
    fits, left = ladder.fits, len(ladder.complexity) - 3
    if left < 1 or len(np.unique(ladder.complexity[~ladder.is_open])) < 3 or None in fits.values():
        return unknown(np.nan, level, ladder.seeds)
    of_law = {law: found.log_likelihood for law, found in fits.items() if found}
    gains = np.bincount(ladder.task, of_law["exponential"] - of_law["power law"])
    gain, error = float(gains.mean()), float(gains.std() / np.sqrt(left))
    reach = error * float(scipy.stats.t.ppf((1 + level) / 2, left))

    def p(threshold: float) -> float:
        return float(2 * scipy.stats.t.sf(abs(gain - threshold) / max(error, 1e-12), left))

    return Estimate(gain, gain - reach, gain + reach, level, ladder.seeds, VUONG, p=p)
