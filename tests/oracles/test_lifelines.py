"""Censored means and accelerated failure times against lifelines' interval-censored fits."""
# pyright: reportMissingImports=false

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from lifelines import LogNormalAFTFitter, LogNormalFitter
from scipy import stats

from tests.analysis.test_growth import exponential, ladder
from undergrowth.analysis import censored_estimate
from undergrowth.analysis.censored import Profile
from undergrowth.analysis.growth import LAWS, Law, fit

INF = math.inf
VALUES = np.random.default_rng(0).normal(0.5, 0.4, 16)


def until(watched: float) -> tuple[np.ndarray, np.ndarray]:
    """What does not come until then is open above."""
    return np.minimum(VALUES, watched), np.where(watched < VALUES, INF, VALUES)


def between(step: float) -> tuple[np.ndarray, np.ndarray]:
    """Seen at every step only."""
    low = np.floor(VALUES / step) * step
    return low, low + step


def both_sides() -> tuple[np.ndarray, np.ndarray]:
    """Known, open above, open below and between bounds."""
    low, high = VALUES.copy(), VALUES.copy()
    high[:4], low[4:7], low[7:10] = INF, -INF, low[7:10] - 0.3
    return low, high


CASES = {
    "few open above": until(0.8),
    "half open above": until(0.5),
    "most open above, the mean beyond them all": until(0.15),
    "most open below": tuple(-side for side in until(0.15)[::-1]),
    "between evaluations": between(0.25),
    "of every kind": both_sides(),
}


def theirs(low: np.ndarray, high: np.ndarray) -> LogNormalFitter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own derivatives where a time is known
        return LogNormalFitter().fit_interval_censoring(np.exp(low), np.exp(high))


@pytest.mark.parametrize("case", CASES)
def test_the_mean_is_that_of_a_log_normal_fit_of_the_times(case: str) -> None:
    low, high = CASES[case]
    fit = theirs(low, high)
    assert censored_estimate(low, high).effect == pytest.approx(fit.mu_, abs=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_the_greatest_likelihood_is_theirs(case: str) -> None:
    """Of the logarithms, so that the Jacobian of each known time is added to theirs, and our scale."""
    low, high = CASES[case]
    fit, profile = theirs(low, high), Profile.of(np.stack([low, high], axis=1))
    known = low == high
    ours = profile.log_likelihood(np.array([(fit.mu_ - profile.centre) / profile.scale]))[0]
    assert ours - known.sum() * np.log(profile.scale) == pytest.approx(
        fit.log_likelihood_ + low[known].sum(), abs=1e-3
    )


def test_the_interval_holds_what_their_likelihood_does_not_put_too_low() -> None:
    """At either end their likelihood, at its best spread, is lower by what Student's quantile says."""
    low, high = CASES["half open above"]
    found, fit, n = censored_estimate(low, high), theirs(low, high), len(low)
    wanted = n / 2 * math.log1p(stats.t.ppf(0.975, n - 1) ** 2 / (n - 1))
    spreads = np.exp(np.linspace(-4, 3, 4001))
    known = low == high
    for mean in (found.low, found.high):
        at = stats.norm.logpdf(low[known, None], mean, spreads).sum(axis=0)
        at = at + stats.norm.logsf(low[~known, None], mean, spreads).sum(axis=0)
        assert fit.log_likelihood_ + low[known].sum() - at.max() == pytest.approx(wanted, abs=1e-3)


@pytest.mark.filterwarnings("ignore:Starting with pandas")  # of calls in lifelines
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("every", [0.0, 50.0])
def test_a_fit_is_that_of_an_accelerated_failure_time_model(law: Law, every: float) -> None:
    runs = ladder(exponential, until=700.0, sigma=0.3, every=every)
    found = fit(runs, law)
    assert found is not None
    c = runs.complexity[runs.task]
    low, high = (10**bound for bound in runs.bounds.T)
    table = pd.DataFrame({"low": low, "high": high, "g": np.log(c) if law == "power law" else c})
    expected = LogNormalAFTFitter().fit_interval_censoring(table, "low", "high")
    factor = 1 if law == "power law" else np.log(10)
    assert found.slope * factor == pytest.approx(expected.params_["mu_", "g"], rel=1e-3)
    assert found.sigma * np.log(10) == pytest.approx(
        np.exp(expected.params_["sigma_"].iloc[0]), rel=1e-3
    )
    in_steps = np.where(low == high, np.log(np.log(10) * high), 0)  # density of a log as of a time
    assert (found.log_likelihood - in_steps).sum() == pytest.approx(expected.log_likelihood_, abs=1e-3)
