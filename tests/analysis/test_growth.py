"""Slopes over tasks and fitted laws against planted ones, brute force and independent libraries."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from undergrowth.analysis.growth import (
    Ladder,
    exponential_over_power_law,
    fit,
    slope,
)

C = np.array([11.0, 17.0, 23.0, 29.0, 37.0, 47.0, 79.0])
Curve = Callable[[np.ndarray], np.ndarray]


def ladder(
    law: Curve,
    c: np.ndarray = C,
    *,
    seeds: int = 10,
    of_task: float = 0.0,
    sigma: float = 0.1,
    until: float = np.inf,
    every: float = 0.0,
    rng: int | np.random.Generator = 0,
) -> Ladder:
    """Log-normal times of a law; of_task, sigma: spreads of tasks and seeds, in decades; every: between
    evaluations, 0 where the time is known.
    """
    draw = np.random.default_rng(rng)
    task = np.repeat(np.arange(len(c)), seeds)
    middle = np.log10(law(c)) + of_task * draw.standard_t(4, size=len(c))
    times = 10 ** (middle[task] + sigma * draw.normal(size=len(task)))
    high = np.ceil(times / every) * every if every else times
    bounds = np.log10(np.column_stack([np.maximum(1, high - every), high]))
    bounds[high > until] = [np.log10(until), np.inf] if np.isfinite(until) else [0, 0]
    return Ladder(task, np.asarray(c, float), bounds)


def power(c):
    return 2.0 * c**1.5


def exponential(c):
    return 50.0 * np.exp(0.05 * c)


def falling(c):
    return 3e4 * np.exp(-0.05 * c)


def flat(c):
    return 0 * c + 300.0


def halfway(c):
    """As far from an exponential as from a power law: in the square root."""
    return 10 ** (1 + 0.5 * np.sqrt(c))


def test_the_slope_is_that_of_least_squares_through_the_tasks_means() -> None:
    from statsmodels.api import OLS, add_constant

    found = ladder(power, of_task=0.1)
    at = (C - C.min()) / np.ptp(C)
    means = found.bounds[:, 0].reshape(len(C), -1).mean(axis=1)
    expected = OLS(means, add_constant(at)).fit().params[1]
    assert slope(found).effect == pytest.approx(expected, rel=1e-4)


def test_the_p_of_no_slope_is_that_of_all_permutations() -> None:
    found = ladder(flat, C[:6], of_task=0.3)
    expected = stats.permutation_test(
        (found.means,),
        lambda y: np.corrcoef(C[:6], y)[0, 1],
        permutation_type="pairings",
        n_resamples=720,
    )
    both_sides = np.abs(expected.null_distribution) >= abs(expected.statistic) - 1e-12
    p = slope(found).p
    assert p is not None
    assert p(0.0) == pytest.approx(both_sides.mean())


@pytest.mark.parametrize("threshold", [-0.4, 0.1, 0.31, 0.9])
def test_the_p_of_any_slope_is_that_of_dealing_what_is_left_of_the_times(threshold: float) -> None:
    c = C[[0, 0, 2, 4, 5]]
    found = ladder(power, c, of_task=0.2)
    x = (c - c.min()) / np.ptp(c)
    left = found.means - threshold * x

    def steep(order: tuple[int, ...]) -> float:
        return abs(np.polyfit(x[list(order)], left, 1)[0])

    there = steep(tuple(range(5)))
    expected = np.mean([steep(order) >= there - 1e-9 for order in permutations(range(5))])
    p = slope(found).p
    assert p is not None
    assert p(threshold) == pytest.approx(expected)


def test_the_interval_holds_what_its_p_does_not_exclude() -> None:
    found = slope(ladder(exponential, of_task=0.1))
    assert found.p is not None
    assert found.low < found.effect < found.high
    for bound, outwards in ((found.low, -1), (found.high, 1)):
        assert found.p(bound + outwards * 1e-6) <= 0.05 < found.p(bound - outwards * 1e-6)


def _of_seeds(made: Ladder, rate: float) -> bool:
    """Whether an interval that takes each run for a unit holds the rate."""
    (found, _), errors = np.polyfit(made.complexity[made.task], made.bounds[:, 1], 1, cov=True)
    return bool(abs(found - rate) < 1.96 * np.sqrt(errors[0, 0]))


@pytest.mark.parametrize("law", [flat, exponential])
def test_the_interval_covers_the_planted_slope_although_tasks_differ(law: Curve) -> None:
    rng = np.random.default_rng(0)
    truth = float(np.polyfit((C - C.min()) / np.ptp(C), np.log10(law(C)), 1)[0])
    made = [ladder(law, seeds=4, of_task=0.15, rng=rng) for _ in range(250)]
    found = [slope(each) for each in made]
    covered = np.mean([e.low <= truth <= e.high for e in found])
    assert 0.908 < covered < 0.992  # three standard errors to both sides
    rate = truth / np.ptp(C)
    were_seeds_the_unit = np.mean([_of_seeds(each, rate) for each in made])
    assert were_seeds_the_unit < 0.85


def test_a_slope_and_none_are_told_apart() -> None:
    assert slope(ladder(exponential, of_task=0.1)).low > 0.5
    assert slope(ladder(falling, of_task=0.1)).high < -0.5
    none = slope(ladder(flat, of_task=0.02))
    assert -0.3 < none.low < 0 < none.high < 0.3


def test_a_task_that_no_run_solved_opens_the_side_to_which_it_would_move_the_slope() -> None:
    found = ladder(exponential, until=1500.0, of_task=0.02, every=10.0)
    assert found.is_open.tolist() == [False] * 6 + [True]
    late = slope(found)
    assert late.low > 0.3
    assert np.isinf(late.high)
    assert late.p is not None
    assert late.p(late.effect + 1) == 1
    assert late.p(0.0) < 0.01
    early = slope(ladder(falling, until=1e4, of_task=0.02, every=10.0))
    assert (np.isinf(early.low), early.high < -0.3) == (True, True)


def test_censored_seeds_of_a_task_count_as_later() -> None:
    found = ladder(exponential, sigma=0.3, seeds=200, until=600.0, every=10.0)
    censored = (~found.happened).reshape(len(C), -1).mean(axis=1)
    assert 0.3 < censored[-2] < 0.7
    assert found.means[:-1] == pytest.approx(np.log10(exponential(C))[:-1], abs=0.07)
    at_bounds = np.where(found.happened, found.bounds[:, 1], found.bounds[:, 0])
    assert at_bounds[found.task == 5].mean() < found.means[5] - 0.05


@pytest.mark.parametrize(
    "made",
    [
        ladder(power, C[:3]),
        ladder(power, np.array([11.0] * 5)),
        ladder(power, np.zeros(0)),
        ladder(power, until=1.0),
    ],
    ids=["three tasks", "one complexity", "no task", "no run got there"],
)
def test_too_little_says_nothing(made: Ladder) -> None:
    assert not slope(made).is_known
    assert not exponential_over_power_law(made).is_known


def test_one_seed_a_task_will_do_for_a_slope() -> None:
    found = slope(ladder(exponential, seeds=1, every=10.0))
    assert found.n == 1
    assert found.low > 0.5


def test_more_tasks_than_can_be_permuted_are_dealt_at_random() -> None:
    c = np.arange(10.0, 20.0)
    found = slope(ladder(lambda c: 10 ** (c / 10), c, of_task=0.02))
    assert found.low > 0.5
    assert found.p is not None
    assert found.p(0.0) == pytest.approx(1e-4)


@pytest.mark.parametrize("until", [np.inf, 400.0])
def test_a_planted_power_law_is_recovered_with_and_without_censoring(until: float) -> None:
    runs = ladder(power, until=until, seeds=500, every=5.0)
    found = fit(runs, "power law")
    assert found is not None
    assert until == np.inf or 0.2 < 1 - runs.happened.mean() < 0.6
    assert found.slope == pytest.approx(1.5, abs=0.03)
    assert 10**found.intercept == pytest.approx(2.0, rel=0.1)
    assert found.sigma == pytest.approx(0.1, abs=0.01)
    assert found.median([20.0, 50.0]) == pytest.approx(power(np.array([20.0, 50.0])), rel=0.03)


@pytest.mark.parametrize("until", [np.inf, 900.0])
def test_a_planted_exponential_is_recovered_with_and_without_censoring(until: float) -> None:
    found = fit(ladder(exponential, until=until, seeds=500, every=5.0), "exponential")
    assert found is not None
    assert found.slope == pytest.approx(0.05 / np.log(10), abs=0.0005)
    assert 10**found.intercept == pytest.approx(50.0, rel=0.03)


def test_times_without_spread_have_no_fit_rather_than_an_infinite_likelihood() -> None:
    assert fit(ladder(power, sigma=0.0), "power law") is None
    assert not exponential_over_power_law(ladder(power, sigma=0.0)).is_known


@pytest.mark.parametrize(
    ("law", "until", "sign"),
    [
        (exponential, np.inf, 1),
        (exponential, 2600.0, 1),
        (falling, np.inf, 1),
        (power, np.inf, -1),
        (power, 700.0, -1),
        (lambda c: 5e4 * c**-1.5, np.inf, -1),
    ],
)
def test_each_law_is_told_from_the_other_rising_or_falling(law: Curve, until: float, sign: int) -> None:
    made = ladder(law, of_task=0.01, sigma=0.03, until=until, every=5.0)
    assert made.happened.all() == np.isinf(until)
    found = exponential_over_power_law(made)
    assert min(sign * found.low, sign * found.high) > 0


def test_two_laws_part_from_three_complexities_and_four_tasks_on() -> None:
    for c in ([11.0, 11.0, 47.0, 47.0, 47.0], [11.0, 23.0, 47.0]):
        assert not exponential_over_power_law(ladder(exponential, np.array(c))).is_known
    assert exponential_over_power_law(ladder(exponential, C[:4])).is_known


@pytest.mark.parametrize("law", [flat, halfway])
def test_laws_that_fit_as_well_as_one_another_are_rarely_told_apart(law: Curve) -> None:
    rng = np.random.default_rng(1)
    made = [ladder(law, seeds=6, of_task=0.1, rng=rng) for _ in range(150)]
    found = [exponential_over_power_law(each) for each in made]
    decided = np.mean([e.low > 0 or e.high < 0 for e in found])
    assert decided < 0.14


def test_the_order_of_tasks_and_runs_changes_nothing() -> None:
    runs = ladder(exponential, of_task=0.1, until=700.0, every=10.0)
    order = np.random.default_rng(1).permutation(len(C))
    task = np.argsort(order)[runs.task]
    at = np.random.default_rng(2).permutation(len(task))
    mixed = Ladder(task[at], runs.complexity[order], runs.bounds[at])
    for of in (slope, exponential_over_power_law):
        one, other = of(runs), of(mixed)
        values = [(e.effect, e.low, e.high) for e in (one, other)]
        assert values[0] == pytest.approx(values[1], rel=1e-4)
