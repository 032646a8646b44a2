"""Planted curves: the level at which they dwell is found, wherever they go before and after."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from undergrowth.analysis import plateaus
from undergrowth.analysis.plateaus import RISEN

STEPS = np.arange(0, 3001, 10)


def curve(values: np.ndarray, steps: np.ndarray = STEPS) -> xr.DataArray:
    return xr.DataArray(values, dims="step", coords={"step": steps})


def plateau(curve: xr.DataArray, since: int) -> float | None:
    """Of a curve from a step on."""
    return plateaus.plateau(curve.dropna("step").sel(step=slice(since, None)))


def climbing(level: float, rises: float = 900, width: float = 60) -> np.ndarray:
    """To a level by step 400, and from there to 1 around a step."""
    first = level / (1 + np.exp(-(STEPS - 250) / 25))
    return first + (1 - level) / (1 + np.exp(-(STEPS - rises) / width))


@pytest.mark.parametrize("level", [0.02, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("since", [250, 400, 500])
def test_the_level_is_found_though_the_curve_still_climbs_when_it_is_looked_at(
    level: float, since: int
) -> None:
    assert plateau(curve(climbing(level)), since) == pytest.approx(level, abs=0.01)


def test_what_comes_after_the_rise_does_not_count() -> None:
    fell_back = climbing(0.5)
    fell_back[STEPS > 1500] = 0.8  # longer, and flatter
    assert plateau(curve(fell_back), 300) == pytest.approx(0.5, abs=0.01)
    flat_above = np.where(STEPS < 1000, climbing(0.5), 0.95)
    assert plateau(curve(flat_above), 300) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_noise_moves_it_by_less_than_the_noise(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.02, len(STEPS))
    assert plateau(curve(climbing(0.5) + noise), 300) == pytest.approx(0.5, abs=0.02)


def test_a_curve_that_never_rises_is_all_plateau() -> None:
    assert plateau(curve(np.full(len(STEPS), 0.4)), 100) == 0.4
    missing = np.where(STEPS % 20, np.nan, 0.4)
    assert plateau(curve(missing), 100) == 0.4


def test_what_rises_at_once_or_is_looked_at_too_rarely_has_none() -> None:
    assert plateau(curve(np.where(STEPS < 310, 0.4, 1.0)), 300) is None
    assert plateau(curve(np.full(len(STEPS), RISEN)), 100) is None
    rarely = np.array([0, 100, 200, 400, 800])
    assert plateau(curve(np.full(5, 0.4), rarely), 100) is None
    assert plateau(curve(np.full(len(STEPS), 0.4)), 3000) is None


def test_an_even_rise_has_the_value_of_its_slowest_part() -> None:
    even = curve(np.linspace(0, 0.9, len(STEPS)))
    found = plateau(even, 100)
    assert found is not None
    assert found < 0.05  # on a line the earliest stretch is the shortest
