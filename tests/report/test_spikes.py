"""The figure of spikes shows every update's loss as it is stored, thinned without losing a spike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

from tests.report.test_figures import button, layout, traces
from undergrowth.analysis import spikes
from undergrowth.report.spikes import POINTS, spikes_figure, thinned
from undergrowth.store import Run

Runs = tuple[Run, ...]


def curve(values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(values, dims="step", coords={"step": np.arange(len(values))})


def test_a_short_run_is_drawn_at_every_step(runs: Runs) -> None:
    figure = spikes_figure(runs[0])
    train, val = traces(figure, layer="curve")
    assert (train.name, val.name) == ("training, each update", "validation")
    for trace, name in ((train, "update_loss"), (val, "val_loss")):
        stored = runs[0][name]
        steps, values = zip(*trace.customdata, strict=True)
        assert steps == tuple(stored["step"].values)
        np.testing.assert_allclose(values, stored, rtol=1e-4)
    assert "0 spikes" in figure.caption
    assert "each short stretch" not in figure.caption
    assert figure.plot.to_json()


def test_both_axes_can_be_log_and_linear(runs: Runs) -> None:
    figure = spikes_figure(runs[0])
    assert layout(figure).yaxis.type == "log"
    assert layout(figure).xaxis.type == "linear"
    assert button(figure, "x log").args[1]["xaxis.type"] == "log"


def test_the_spikes_given_are_marked_and_are_the_table(runs: Runs) -> None:
    loss = runs[0]["update_loss"].copy()
    loss[40] = 50.0
    found = spikes(loss)
    figure = spikes_figure(runs[0], found)
    (marks,) = traces(figure, layer="spike")
    assert (list(marks.x), list(marks.y)) == ([40], [50.0])
    assert "spike<br>step 40<br>loss 50" in marks.text[0]
    table: Any = figure.table
    marked = table[table["layer"] == "spike"]
    assert marked["step"].tolist() == [40]
    assert set(table["run"]) == {runs[0].id}
    for column in ("base", "left", "right"):
        assert marked[column].tolist() == found[column].tolist()


@pytest.mark.parametrize("broken", [np.inf, np.nan])
def test_a_run_that_diverged_is_drawn(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, broken: float
) -> None:
    read = Run.__getitem__

    def diverging(run: Run, name: str) -> xr.DataArray:
        found = read(run, name).copy()
        found[-3:] = broken
        return found

    monkeypatch.setattr(Run, "__getitem__", diverging)
    train, _ = traces(spikes_figure(runs[0]), layer="curve")
    assert list(train.y[-3:]) == [None] * 3


@given(n=st.integers(POINTS + 1, 300_000), seed=st.integers(0, 9))
def test_thinning_keeps_every_extreme_and_few_points(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random(n)
    planted = np.unique(np.append(rng.integers(0, n, 20), [0, n - 1]))
    values[planted] = 2 + np.arange(len(planted))
    drawn = thinned(curve(values))
    assert len(drawn) <= POINTS
    steps = drawn["step"].values
    assert (np.diff(steps) > 0).all()
    np.testing.assert_array_equal(drawn, values[steps])
    for at in planted:  # each is drawn, or one as high within a two-thousandth of the run
        near = np.abs(steps - at) <= n / 900
        assert values[at] <= drawn.values[near].max()


def test_thinning_is_fine_on_a_log_axis_too() -> None:
    """A spike at step 50 of a million does not swallow one at step 60."""
    values = np.ones(1_000_000)
    values[[50, 60, 999_000]] = 9.0
    drawn = thinned(curve(values))
    assert {50, 60, 999_000} <= set(drawn["step"].values.tolist())
    assert spikes(curve(values[:10_000]), apart=5)["peak"].tolist() == [50, 60]
