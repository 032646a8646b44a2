"""Censored fits against planted laws, least squares and brute-force likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from undergrowth.analysis.growth import (
    MODELS,
    Ladder,
    Model,
    as_steep_by_chance,
    beyond_tie,
    fit,
    growth,
    redrawn,
)

C = np.repeat([11.0, 17.0, 29.0, 47.0, 79.0], 12)


def ladder(law, *, sigma: float = 0.2, until: float = np.inf, seed: int = 0, c=C) -> Ladder:
    noise = np.random.default_rng(seed).normal(size=len(c)) * sigma
    times = np.exp(np.log(law(c)) + noise)
    rung = np.unique(c, return_inverse=True)[1]
    return Ladder(rung, c, np.minimum(times, until), times < until)


def power(c):
    return 2.0 * c**1.5


def exponential(c):
    return 50.0 * np.exp(0.05 * c)


def falling(c):
    return 5e4 / c


@pytest.mark.parametrize("until", [np.inf, 400.0])
def test_a_planted_power_law_is_recovered_with_and_without_censoring(until: float) -> None:
    runs = ladder(power, until=until, c=np.repeat(C, 40))
    found = fit(runs, "power law")
    assert until == np.inf or 0.2 < 1 - runs.happened.mean() < 0.6
    assert found.slope[0] == pytest.approx(1.5, abs=0.03)
    assert np.exp(found.intercept[0]) == pytest.approx(2.0, rel=0.1)
    assert found.sigma[0] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("until", [np.inf, 900.0])
def test_a_planted_exponential_is_recovered_with_and_without_censoring(until: float) -> None:
    found = fit(ladder(exponential, until=until, c=np.repeat(C, 40)), "exponential")
    assert found.slope[0] == pytest.approx(0.05, abs=0.001)
    assert np.exp(found.intercept[0]) == pytest.approx(50.0, rel=0.03)


def test_leaving_censored_runs_out_would_get_it_wrong() -> None:
    runs = ladder(power, sigma=0.6, until=400.0, c=np.repeat(C, 40))
    seen = runs.happened
    dropped = Ladder(runs.rung[seen], runs.complexity[seen], runs.times[seen], seen[seen])
    assert fit(runs, "power law").slope[0] == pytest.approx(1.5, abs=0.06)
    assert fit(dropped, "power law").slope[0] < 1.2


def test_nothing_censored_is_least_squares() -> None:
    runs = ladder(power)
    found = fit(runs, "power law")
    x, y = np.log(runs.complexity), np.log(runs.times)
    slope, intercept = np.polyfit(x, y, 1)
    assert found.slope[0] == pytest.approx(slope)
    assert found.intercept[0] == pytest.approx(intercept)
    left = y - intercept - slope * x
    assert found.sigma[0] == pytest.approx(np.sqrt((left**2).mean()))
    likelihood = stats.norm.logpdf(left, scale=found.sigma[0]).sum()
    assert found.log_likelihood[0] == pytest.approx(likelihood)


@pytest.mark.parametrize("model", MODELS)
def test_the_maximum_is_that_of_the_likelihood_by_brute_force(model: Model) -> None:
    runs = ladder(exponential, until=700.0, sigma=0.5)
    weights = redrawn(runs.rung, 1, seed=3)
    found = fit(runs, model, weights)
    g = {"constant": 0 * runs.complexity, "power law": np.log(runs.complexity)}
    x, y = g.get(model, runs.complexity), np.log(runs.times)

    def minus(at: np.ndarray) -> float:
        z = (y - at[0] - at[1] * x * (model != "constant")) / np.exp(at[2])
        each = np.where(runs.happened, stats.norm.logpdf(z) - at[2], stats.norm.logsf(z))
        return -float((weights[0] * each).sum())

    options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 20_000, "maxfev": 20_000}
    best = optimize.minimize(minus, [5.0, 0.01, 0.0], method="Nelder-Mead", options=options)
    assert found.log_likelihood[0] == pytest.approx(-best.fun, abs=1e-6)
    assert found.sigma[0] == pytest.approx(np.exp(best.x[2]), rel=1e-3)
    if model != "constant":
        assert found.slope[0] == pytest.approx(best.x[1], rel=1e-3)


def test_criteria_are_those_of_the_likelihood() -> None:
    runs = ladder(power)
    found, n = fit(runs, "power law"), len(C)
    assert found.aic[0] == pytest.approx(6 - 2 * found.log_likelihood[0])
    assert found.bic[0] == pytest.approx(3 * np.log(n) - 2 * found.log_likelihood[0])
    assert found.aicc[0] == pytest.approx(found.aic[0] + 24 / (n - 4))
    assert fit(runs, "constant").n_parameters == 2


def test_a_median_is_what_the_law_says() -> None:
    found = fit(ladder(power, sigma=0.01), "power law")
    assert found.median([20.0, 50.0])[0] == pytest.approx(power(np.array([20.0, 50.0])), rel=0.02)


def test_each_law_is_told_from_the_other() -> None:
    assert beyond_tie(growth(ladder(exponential)).against_power_law).low > 0
    assert beyond_tie(growth(ladder(power)).against_power_law).high < 0


def test_a_time_that_falls_grows_neither_way() -> None:
    found = growth(ladder(falling))
    assert found.exponent.high < 0
    assert found.against_power_law.high < -2


def test_a_time_that_does_not_change_is_told_from_neither() -> None:
    found = growth(ladder(lambda c: 0 * c + 300.0, seed=1))
    assert found.exponent.low < 0 < found.exponent.high
    assert beyond_tie(found.against_power_law).low <= 0 <= beyond_tie(found.against_power_law).high


def test_a_narrow_range_does_not_part_them() -> None:
    c = np.repeat([20.0, 23.0, 26.0, 29.0], 10)
    found = beyond_tie(growth(ladder(lambda c: c**2, c=c)).against_power_law)
    assert found.low <= 0 <= found.high


def test_two_complexities_have_a_slope_and_no_shape() -> None:
    found = growth(ladder(power, c=np.repeat([11.0, 47.0], 6)))
    assert found.exponent.low > 1
    assert not found.against_power_law.is_bounded


def test_one_run_a_rung_or_one_complexity_or_none_has_no_interval() -> None:
    for c in ([11.0, 17.0, 29.0], [11.0] * 6, []):
        found = growth(ladder(power, c=np.array(c)))
        assert not found.exponent.is_bounded
        assert not found.against_power_law.is_bounded


def test_all_censored_has_no_fit() -> None:
    found = growth(ladder(power, until=10.0))
    assert np.isnan(found.fits["power law"].log_likelihood[0])
    assert not found.exponent.is_bounded
    assert np.isnan(as_steep_by_chance(found.ladder))


def test_times_without_spread_have_no_fit_rather_than_an_infinite_likelihood() -> None:
    found = growth(ladder(power, sigma=0.0))
    assert np.isnan(found.fits["power law"].log_likelihood[0])
    assert not found.against_power_law.is_bounded


def test_redrawn_seeds_keep_the_runs_of_each_rung_and_the_variance_of_their_mean() -> None:
    rung = np.repeat([0, 1], [4, 3])
    weights = redrawn(rung, 20_000)
    assert np.allclose(weights[:, :4].sum(axis=1), 4)
    assert np.allclose(weights[:, 4:].sum(axis=1), 3)
    values = np.array([1.0, 4.0, 2.0, 7.0])
    means = weights[:, :4] @ values / 4
    assert means.var() == pytest.approx(values.var(ddof=1) / 4, rel=0.05)


def test_intervals_of_the_exponent_cover_the_planted_one() -> None:
    c = np.repeat([11.0, 17.0, 29.0], 10)
    found = [growth(ladder(power, seed=s, c=c), 199).exponent for s in range(60)]
    covered = [e.low < 1.5 < e.high for e in found]
    assert np.mean(covered) > 0.88


def test_the_order_of_runs_changes_no_fit() -> None:
    runs = ladder(power, until=400.0)
    order = np.random.default_rng(1).permutation(len(C))
    mixed = Ladder(*(a[order] for a in (runs.rung, runs.complexity, runs.times, runs.happened)))
    assert fit(mixed, "power law").slope[0] == pytest.approx(fit(runs, "power law").slope[0])


def test_dealing_complexities_anew_is_rarely_as_steep_as_a_law_and_often_as_steep_as_none() -> None:
    c = np.repeat([5.0, 7.0, 11.0, 17.0, 29.0, 47.0, 79.0], 6)
    assert as_steep_by_chance(ladder(power, c=c)) < 0.01
    assert as_steep_by_chance(ladder(lambda c: 0 * c + 300.0, c=c)) > 0.05
