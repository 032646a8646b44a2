"""Waits whose spread is known: exponential ones, a clock's, and those that were not over."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from undergrowth.analysis.waiting import (
    estimated_variation,
    least_spread,
    pseudo_values,
    variation,
    variation_between,
)

RNG = np.random.default_rng(0)


def test_exponential_waits_have_a_coefficient_of_1_and_a_clocks_have_0() -> None:
    many = [pseudo_values(RNG.exponential(300, 6)).mean() for _ in range(4_000)]
    assert np.mean(many) == pytest.approx(1.0, abs=0.03)
    plain = [variation(RNG.exponential(300, 6)) for _ in range(4_000)]
    assert np.mean(plain) < 0.91
    assert variation_between([500.0] * 6, []) == (0.0, 0.0)


@pytest.mark.parametrize("still", [[5.0], [60.0], [5.0, 60.0], [26.0, 35.0, 400.0]])
def test_waits_that_were_not_over_are_completed_so_that_they_vary_least(still: list[float]) -> None:
    waits = [10.0, 20.0, 30.0]

    def of_completed(ends: np.ndarray) -> float:
        return variation(np.array([*waits, *ends]))

    bounds = [(least, 1e4) for least in still]
    starts = [np.array(still) + extra for extra in (0.1, 5.0, 50.0)]
    found = min(optimize.minimize(of_completed, start, bounds=bounds).fun for start in starts)
    completed = least_spread(waits, still)
    assert variation(completed) == pytest.approx(found, abs=1e-4)
    assert len(completed) == len(waits) + len(still)


def test_a_wait_that_was_not_over_opens_the_upper_side() -> None:
    low, high = variation_between([480.0, 500.0, 520.0], [900.0])  # type: ignore[misc]
    assert low == pytest.approx(pseudo_values(np.array([480.0, 500.0, 520.0, 900.0])).mean())
    assert high == np.inf
    assert variation_between([], [900.0] * 6) is None
    assert variation_between([1.0, 2.0, 3.0], []) is None


def test_the_interval_over_seeds_covers_the_coefficient() -> None:
    def covers(waits: np.ndarray, true: float) -> bool:
        found = estimated_variation(list(waits), [])
        return found.low <= true <= found.high

    normal = np.mean([covers(1 + 0.2 * RNG.normal(size=16), 0.2) for _ in range(1_000)])
    exponential = np.mean([covers(RNG.exponential(size=16), 1.0) for _ in range(1_000)])
    assert normal > 0.89
    assert exponential > 0.85


def test_the_interval_over_seeds_is_open_above_where_one_was_not_over() -> None:
    whole, part = (estimated_variation([480.0, 500.0, 520.0, 490.0], still) for still in ([505.0], []))
    assert (whole.high, whole.n) == (np.inf, 5)
    assert part.high < np.inf
    assert whole.p is not None
    assert whole.p(1.0) == 1.0
    assert whole.p(whole.low) == pytest.approx(0.05, abs=0.01)
    assert np.isnan(estimated_variation([], [1.0] * 8).effect)
