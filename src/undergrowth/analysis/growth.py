"""How a time grows with a complexity: censored fits of a power law and of an exponential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy.special import log_ndtr

from undergrowth.analysis.intervals import Estimate

Model = Literal["constant", "power law", "exponential"]
MODELS: tuple[Model, ...] = ("constant", "power law", "exponential")

N_ITERATIONS = 60
SMALLEST_SIGMA = 1e-4
LOG_ROOT_TAU = 0.5 * float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Fit:
    """log T = intercept + slope g(c) + sigma times a standard normal, by maximum likelihood.

    g(c): nothing (constant), log c (power law: the slope is its exponent) or c (exponential). Each array
    has one number a resample. log_likelihood: of the log times, the share of censored runs included;
    NaN where there is no fit: nothing happened, or no spread is left. n: runs.
    """

    model: Model
    intercept: Float[np.ndarray, " resample"]
    slope: Float[np.ndarray, " resample"]
    sigma: Float[np.ndarray, " resample"]
    log_likelihood: Float[np.ndarray, " resample"]
    n: int

    @property
    def n_parameters(self) -> int:
        """The spread counts too."""
        return 2 if self.model == "constant" else 3

    @property
    def aic(self) -> Float[np.ndarray, " resample"]:
        """Akaike 1974: the smaller, the better."""
        return 2 * self.n_parameters - 2 * self.log_likelihood

    @property
    def aicc(self) -> Float[np.ndarray, " resample"]:
        """Hurvich & Tsai 1989; NaN where there are too few runs for its correction."""
        k, left = self.n_parameters, self.n - self.n_parameters - 1
        return self.aic + 2 * k * (k + 1) / left if left > 0 else np.full_like(self.aic, np.nan)

    @property
    def bic(self) -> Float[np.ndarray, " resample"]:
        """Schwarz 1978."""
        return self.n_parameters * np.log(self.n) - 2 * self.log_likelihood

    def median(self, complexity: ArrayLike) -> Float[np.ndarray, "resample at"]:
        """The median time at some complexities."""
        g = _transformed(np.asarray(complexity, np.float64), self.model)
        with np.errstate(over="ignore"):
            return np.exp(self.intercept[:, None] + self.slope[:, None] * g)


@dataclass(frozen=True, eq=False)
class Ladder:
    """Runs on rungs of rising complexity.

    rung: which task each run is of; complexity: of that task, > 0; times: when it happened, > 0, or
    until when it had not; happened: which.
    """

    rung: Int[np.ndarray, " run"]
    complexity: Float[np.ndarray, " run"]
    times: Float[np.ndarray, " run"]
    happened: Bool[np.ndarray, " run"]

    @cached_property
    def seeds(self) -> int:
        """Runs on the rung that has the fewest."""
        return int(np.unique(self.rung, return_counts=True)[1].min()) if len(self.rung) else 0

    @property
    def range(self) -> float:
        """The largest complexity over the smallest; NaN without runs."""
        return float(self.complexity.max() / self.complexity.min()) if len(self.rung) else np.nan

    @property
    def n_complexities(self) -> int:
        """How many different ones there are."""
        return len(np.unique(self.complexity))


def fit(ladder: Ladder, model: Model, weights: np.ndarray | None = None) -> Fit:
    """The model by maximum likelihood, once or for each row of weights [resample, run].

    A run to which it had not happened counts with the probability that it happens later (Tobin 1958).
    In 1 / sigma and coefficients over sigma the likelihood is concave (Olsen 1978), so Newton's method
    finds its one maximum.
    """
    return _fitted(ladder, _transformed(ladder.complexity, model)[None], model, weights)


def redrawn(rung: np.ndarray, n_resamples: int = 999, seed: int = 0) -> np.ndarray:
    """Weights [resample, run] that draw the seeds of each rung anew (Rao & Wu 1988).

    Of n runs of a rung n - 1 are drawn with replacement, each counting n / (n - 1) times, which makes
    the variance right where rungs have few runs. A rung with one run has it in every resample.
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((n_resamples, len(rung)))
    for each in np.unique(rung):
        at = np.flatnonzero(rung == each)
        if (n := len(at)) > 1:
            weights[:, at] = rng.multinomial(n - 1, np.full(n, 1 / n), n_resamples) * n / (n - 1)
    return weights


@dataclass(frozen=True, eq=False)
class Growth:
    """The fits of a ladder, and of its resamples where every rung has two runs or more."""

    ladder: Ladder
    fits: dict[Model, Fit]
    resampled: dict[Model, Fit]

    @property
    def exponent(self) -> Estimate:
        """Of the power law: log T rises by so much where log complexity rises by 1."""
        return self._estimate(
            self.fits["power law"].slope, [f.slope for f in self._of("power law")], least=2
        )

    @property
    def against_power_law(self) -> Estimate:
        """AIC of the power law minus AIC of the growing exponential: above 0 the latter fits better.

        The exponential may not fall: where its best slope is negative it is held at 0. The power law may
        fall.
        """
        drawn = [_advantage(self.resampled)] if self.resampled else []
        return self._estimate(_advantage(self.fits), drawn, least=3)

    def _of(self, model: Model) -> list[Fit]:
        return [self.resampled[model]] if self.resampled else []

    def _estimate(self, value: np.ndarray, drawn: Sequence[np.ndarray], *, least: int) -> Estimate:
        n, effect = self.ladder.seeds, float(value[0]) if len(value) else np.nan
        enough = self.ladder.n_complexities >= least and np.isfinite(effect)
        known = drawn[0][np.isfinite(drawn[0])] if drawn and enough else np.zeros(0)
        if not enough or len(known) < 0.95 * len(drawn[0] if drawn else [0]) or not np.ptp(known):
            return Estimate(effect if enough else np.nan, np.nan, np.nan, 0.95, n, "none")
        low, high = np.quantile(known, [0.025, 0.975])
        return Estimate(effect, float(low), float(high), 0.95, n, "bootstrap (Rao-Wu)")


def growth(ladder: Ladder, n_resamples: int = 999) -> Growth:
    """All models fitted, and fitted again to resamples of the seeds of each rung."""
    weights = redrawn(ladder.rung, n_resamples) if ladder.seeds > 1 and n_resamples else None
    return Growth(
        ladder,
        {model: fit(ladder, model) for model in MODELS},
        {} if weights is None else {model: fit(ladder, model, weights) for model in MODELS},
    )


def beyond_tie(found: Estimate, tie: float = 2.0) -> Estimate:
    """A difference of AIC moved towards 0 by the size that counts as a tie (Burnham & Anderson 2002).

    >>> beyond_tie(Estimate(9.0, 1.0, 12.0, 0.95, 10, "none"))
    Estimate(effect=7.0, low=0.0, high=10.0, level=0.95, n=10, method='none', n_control=None)
    """
    effect, low, high = (
        float(np.sign(v) * max(abs(v) - tie, 0.0)) + 0.0 for v in (found.effect, found.low, found.high)
    )
    return Estimate(effect, low, high, found.level, found.n, found.method, found.n_control)


def as_steep_by_chance(ladder: Ladder, n_permutations: int = 999, seed: int = 0) -> float:
    """The share of dealings of the complexities to the rungs whose power law is at least as steep.

    In size, whichever way; the dealing that is there counts as one (Phipson & Smyth 2010). It asks what
    resampled seeds do not: whether complexity matters, or only that tasks differ. NaN without a fit.
    """
    there = fit(ladder, "power law").slope
    if not len(there) or not np.isfinite(there[0]) or ladder.n_complexities < 2:
        return float("nan")
    rungs, first, of = np.unique(ladder.rung, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    dealt = np.stack(
        [ladder.complexity[first][rng.permutation(len(rungs))][of] for _ in range(n_permutations)]
    )
    slopes = _fitted(ladder, np.log(dealt), "power law", None).slope
    as_steep = int((np.abs(slopes[np.isfinite(slopes)]) >= abs(there[0]) * (1 - 1e-9)).sum())
    return (as_steep + 1) / (n_permutations + 1)


def _advantage(fits: dict[Model, Fit]) -> np.ndarray:
    exponential, constant = fits["exponential"], fits["constant"]
    grows = np.where(exponential.slope > 0, exponential.log_likelihood, constant.log_likelihood)
    return 2 * (grows - fits["power law"].log_likelihood)


def _transformed(complexity: np.ndarray, model: Model) -> np.ndarray:
    if model == "constant":
        return np.zeros_like(complexity)
    return np.log(complexity) if model == "power law" else complexity


def _fitted(ladder: Ladder, predictor: np.ndarray, model: Model, weights: np.ndarray | None) -> Fit:
    """predictor [resample or 1, run]; weights [resample, run], all 1 where None."""
    n = len(ladder.times)
    each = np.ones((len(predictor), n)) if weights is None else weights
    if not n or not ladder.happened.any():
        nothing = np.full(len(each), np.nan)
        return Fit(model, nothing, nothing, nothing, nothing, n)
    centre = predictor.mean(axis=1, keepdims=True)
    spread = predictor.std(axis=1, keepdims=True)
    flat = spread[:, 0] <= 1e-12 * np.abs(centre[:, 0])
    scaled = (predictor - centre) / np.where(flat, 1, spread[:, 0])[:, None]
    log_times = np.log(ladder.times)
    middle = log_times.mean()
    columns = [np.ones_like(scaled), *([] if model == "constant" else [scaled])]
    coefficients, sigma, height = _maximised(
        np.stack(np.broadcast_arrays(*columns), axis=-1), log_times - middle, ladder.happened, each
    )
    slope = np.zeros(len(each))
    if model != "constant":
        slope = np.where(flat, np.nan, coefficients[:, 1] / np.where(flat, 1, spread[:, 0]))
    intercept = middle + coefficients[:, 0] - slope * centre[:, 0]
    return Fit(model, intercept, slope, sigma, height, n)


def _maximised(
    design: np.ndarray, y: np.ndarray, happened: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients [resample, column], sigma and log-likelihood [resample] by Newton's method.

    design: [1 or resample, run, column].
    """
    likelihood = _Likelihood(design, y, happened, weights)
    at = _least_squares(design, y, weights)
    height = likelihood(at)
    for _ in range(N_ITERATIONS):
        step, gain = likelihood.newton(at)
        higher = likelihood(at + step)
        for _ in range(30):
            worse = ~(higher >= height)
            if not worse.any():
                break
            step[worse] /= 2
            higher = likelihood(at + step)
        better = higher >= height
        at = np.where(better[:, None], at + step, at)
        height = np.where(better, higher, height)
        if not (gain > 1e-10).any():
            break
    sigma = 1 / at[:, -1]
    found = np.isfinite(height) & (sigma > SMALLEST_SIGMA) & (likelihood.count > 0)
    coefficients = np.where(found[:, None], at[:, :-1] * sigma[:, None], np.nan)
    return coefficients, np.where(found, sigma, np.nan), np.where(found, height, np.nan)


def _least_squares(design: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients / sigma and 1 / sigma were no run censored, to start from: [resample, column + 1]."""
    x = np.broadcast_to(design, (len(weights), *design.shape[1:]))
    moments = np.einsum("bn,bni,bnj->bij", weights, x, x, optimize=True)
    coefficients = _solved(moments, np.einsum("bn,bni,n->bi", weights, x, y, optimize=True))
    left = y - np.einsum("bni,bi->bn", x, coefficients)
    sigma = np.sqrt((weights * left**2).sum(axis=1) / weights.sum(axis=1)).clip(1e-3)
    return np.column_stack([coefficients, np.ones(len(sigma))]) / sigma[:, None]


class _Likelihood:
    """Of a normal regression with right-censored runs, in (coefficients / sigma, 1 / sigma).

    Runs that are not censored enter by their second moments alone.
    """

    def __init__(
        self, design: np.ndarray, y: np.ndarray, happened: np.ndarray, weights: np.ndarray
    ) -> None:
        n, k = len(weights), design.shape[-1]
        times = np.broadcast_to(y[:, None], (*design.shape[:2], 1))
        by_parameter = np.concatenate([-design, times], axis=-1)
        by_parameter = np.broadcast_to(by_parameter, (n, len(y), k + 1))
        seen, of_seen = by_parameter[:, happened], weights[:, happened]
        self.count = of_seen.sum(axis=1)
        self.moments = np.einsum("bn,bni,bnj->bij", of_seen, seen, seen, optimize=True)
        self.late, self.of_late = by_parameter[:, ~happened], weights[:, ~happened]

    def __call__(self, at: np.ndarray) -> np.ndarray:
        """The log-likelihood [resample]; NaN where 1 / sigma is not positive."""
        inverse = np.where(at[:, -1] > 0, at[:, -1], np.nan)
        squares = np.einsum("bi,bij,bj->b", at, self.moments, at, optimize=True)
        beyond = (self.of_late * log_ndtr(-self._z(at))).sum(axis=1)
        return self.count * (np.log(inverse) - LOG_ROOT_TAU) - squares / 2 + beyond

    def newton(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The step [resample, parameter], and what it gains in log-likelihood to second order."""
        z = self._z(at)
        hazard = np.exp(-(z**2) / 2 - LOG_ROOT_TAU - log_ndtr(-z))
        bend = self.of_late * hazard * (hazard - z)
        uphill = -np.einsum("bij,bj->bi", self.moments, at)
        uphill -= np.einsum("bn,bni->bi", self.of_late * hazard, self.late)
        uphill[:, -1] += self.count / at[:, -1]
        bends = self.moments + np.einsum("bn,bni,bnj->bij", bend, self.late, self.late, optimize=True)
        bends[:, -1, -1] += self.count / at[:, -1] ** 2
        step = _solved(bends, uphill)
        return step, (step * uphill).sum(axis=1) / 2

    def _z(self, at: np.ndarray) -> np.ndarray:
        return np.einsum("bni,bi->bn", self.late, at)


def _solved(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """x in each matrix x = vector, the matrices symmetric and made a little more than singular."""
    k = matrices.shape[-1]
    ridge = 1e-10 * np.trace(matrices, axis1=1, axis2=2)[:, None, None] * np.eye(k) + 1e-300 * np.eye(k)
    return np.linalg.solve(matrices + ridge, vectors[..., None])[..., 0]
