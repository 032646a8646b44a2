"""Rules on intervals: each answer where it belongs, and a p that says the same."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from undergrowth.analysis import (
    Above,
    Estimate,
    Exceeds,
    Rule,
    Within,
    censored_estimate,
    difference,
    estimate,
    proportion,
)
from undergrowth.multiplicity import holm

INF, NAN = math.inf, math.nan


def between(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 0.95, 16, "made up")


@pytest.mark.parametrize(
    ("rule", "low", "high", "ruling"),
    [
        (Exceeds(), 0.1, 0.5, "supported"),
        (Exceeds(), -0.5, -0.1, "contradicted"),
        (Exceeds(), -0.1, 0.5, "inconclusive"),
        (Exceeds(), 0.0, 0.5, "inconclusive"),  # touching is not lying above
        (Exceeds(), 0.0, 0.0, "inconclusive"),  # without a smallest effect there is no 'no effect'
        (Exceeds(0.2), 0.3, 0.5, "supported"),
        (Exceeds(0.2), 0.3, INF, "supported"),
        (Exceeds(0.2), -0.5, -0.3, "contradicted"),
        (Exceeds(0.2), -0.1, 0.15, "no effect"),
        (Exceeds(0.2), 0.05, 0.15, "no effect"),  # above 0, and too small to matter
        (Exceeds(0.2), 0.1, 0.3, "inconclusive"),
        (Exceeds(0.2), -0.3, 0.3, "inconclusive"),
        (Exceeds(0.2), 0.2, 0.2, "inconclusive"),
        (Above(0.5), 0.6, 0.9, "supported"),
        (Above(0.5), 0.1, 0.4, "contradicted"),
        (Above(0.5), 0.4, 0.6, "inconclusive"),
        (Above(0.5), 0.5, 0.9, "inconclusive"),
        (Above(-0.1), -0.05, 0.3, "supported"),
        (Within(0.1), -0.05, 0.08, "supported"),
        (Within(0.1), 0.2, 0.3, "contradicted"),
        (Within(0.1), -INF, -0.2, "contradicted"),
        (Within(0.1), 0.05, 0.2, "inconclusive"),
        (Within(0.1), -0.3, 0.3, "inconclusive"),
    ],
)
def test_the_interval_alone_decides(rule: Rule, low: float, high: float, ruling: str) -> None:
    assert rule.ruling(between(low, high)) == ruling


@pytest.mark.parametrize("rule", [Exceeds(), Exceeds(0.2), Above(0.5), Within(0.1)])
@pytest.mark.parametrize("bounds", [(NAN, NAN), (-INF, INF)])
def test_an_interval_that_says_nothing_is_inconclusive(rule: Rule, bounds: tuple[float, float]) -> None:
    assert rule.ruling(Estimate(5.0, *bounds, 0.95, 3, "none")) == "inconclusive"
    assert math.isnan(rule.p(estimate([1.0])))


RNG = np.random.default_rng(0)
FOUND = [
    *(estimate(RNG.normal(mean, 0.3, 12)) for mean in np.linspace(-0.8, 0.8, 33)),
    *(estimate(RNG.normal(mean, 0.05, 12)) for mean in np.linspace(-0.8, 0.8, 33)),
    *(difference(RNG.exponential(size=16) * 0.3, RNG.normal(mean, 0.2, 10)) for mean in (-0.5, 0.3, 1)),
    *(proportion([True] * k + [False] * (12 - k)) for k in range(13)),
    *(estimate([value] * n) for value in (-0.3, 0.0, 0.1, 0.3) for n in (4, 6)),
    *(difference([value] * 5, [0.0] * 5) for value in (-0.3, 0.0, 0.1, 0.3)),
    *(censored_estimate(x, np.where(x > 0.2, INF, x)) for x in RNG.normal(0.1, 0.4, (5, 10))),
    censored_estimate(RNG.uniform(0.3, 1, 8), [INF] * 8),
]


@pytest.mark.parametrize("rule", [Exceeds(), Exceeds(0.2), Above(0.5), Above(-0.1), Within(0.2)])
def test_p_is_below_5_percent_exactly_where_it_is_ruled(rule: Rule) -> None:
    rulings = [rule.ruling(found) for found in FOUND]
    assert [rule.p(found) < 0.05 for found in FOUND] == [said != "inconclusive" for said in rulings]
    answers = 4 if isinstance(rule, Exceeds) and rule.sesoi else 3
    assert len(set(rulings)) == answers  # each of its answers was among them


def test_p_of_no_effect_is_that_of_the_worse_end() -> None:
    found = estimate([0.02, -0.03, 0.05, 0.01, 0.04, -0.02, 0.03])
    assert found.p is not None
    ends = found.p(-0.1), found.p(0.1)
    assert Exceeds(0.1).p(found) == Within(0.1).p(found) == max(ends) > min(ends)


@pytest.mark.parametrize("rule", [Exceeds(), Exceeds(0.25), Above(0.75), Within(0.125)])
def test_a_rule_says_its_threshold_in_words(rule: Rule) -> None:
    assert f"{rule.threshold:g}" in rule.describe()


def test_only_a_threshold_with_no_room_for_no_effect_is_one_sided() -> None:
    assert [rule.is_one_sided for rule in (Exceeds(0.1), Above(0.5), Within(0.1))] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_holms_adjustment_is_the_closed_test_of_bonferroni(n: int) -> None:
    """A test is passed where every set of tests that it is in is, by its least p times its size."""
    values = np.random.default_rng(n).uniform(size=n) ** 3
    closed = [
        max(
            min(1.0, len(members) * values[list(members)].min())
            for size in range(1, n + 1)
            for members in combinations(range(n), size)
            if i in members
        )
        for i in range(n)
    ]
    assert list(holm({f"P{i}": float(p) for i, p in enumerate(values)}).values()) == pytest.approx(
        closed
    )


def test_tests_without_an_answer_do_not_count_among_the_many() -> None:
    """By hand: 3 x 0.01, then 2 x 0.02, then 0.9."""
    adjusted = holm({"a": 0.02, "b": NAN, "c": 0.01, "d": 0.9})
    assert math.isnan(adjusted.pop("b"))
    assert adjusted == pytest.approx({"a": 0.04, "c": 0.03, "d": 0.9})
    assert holm({}) == {}
