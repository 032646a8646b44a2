"""Intervals over components against SciPy's, and where there is little to draw again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from undergrowth.analysis.distributions import effective_number, gini, skewness
from undergrowth.analysis.resampling import resampled


def mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=-1)


@pytest.mark.parametrize("statistic", [mean, gini, effective_number])
def test_the_interval_is_the_percentile_bootstrap_of_scipy(statistic) -> None:
    x = np.random.default_rng(0).exponential(size=60)
    expected = stats.bootstrap(
        (x,), lambda v, axis: statistic(v), method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    found = resampled(x, statistic, n_resamples=20_000)
    width = expected.high - expected.low
    assert abs(found.low - expected.low) < 0.05 * width
    assert abs(found.high - expected.high) < 0.05 * width
    assert found.value == statistic(x)
    assert (found.n, found.level, found.n_resamples) == (60, 0.95, 20_000)


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    x = np.random.default_rng(1).normal(3, 2, 2000)
    found = resampled(x, mean, level=0.9, n_resamples=4000)
    half = stats.norm.ppf(0.95) * x.std() / 2000**0.5
    assert found.low == pytest.approx(x.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(x.mean() + half, abs=0.06 * half)


def test_rows_are_resampled_alike_and_stay_apart() -> None:
    x = np.random.default_rng(2).exponential(size=(2, 3, 20))
    found = resampled(x, gini)
    assert found.value.shape == found.low.shape == found.high.shape == (2, 3)
    for index in np.ndindex(2, 3):
        row = resampled(x[index], gini)
        assert row.low == pytest.approx(found.low[index], rel=1e-12)
        assert row.high == pytest.approx(found.high[index], rel=1e-12)
    doubled = resampled(2 * x, mean)
    np.testing.assert_allclose(doubled.low, 2 * resampled(x, mean).low)


def test_it_does_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).exponential(size=(2, 15))
    whole = resampled(x, gini, n_resamples=50)
    monkeypatch.setattr("undergrowth.analysis.resampling.NUMBERS_AT_ONCE", 200)
    parts = resampled(x, gini, n_resamples=50)
    assert (whole.low == parts.low).all()
    assert (whole.high == parts.high).all()


def test_resamples_without_the_statistic_are_left_out() -> None:
    """One of three has all: a resample that misses it holds nothing."""
    one_has_all = resampled(np.array([0.0, 4.0, 0.0]), effective_number)
    assert (one_has_all.low, one_has_all.high) == (1, 3)
    nothing = resampled(np.zeros((2, 4)), skewness)
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_the_page_reads_a_stored_distribution() -> None:
    page = (Path(__file__).parents[2] / "docs" / "measures.md").read_text()
    code = next(c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "resampled(" in c)
    x = np.random.default_rng(4).exponential(size=(3, 2, 20))
    names: dict[str, Any] = {
        "run": {"saliency_median": xr.DataArray(x, dims=("step", "side", "neuron"))}
    }
    exec(code, names)
    assert (names["ginis"] == gini(x)).all()
    assert (names["at_the_end"].low < names["ginis"][-1]).all()
    assert names["at_the_end"].n == 20
