"""The mean of values nested in seeds: against statsmodels, a closed form, and how often it is right."""

from __future__ import annotations

import numpy as np
import pytest

from undergrowth.analysis import estimate, nested_estimate
from undergrowth.analysis.nested import RandomIntercept

Values = list[np.ndarray]


def drawn(rng: np.random.Generator, n_seeds: int, between: float) -> Values:
    """Normal values about 0, variance 1 within a seed: half of the seeds have few, half have many."""
    many = rng.random(n_seeds) < 0.5
    sizes = np.where(many, rng.integers(10, 31, n_seeds), rng.integers(1, 4, n_seeds))
    return [rng.normal(np.sqrt(between) * rng.normal(), size=size) for size in sizes]


@pytest.mark.parametrize("between", [0.3, 2.0])
def test_variances_and_mean_are_those_of_statsmodels(between: float) -> None:
    from statsmodels.api import MixedLM

    values = drawn(np.random.default_rng(1), 12, between)
    seeds = np.repeat(np.arange(12), [len(each) for each in values])
    stacked = np.concatenate(values)
    its = MixedLM(stacked, np.ones((len(stacked), 1)), groups=seeds).fit(reml=True)
    fit = RandomIntercept.fitted(values)
    assert fit.ratio > 0
    assert fit.mean == pytest.approx(its.fe_params[0], rel=1e-4)
    assert fit.between == pytest.approx(its.cov_re[0, 0], rel=1e-3)
    assert fit.within == pytest.approx(its.scale, rel=1e-3)


def test_seeds_that_do_not_differ_have_no_variance_between_them() -> None:
    values = [np.array([-1.0, 1.0]), np.array([-1.0, 0.0, 1.0]), np.array([-1.0, -0.5, 0.5, 1.0])]
    fit = RandomIntercept.fitted(values)
    assert (fit.ratio, fit.mean) == (0.0, 0.0)
    assert fit.within == pytest.approx(np.concatenate(values).var(ddof=1))


@pytest.mark.parametrize("of_each", [1, 3])
def test_equally_many_values_come_to_the_estimate_of_the_seeds_means(of_each: int) -> None:
    values = np.random.default_rng(2).exponential(size=(10, of_each))
    found, by_seed = nested_estimate(list(values)), estimate(values.mean(axis=1))
    assert found == by_seed
    fit = RandomIntercept.fitted(list(values)) if of_each > 1 else None
    if fit:  # what is returned without a fit is what a fit comes to
        assert fit.mean == pytest.approx(by_seed.effect)
        assert fit.error == pytest.approx(values.mean(axis=1).std(ddof=1) / np.sqrt(10))


def test_one_value_throughout_is_told_by_how_many_seeds_agree() -> None:
    found = nested_estimate([[0.5] * n for n in (1, 4, 2, 3, 1, 1)])
    assert (found.low, found.high, found.n) == (0.5, 0.5, 6)
    assert not nested_estimate([[0.5], [0.5, 0.5]]).is_known


@pytest.mark.parametrize("n_seeds", [10, 16])
def test_the_interval_has_the_truth_as_often_as_it_says(n_seeds: int) -> None:
    """Binomial(240, 0.95): 228 +- 2.6 standard deviations; values as if seeds were nothing: far less."""
    rng, hits, pooled = np.random.default_rng(n_seeds), 0, 0
    for between in (0.0, 0.5, 2.0):
        for _ in range(80):
            values = drawn(rng, n_seeds, between)
            found, alone = nested_estimate(values), estimate(np.concatenate(values))
            hits += found.low <= 0 <= found.high
            pooled += alone.low <= 0 <= alone.high
    assert 219 <= hits <= 237
    assert pooled < 180


def test_p_is_below_the_level_where_the_interval_leaves_a_threshold_out() -> None:
    found = nested_estimate(drawn(np.random.default_rng(3), 10, 0.5))
    assert found.p is not None
    assert found.p(found.low) == pytest.approx(0.05)
    assert found.p(found.high) == pytest.approx(0.05)
    assert found.p(found.effect) > 0.9


def test_neither_the_order_of_seeds_nor_that_of_their_values_changes_a_digit() -> None:
    rng = np.random.default_rng(4)
    values = drawn(rng, 11, 0.5)
    found = nested_estimate(values)
    for _ in range(10):
        order = rng.permutation(len(values))
        again = nested_estimate([rng.permutation(values[at]) for at in order])
        assert (again.effect, again.low, again.high) == (found.effect, found.low, found.high)


def test_a_seed_of_many_values_weighs_more_but_not_by_their_number_where_seeds_differ() -> None:
    alike = RandomIntercept(np.array([1.0, 9.0]), np.array([0.0, 1.0]), 1.0, ratio=0.0)
    unlike = RandomIntercept(np.array([1.0, 9.0]), np.array([0.0, 1.0]), 1.0, ratio=100.0)
    assert alike.mean == pytest.approx(0.9)
    assert unlike.mean == pytest.approx(0.5, abs=0.01)


def test_seeds_without_values_do_not_count_and_one_seed_says_nothing() -> None:
    values = drawn(np.random.default_rng(5), 6, 0.5)
    assert nested_estimate([*values, []]) == nested_estimate(values)
    for few in ([], [[1.0, 2.0]], [[1.0], [2.0, np.nan]]):
        assert not nested_estimate(few).is_known
