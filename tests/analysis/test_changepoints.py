"""Cuts are the best there are, planted bends are found under noise, and falls start where they do."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from undergrowth.analysis.changepoints import Fall, piecewise_linear, rise, start_of_fall

STEPS = np.arange(0.0, 60.0)


def noisy(curve: np.ndarray, seed: int, sd: float = 0.05) -> np.ndarray:
    return curve + sd * np.random.default_rng(seed).standard_normal(len(curve))


def floor_then_fall(at: float, rate: float = 0.1) -> np.ndarray:
    return -rate * np.maximum(STEPS - at, 0)


def fall(curve: np.ndarray, share: float = 0.1, *, comes_falling: bool = False) -> Fall:
    fit = piecewise_linear(STEPS, curve)
    return start_of_fall(fit, share=share, least_drop=0.5, comes_falling=comes_falling)


def residual(x: np.ndarray, y: np.ndarray) -> float:
    design = np.stack([x, np.ones_like(x)], axis=1)
    return float(((design @ np.linalg.lstsq(design, y, rcond=None)[0] - y) ** 2).sum())


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_best_of_all_cuts_by_brute_force(seed: int) -> None:
    n, rng = 14, np.random.default_rng(seed)
    x, y = np.cumsum(rng.uniform(0.5, 2, n)), rng.standard_normal(n).cumsum()
    scores = {}
    for pieces in (1, 2, 3):
        for cuts in combinations(range(1, n), pieces - 1):
            edges = [0, *cuts, n]
            spans = list(pairwise(edges))
            if min(j - i for i, j in spans) >= 3:
                rss = sum(residual(x[i:j], y[i:j]) for i, j in spans)
                scores[cuts] = (n * np.log(rss / n) + (3 * pieces - 1) * np.log(n), rss)
    best = min(scores, key=lambda cuts: scores[cuts])
    fit = piecewise_linear(x, y, most=3)
    assert fit.starts.tolist() == x[[0, *best]].tolist()
    assert fit.rss == pytest.approx(scores[best][1])


@pytest.mark.parametrize("at", [15, 30, 45])
def test_a_planted_bend_is_found_under_noise(at: int) -> None:
    found = [fall(noisy(floor_then_fall(at), seed)) for seed in range(10)]
    assert all(f.is_known for f in found)
    assert abs(np.median([f.latest for f in found]) - at) <= 2


def test_a_straight_line_is_one_piece() -> None:
    assert len(piecewise_linear(STEPS, 3 - 0.2 * STEPS)) == 1
    assert np.mean([len(piecewise_linear(STEPS, noisy(STEPS, seed, 1.0))) for seed in range(10)]) < 1.3


def test_a_gentle_fall_before_the_steep_one_counts_by_the_share() -> None:
    curve = floor_then_fall(20, 0.02) + floor_then_fall(40, 0.08)
    assert fall(curve, 0.1).latest == pytest.approx(20, abs=1)
    assert fall(curve, 0.5).latest == pytest.approx(40, abs=1)


def test_a_curve_that_only_falls_started_before_it_was_watched() -> None:
    assert fall(-0.1 * STEPS) == Fall(-np.inf, 0.0)


def test_a_curve_that_rises_had_not_started_by_its_end() -> None:
    assert fall(0.1 * STEPS) == Fall(59.0, np.inf)
    assert fall(noisy(0 * STEPS, 0)) == Fall(59.0, np.inf)


def test_a_floor_that_lasts_is_no_start_for_a_curve_that_comes_falling() -> None:
    curve = np.maximum(-0.3 * STEPS, -3)
    assert fall(curve, comes_falling=True) == Fall(59.0, np.inf)
    assert fall(curve) == Fall(-np.inf, 0.0)


def test_a_fall_to_the_floor_is_not_the_fall_from_it() -> None:
    curve = np.maximum(-0.5 * STEPS, -3) + floor_then_fall(35)
    assert fall(curve, comes_falling=True).latest == pytest.approx(35, abs=1)


def test_too_few_points_are_said_to_be() -> None:
    with pytest.raises(ValueError, match="2 points have no straight piece of 3"):
        piecewise_linear(STEPS[:2], STEPS[:2])


def test_a_rise_is_from_a_tenth_to_nine_tenths_of_its_way() -> None:
    assert rise(STEPS, STEPS / 59, least=0.2) == pytest.approx((5.9, 53.1))
    assert rise(STEPS, STEPS / 590, least=0.2) is None
    assert rise(STEPS, -STEPS, least=0.2) is None
