"""Slopes of a log ratio against statsmodels, planted distributions and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from undergrowth.analysis.density_ratio import (
    log_ratio_slopes,
    pseudo_count_slopes,
    shuffled_within,
    strata,
)


def drawn(slope: float, n: int, seed: int = 0, things: int = 300) -> tuple[np.ndarray, ...]:
    """Features of things, counts of n draws of p and of q: log p / q = slope f0 - f1 / 2 + constant."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((things, 2))
    features[:, 1] += features[:, 0]
    q = rng.exponential(size=things)
    p = q * np.exp(slope * features[:, 0] - 0.5 * features[:, 1])
    return features, rng.multinomial(n, p / p.sum()), rng.multinomial(n, q / q.sum())


def test_slopes_are_those_of_a_logistic_regression_by_statsmodels() -> None:
    from statsmodels.api import GLM, add_constant, families

    features, p, q = drawn(0.7, 2000)
    found = log_ratio_slopes(features, p, features, q)
    drew = p + q > 0
    counts = np.column_stack([p, q])[drew]
    fit = GLM(counts, add_constant(features[drew]), family=families.Binomial()).fit()
    np.testing.assert_allclose(found, fit.params[1:], rtol=1e-5)


@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.8])
def test_the_planted_slope_comes_back_within_its_error(slope: float) -> None:
    found = [
        log_ratio_slopes(features, p, features, q)
        for features, p, q in (drawn(slope, 5000, seed) for seed in range(20))
    ]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(20)
    assert (np.abs(mean - [slope, -0.5]) < 4 * error + 0.01).all()
    assert error.max() < 0.05


def test_things_seen_once_and_by_one_side_only_give_the_slope_too() -> None:
    """A million things, so hardly one is drawn twice: no log of a single one's share is known."""
    features, p, q = drawn(0.8, 4000, things=1_000_000)
    assert np.mean((p > 0) & (q > 0)) < 0.001
    seen_p, seen_q = np.flatnonzero(p), np.flatnonzero(q)
    found = log_ratio_slopes(features[seen_p], p[seen_p], features[seen_q], q[seen_q])
    assert found == pytest.approx([0.8, -0.5], abs=0.15)
    seen = (p + q) > 0
    pulled = pseudo_count_slopes(features[seen], p[seen], q[seen], 1.0)
    assert 0 < pulled[0] < 0.6 * found[0]  # a constant that is added decides where counts are small


def test_with_many_draws_of_each_a_pseudo_count_matters_little() -> None:
    features, p, q = drawn(0.8, 3_000_000)
    for added in (0.5, 1.0):
        found = pseudo_count_slopes(features, p, q, added)
        assert found == pytest.approx([0.8, -0.5], abs=0.02)


def test_how_many_were_drawn_of_each_makes_no_difference() -> None:
    features, p, q = drawn(0.4, 5000)
    one, other = (log_ratio_slopes(features, p * k, features, q) for k in (1, 7))
    np.testing.assert_allclose(one, other, atol=0.05)


def test_two_things_have_the_slope_of_their_log_odds() -> None:
    x = np.array([[0.0], [2.0]])
    found = log_ratio_slopes(x, np.array([1.0, 6.0]), x, np.array([3.0, 2.0]))
    assert found[0] == pytest.approx(np.log(6 * 3 / 2) / 2, rel=1e-6)


@pytest.mark.parametrize(
    "features",
    [
        np.column_stack([np.ones(6), np.arange(6.0)]),
        np.column_stack([np.arange(6.0), 2 * np.arange(6.0) + 1]),
    ],
)
def test_slopes_that_nothing_determines_are_not_numbers(features: np.ndarray) -> None:
    count = np.arange(1.0, 7)
    assert np.isnan(log_ratio_slopes(features, count, features, count[::-1])).all()
    assert np.isnan(pseudo_count_slopes(features, count, count[::-1], 1.0)).all()


def test_features_that_separate_the_two_perfectly_have_no_slope() -> None:
    one = np.ones(5)
    low, high = np.arange(5.0)[:, None], 10 + np.arange(5.0)[:, None]
    assert np.isnan(log_ratio_slopes(high, one, low, one)).all()


def test_no_draws_have_no_slope() -> None:
    x = np.arange(4.0)[:, None]
    assert np.isnan(log_ratio_slopes(x, np.zeros(4), x, np.ones(4))).all()


def test_strata_are_equally_frequent_and_keep_equal_values_together() -> None:
    values = np.random.default_rng(0).permutation(100).astype(float)
    of = strata(values, 10)
    assert np.bincount(of).tolist() == [10] * 10
    assert (np.diff(of[np.argsort(values)]) >= 0).all()
    tied = strata(np.repeat([1.0, 2.0], [95, 5]), 10)
    assert len(set(tied[:95])) == 1
    assert tied[0] != tied[-1]


def test_a_shuffle_stays_within_its_group() -> None:
    rng = np.random.default_rng(0)
    group, values = rng.integers(4, size=200), rng.standard_normal(200)
    shuffled = shuffled_within(values, group, rng)
    assert not (shuffled == values).all()
    for one in range(4):
        assert sorted(shuffled[group == one]) == sorted(values[group == one])
