from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from undergrowth.analysis import Estimate, censored_estimate, difference, estimate, proportion

SEVEN = [2.1, 2.9, 3.4, 2.2, 3.9, 2.6, 3.1]
FIVE = [1.2, 0.4, 0.9, 1.8, 0.7]
RNG = np.random.default_rng(0)


def t_quantile(level: float, freedom: float) -> float:
    """By the inverse of the incomplete beta function, not by scipy.stats."""
    x = special.betaincinv(freedom / 2, 0.5, 1 - level)
    return math.sqrt(freedom * (1 / x - 1))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_few_seeds_get_students_interval(level: float) -> None:
    found, n = estimate(SEVEN, level), len(SEVEN)
    mean = sum(SEVEN) / n
    error = math.sqrt(sum((x - mean) ** 2 for x in SEVEN) / (n - 1) / n)
    half = t_quantile(level, n - 1) * error
    assert found.effect == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))
    assert (found.level, found.n, found.method) == (level, 7, "Student's t")


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_a_difference_of_few_seeds_gets_welchs_interval(level: float) -> None:
    found = difference(SEVEN, FIVE, level)
    interval = stats.ttest_ind(SEVEN, FIVE, equal_var=False).confidence_interval(level)
    assert found.effect == pytest.approx(np.mean(SEVEN) - np.mean(FIVE))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.n, found.method) == (7, "Welch's t")


def test_a_difference_from_a_control_that_never_varies_is_still_told() -> None:
    """Equal to the interval of the values themselves, moved by the constant."""
    found, alone = difference(SEVEN, [1.0, 1.0, 1.0]), estimate(SEVEN)
    assert (found.low, found.high) == pytest.approx((alone.low - 1, alone.high - 1))


def test_many_seeds_get_the_bootstrap_which_is_near_students_for_a_normal_sample() -> None:
    sample = RNG.normal(5, 2, 200)
    found = estimate(sample)
    low, high = stats.t.interval(0.95, 199, loc=sample.mean(), scale=stats.sem(sample))
    assert found.method == "bootstrap (BCa)"
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)
    again = difference(sample, sample[:100] - 1)
    assert again.method == "bootstrap (BCa)"
    welch = stats.ttest_ind(sample, sample[:100] - 1, equal_var=False).confidence_interval(0.95)
    assert (again.low, again.high) == pytest.approx((welch.low, welch.high), abs=0.1)


def test_the_bootstrap_leans_towards_the_long_tail() -> None:
    sample = np.random.default_rng(1).exponential(size=15) ** 2
    found = estimate(sample)
    assert found.high - found.effect > found.effect - found.low


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng, trials = np.random.default_rng(3), 60
    covered = {5: 0, 12: 0}
    for n in covered:
        for _ in range(trials):
            found = estimate(rng.normal(size=n), level=0.8)
            covered[n] += found.low <= 0 <= found.high
    for hits in covered.values():  # binomial(60, 0.8): 48 +- 4 standard deviations of 3.1
        assert 35 <= hits <= 59


@pytest.mark.parametrize("values", [SEVEN, RNG.exponential(size=12)])
def test_the_same_values_give_the_same_interval_and_a_higher_level_a_wider_one(
    values: list[float],
) -> None:
    assert estimate(values) == estimate(values)
    narrow, wide = estimate(values, 0.8), estimate(values, 0.99)
    assert wide.low < narrow.low < narrow.effect < narrow.high < wide.high


@pytest.mark.parametrize("n", [2, 12])
def test_values_that_never_vary_say_nothing_of_their_spread(n: int) -> None:
    for found in (estimate([0.25] * n), difference([0.5] * n, [0.25] * n)):
        assert (found.effect, found.n, found.method) == (0.25, n, "none")
        assert not found.is_bounded


def test_a_censored_estimate_spans_what_its_bounds_allow() -> None:
    found = censored_estimate([0.0, 1.0, 1.2], [3.0, 1.0, 1.2])
    assert found.low == estimate([0.0, 1.0, 1.2]).low
    assert found.high == estimate([3.0, 1.0, 1.2]).high
    assert censored_estimate(SEVEN, SEVEN) == estimate(SEVEN)


def test_a_difference_tells_the_seeds_of_both_sides() -> None:
    found = difference(SEVEN, FIVE)
    assert (found.n, found.n_control) == (7, 5)


def test_one_seed_says_nothing_of_its_spread() -> None:
    found = estimate([3.0])
    assert found.effect == 3
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert (found.n, found.method) == (1, "none")


@pytest.mark.parametrize(
    "found",
    [
        estimate([]),
        difference([], [1.0]),
        estimate([1.0, math.nan]),
        estimate([math.nan] * 10 + [1.0, 2.0]),
        difference([1.0, 2.0], [math.nan, 1.0]),
        difference(np.arange(12.0), [math.nan] * 11 + [1.0]),
    ],
)
def test_no_value_or_a_nan_is_neither_a_warning_nor_a_number(found: Estimate) -> None:
    assert math.isnan(found.effect)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.method == "none"


def test_bounds_that_all_seeds_share_bound_the_interval() -> None:
    open_above = censored_estimate(SEVEN, [5.0] * 7)
    assert (open_above.low, open_above.high) == (estimate(SEVEN).low, 5.0)
    open_below = censored_estimate([0.0] * 7, SEVEN)
    assert (open_below.low, open_below.high, open_below.method) == (
        0.0,
        estimate(SEVEN).high,
        "Student's t",
    )
    nothing_known = censored_estimate([-1.0] * 3, [1.0] * 3)
    assert (nothing_known.low, nothing_known.high, nothing_known.method) == (-1.0, 1.0, "bounds")


def test_equal_values_that_are_not_censored_have_no_interval_and_one_seed_has_none() -> None:
    assert not censored_estimate([1.0] * 5, [1.0] * 5).is_bounded
    assert not censored_estimate([0.0], [1.0]).is_bounded


def test_a_difference_with_one_control_has_an_effect_and_no_interval() -> None:
    found = difference(SEVEN, [1.0])
    assert found.effect == pytest.approx(np.mean(SEVEN) - 1)
    assert math.isnan(found.low)
    assert (found.n, found.method) == (7, "none")


def test_the_order_of_a_difference_is_its_sign() -> None:
    one, other = difference(SEVEN, FIVE), difference(FIVE, SEVEN)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def tail(k: int, n: int, share: float) -> float:
    """The chance of k or more of n, counted."""
    return sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize(("k", "n"), [(3, 10), (9, 10), (1, 4)])
def test_a_shares_bounds_are_those_at_which_what_was_seen_is_just_possible(k: int, n: int) -> None:
    found = proportion([True] * k + [False] * (n - k))
    assert found.effect == k / n
    assert tail(k, n, found.low) == pytest.approx(0.025)
    assert 1 - tail(k + 1, n, found.high) == pytest.approx(0.025)


def test_seeds_that_all_agree_bound_a_share_and_none_do_not() -> None:
    assert (proportion([False] * 5).low, proportion([True] * 5).high) == (0, 1)
    assert proportion([True] * 5).low < 0.5 < proportion([True] * 6).low
    assert not proportion([]).is_bounded
