"""Estimates over seeds: laws that all of them keep, how often they cover, and independent oracles."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from undergrowth.analysis import (
    Estimate,
    censored_estimate,
    censored_proportion,
    difference,
    estimate,
    proportion,
)
from undergrowth.analysis.censored import Profile

INF, NAN = math.inf, math.nan
SYMMETRIC, ALSO = np.array([1.0, 2.0, 2.5, 4.0, 5.5, 6.0, 7.0]), np.array([0.2, 0.7, 0.9, 1.1, 1.6])
SKEWED = np.random.default_rng(0).exponential(size=12)
CONTROL = np.random.default_rng(1).gamma(2.0, size=10)
HAPPENED = np.array([True] * 9 + [False] * 3)
TIMES = np.sort(np.random.default_rng(2).normal(0.4, 0.3, 16))
OPEN = np.where(TIMES > 0.6, INF, TIMES)  # 0.6 decades is as long as they were watched
WATCHED = np.minimum(TIMES, 0.6)
BETWEEN = np.floor(TIMES * 5) / 5, np.floor(TIMES * 5) / 5 + 0.2  # seen at every 0.2 only

Columns = tuple[np.ndarray, ...]
Estimator = Callable[..., Estimate]
CASES: dict[str, tuple[Estimator, Columns]] = {
    "a mean": (estimate, (SKEWED,)),
    "a mean of equal values": (estimate, (np.full(8, 0.25),)),
    "a mean of too few equal values": (estimate, (np.full(5, 0.25),)),
    "a share": (proportion, (HAPPENED,)),
    "all of them": (proportion, (np.full(7, True),)),
    "none of them": (proportion, (np.full(7, False),)),
    "a censored share": (censored_proportion, (HAPPENED, HAPPENED | (np.arange(12) == 10))),
    "times, some not come to": (censored_estimate, (WATCHED, OPEN)),
    "times that are late": (censored_estimate, (-OPEN[::-1], -WATCHED[::-1])),
    "times between evaluations": (censored_estimate, BETWEEN),
    "times never come to": (censored_estimate, (TIMES, np.full(16, INF))),
    "controls never come to": (censored_estimate, (np.full(16, -INF), TIMES)),
    "one time, or later": (censored_estimate, (np.ones(8), np.r_[np.ones(7), INF])),
    "a mean within its range": (lambda x: estimate(x).within(0.0, 1.0), (SKEWED / 3,)),
}
TWO: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "a difference": (SKEWED, CONTROL),
    "a difference to equal values": (SKEWED, np.full(5, 0.5)),
    "a difference of equal values": (np.full(5, 0.5), np.full(4, 0.25)),
    "no difference of equal values": (np.full(5, 0.5), np.full(4, 0.5)),
    "a difference of too few equal values": (np.full(3, 0.5), np.full(3, 0.25)),
}


def found_in(case: str) -> Estimate:
    if case in TWO:
        return difference(*TWO[case])
    of, columns = CASES[case]
    return of(*columns)


@pytest.mark.parametrize("case", [*CASES, *TWO])
class TestEveryEstimator:
    def test_does_not_depend_on_the_order_of_the_seeds(self, case: str) -> None:
        once, rng = found_in(case), np.random.default_rng(5)
        for _ in range(5):
            if case in TWO:
                a, b = TWO[case]
                assert difference(rng.permutation(a), rng.permutation(b)) == once
            else:
                of, columns = CASES[case]
                order = rng.permutation(len(columns[0]))
                assert of(*(column[order] for column in columns)) == once

    def test_has_a_p_below_its_level_exactly_where_the_interval_leaves_a_threshold_out(
        self, case: str
    ) -> None:
        found = found_in(case)
        assert found.p is not None
        known = [end for end in (found.low, found.effect, found.high) if np.isfinite(end)]
        width = max(np.ptp(known), 0.1)
        thresholds = np.linspace(min(known) - width, max(known) + width, 41)
        inside = [found.low <= t <= found.high for t in thresholds]
        assert [found.p(float(t)) >= 0.05 for t in thresholds] == inside
        for end, outwards in ((found.low, -1), (found.high, 1)):
            if np.isfinite(end):
                assert found.p(end + outwards * 1e-5) < 0.05
                assert found.p(end - outwards * 1e-5) >= 0.05 or found.low == found.high

    def test_has_its_effect_inside_and_a_p_that_falls_on_the_way_out(self, case: str) -> None:
        found = found_in(case)
        assert found.p is not None
        assert found.low <= found.effect <= found.high
        assert found.p(found.effect) > 0.8
        for end, outwards in ((found.low, -1), (found.high, 1)):
            if np.isfinite(end):
                ps = [found.p(end + outwards * away) for away in (0.0, 0.05, 0.2, 1.0, 5.0)]
                assert all(near >= far for near, far in pairwise(ps))


LEVEL_CASES = ["a mean", "a share", "times, some not come to", "times never come to"]


@pytest.mark.parametrize("case", LEVEL_CASES)
def test_a_higher_level_is_wider(case: str) -> None:
    of, columns = CASES[case]
    narrow, wide = of(*columns, 0.8), of(*columns, 0.99)
    assert wide.low < narrow.low < narrow.effect
    assert wide.high > narrow.high or narrow.high == INF


REPEATS = 2000
DRAWS: dict[str, tuple[Callable, float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "gamma": (lambda rng, shape: rng.gamma(2.0, size=shape), 2.0),
    "log-normal": (lambda rng, shape: rng.lognormal(0.0, 0.5, size=shape), math.exp(0.125)),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
}


def covers(hits: int, trials: int) -> bool:
    """Whether the coverage is .93 to .97, up to two standard errors of so many trials."""
    error = math.sqrt(0.95 * 0.05 / trials)
    return 0.93 - 2 * error <= hits / trials <= 0.97 + 2 * error


@pytest.mark.parametrize("n", [10, 16])
@pytest.mark.parametrize("law", DRAWS)
def test_a_mean_is_covered_as_often_as_is_said(law: str, n: int) -> None:
    draw, mean = DRAWS[law]
    samples = draw(np.random.default_rng(n), (REPEATS, n))
    hits = sum(found.low <= mean <= found.high for found in map(estimate, samples))
    assert covers(hits, REPEATS), hits / REPEATS


@pytest.mark.parametrize("spread", [0.3, 3.0])
@pytest.mark.parametrize("law", ["normal", "gamma"])
def test_a_difference_of_unequal_groups_is_covered_as_often_as_is_said(law: str, spread: float) -> None:
    draw, mean = DRAWS[law]
    rng = np.random.default_rng(7)
    mine, its = draw(rng, (REPEATS, 16)) - mean, spread * (draw(rng, (REPEATS, 10)) - mean)
    hits = sum(found.low <= 0 <= found.high for found in map(difference, mine, its))
    assert covers(hits, REPEATS), hits / REPEATS


def test_the_correction_for_skewness_covers_a_long_tail_better_than_students_interval() -> None:
    samples = np.random.default_rng(8).lognormal(size=(500, 10))
    mean, half = samples.mean(axis=1), stats.t.ppf(0.975, 9) * stats.sem(samples, axis=1)
    students = (np.abs(mean - math.exp(0.5)) <= half).mean()
    ours = np.mean([e.low <= math.exp(0.5) <= e.high for e in map(estimate, samples)])
    assert students < 0.87 < ours


def test_a_censored_mean_is_covered_as_often_as_is_said() -> None:
    """Of normal values, of which about half are open above."""
    trials = 80
    samples = np.random.default_rng(9).normal(size=(trials, 16))
    bounds = np.minimum(samples, 0.0), np.where(samples > 0.0, INF, samples)
    hits = sum(found.low <= 0 <= found.high for found in map(censored_estimate, *bounds))
    assert covers(hits, trials), hits / trials


def t_quantile(level: float, freedom: float) -> float:
    """By the inverse of the incomplete beta function, not by scipy.stats."""
    x = special.betaincinv(freedom / 2, 0.5, 1 - level)
    return math.sqrt(freedom * (1 / x - 1))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_values_that_are_not_skewed_get_students_interval(level: float) -> None:
    values = np.array([1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0])
    found, n = estimate(values, level), len(values)
    half = t_quantile(level, n - 1) * math.sqrt(((values - 3) ** 2).sum() / (n - 1) / n)
    assert found.effect == pytest.approx(3)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))
    assert (found.level, found.n, found.method) == (level, 7, "Student's t, corrected for skewness")


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_a_difference_that_is_not_skewed_gets_scipys_interval_of_welch(level: float) -> None:
    a, b = np.array([2.0, 3.0, 4.5, 6.0, 7.0]), np.array([0.0, 0.5, 1.0, 1.5])
    found = difference(a, b, level)
    theirs: Any = stats.ttest_ind(a, b, equal_var=False)
    interval = theirs.confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p is not None
    assert found.p(0.0) == pytest.approx(theirs.pvalue)
    assert (found.n, found.n_control) == (5, 4)


def test_the_correction_is_halls_cubic() -> None:
    """At the ends his polynomial comes to Student's quantile."""
    found, n, x = estimate(SKEWED), len(SKEWED), SKEWED
    skew = ((x - x.mean()) ** 3).mean() / x.std(ddof=1) ** 3 / math.sqrt(n)

    def cubic(mean: float) -> float:
        t = (x.mean() - mean) / stats.sem(x)
        return t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6

    assert cubic(found.low) == pytest.approx(t_quantile(0.95, n - 1))
    assert cubic(found.high) == pytest.approx(-t_quantile(0.95, n - 1))
    assert found.high - found.effect > found.effect - found.low


def test_a_difference_from_a_control_that_never_varies_is_still_told() -> None:
    """Equal to the interval of the values themselves, moved by the constant."""
    found, alone = difference(SKEWED, [1.0, 1.0, 1.0]), estimate(SKEWED)
    assert (found.low, found.high) == pytest.approx((alone.low - 1, alone.high - 1))


def test_the_order_of_a_difference_is_its_sign() -> None:
    one, other = difference(SKEWED, CONTROL), difference(CONTROL, SKEWED)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


UNANIMOUS: dict[str, Callable[[int], Estimate]] = {
    "equal values": lambda n: estimate([0.25] * n),
    "a share": lambda n: proportion([True] * n),
    "lower bounds": lambda n: censored_estimate(np.linspace(0.6, 1, n), [INF] * n),
    "a value or more": lambda n: censored_estimate([0.6] * n, [*[0.6] * (n - 1), INF]),
    "overlapping bounds": lambda n: censored_estimate([0.6] * n, np.linspace(0.8, 1, n)),
}


@pytest.mark.parametrize("kind", UNANIMOUS)
@pytest.mark.parametrize(("n", "is_decided"), [(2, False), (5, False), (6, True), (16, True)])
def test_seeds_that_all_agree_decide_from_six_on(kind: str, n: int, is_decided: bool) -> None:
    """The chance of n of n is 2 (1/2)^n, at most 1/20 from 6 on."""
    found = UNANIMOUS[kind](n)
    threshold = 0.5 if kind == "a share" else 0.0
    assert (found.low > threshold) == is_decided
    assert found.p is not None
    assert found.p(threshold) == pytest.approx(2.0 ** (1 - n))


@pytest.mark.parametrize(
    ("n", "m", "is_decided"), [(3, 3, False), (4, 4, True), (6, 2, False), (6, 3, True)]
)
@pytest.mark.parametrize("value", [0.25, 0.75])
def test_groups_of_one_value_each_are_told_apart_by_how_many_orders_there_are(
    n: int, m: int, is_decided: bool, value: float
) -> None:
    """Of the C(n + m, n) ways to tell them off into groups, two part them as they are."""
    found = difference([0.75] * n, [value] * m)
    assert found.is_bounded == is_decided
    assert found.p is not None
    assert found.p(-0.3) == 2 / math.comb(n + m, n)
    assert (found.p(found.effect), found.effect) == (1.0, 0.75 - value)


def test_one_seed_says_nothing_of_its_spread() -> None:
    for found in (estimate([3.0]), censored_estimate([3.0], [3.0]), difference([4.0, 5.0], [1.5])):
        assert found.effect == 3
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert (found.method, found.p, found.is_known) == ("none", None, False)


@pytest.mark.parametrize(
    "found",
    [
        estimate([]),
        difference([], [1.0]),
        estimate([1.0, NAN]),
        estimate([NAN] * 10 + [1.0, 2.0]),
        difference([1.0, 2.0], [NAN, 1.0]),
        difference(np.arange(12.0), [NAN] * 11 + [1.0]),
        censored_estimate([], []),
        censored_estimate([1.0, NAN], [INF, 2.0]),
        censored_estimate([-INF] * 3, [INF] * 3),
        proportion([]),
    ],
)
def test_no_value_or_a_nan_is_neither_a_warning_nor_a_number(found: Estimate) -> None:
    assert math.isnan(found.effect)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.method == "none"


def tail(k: int, n: int, share: float) -> float:
    """The chance of k or more of n, counted."""
    return sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize(("k", "n"), [(3, 10), (9, 10), (1, 4)])
def test_a_shares_bounds_are_those_at_which_what_was_seen_is_just_possible(k: int, n: int) -> None:
    found = proportion([True] * k + [False] * (n - k))
    assert found.effect == k / n
    assert tail(k, n, found.low) == pytest.approx(0.025)
    assert 1 - tail(k + 1, n, found.high) == pytest.approx(0.025)


def test_a_censored_share_spans_both_shares_that_it_may_be() -> None:
    certain, possible = [True] * 4 + [False] * 6, [True] * 7 + [False] * 3
    found = censored_proportion(certain, possible)
    assert (found.low, found.high) == (proportion(certain).low, proportion(possible).high)


def test_a_share_cannot_leave_0_to_1() -> None:
    near = [1.0, 1.0, 0.99, 1.0, 0.4, 1.0]
    assert estimate(near).high > 1
    for found in (estimate(near).within(0.0, 1.0), *map(found_in, ("all of them", "none of them"))):
        assert 0 <= found.low <= found.high <= 1
        assert found.p is not None
        assert found.p(1.1) == found.p(-0.1) == 0
    nothing = estimate([0.5] * 3).within(0.0, 1.0)
    assert (nothing.low, nothing.high) == (0, 1)


def test_the_censored_likelihood_without_censoring_gives_students_interval() -> None:
    bounds = np.stack([SYMMETRIC, SYMMETRIC], axis=1)
    profile = Profile.of(bounds)
    half = t_quantile(0.95, 6) * stats.sem(SYMMETRIC)
    assert profile.mean == pytest.approx(4)
    assert profile.interval(0.95) == pytest.approx((4 - half, 4 + half), abs=1e-5)
    theirs: Any = stats.ttest_1samp(SYMMETRIC, 3.0)
    assert profile.p(3.0) == pytest.approx(theirs.pvalue, rel=1e-4)


def test_values_that_are_not_censored_are_estimated_as_such_and_seeds_that_tell_nothing_left_out() -> (
    None
):
    assert censored_estimate(SKEWED, SKEWED) == estimate(SKEWED)
    known = censored_estimate(WATCHED, OPEN)
    assert censored_estimate([*WATCHED, -INF], [*OPEN, INF]) == known


EVEN = stats.norm.ppf((np.arange(400) + 0.5) / 400, 1.0, 0.5)
"""Normal values of mean 1, as even as they can be."""


@pytest.mark.parametrize("share_open", [0.25, 0.5, 0.8])
def test_censored_times_are_recovered(share_open: float) -> None:
    """What was seen of them has another mean, and with 8 of 10 open the true one lies beyond it all."""
    watched = float(np.quantile(EVEN, 1 - share_open))
    seen, most = np.minimum(EVEN, watched), np.where(watched < EVEN, INF, EVEN)
    found = censored_estimate(seen, most)
    assert found.effect == pytest.approx(1.0, abs=0.02)
    assert seen.mean() < found.low < 1.0 < found.high
    mirrored = censored_estimate(-most, -seen)
    assert (mirrored.low, mirrored.effect, mirrored.high) == pytest.approx(
        (-found.high, -found.effect, -found.low), abs=1e-4
    )


def test_times_between_evaluations_are_recovered() -> None:
    low = np.floor(EVEN * 4) / 4
    found, exact = censored_estimate(low, low + 0.25), estimate(EVEN)
    assert (found.low, found.effect, found.high) == pytest.approx(
        (exact.low, exact.effect, exact.high), abs=0.02
    )


def test_times_that_overlap_at_a_point_say_nothing_of_their_spread() -> None:
    """A likelihood would grow without end as the spread goes to 0, and two seeds would be enough."""
    assert not censored_estimate([1.0, 1.0], [1.0, INF]).is_known
    found = censored_estimate([1.0] * 13 + [-INF] * 3, [1.0] * 10 + [INF] * 3 + [1.0] * 3)
    assert (found.low, found.effect, found.high) == (1.0, 1.0, 1.0)


def test_bounds_that_contradict_no_mean_leave_both_sides_open() -> None:
    found = censored_estimate([2.0, -INF], [INF, 1.0])
    assert not found.is_known
    assert found.effect == pytest.approx(1.5)


@pytest.mark.parametrize("value", [0.99, 0.3, 0.1])
def test_equal_values_are_not_beyond_a_threshold_that_is_their_own(value: float) -> None:
    for n in range(6, 17):
        found = estimate([value] * n)
        assert found.p is not None
        assert found.p(value) == 1.0
