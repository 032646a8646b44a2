"""Milestones kept point by point are those of the whole curves."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from hypothesis import given, strategies as st

from undergrowth.analysis import events
from undergrowth.live.milestones import Milestones
from undergrowth.store.events import Rules

LEVELS = (0.0, 0.1, 0.5, 0.93, 0.99, 1.0)
ACCURACY = st.sampled_from(LEVELS)
VALIDATION = st.sampled_from((*LEVELS, math.nan))


def seen(points: list[tuple[int, float, float]], leaked: float = 0.0) -> Milestones:
    found = Milestones(Rules(leaked=leaked))
    for step, train, val in points:
        found.see(step, train, val)
    return found


@given(
    st.lists(st.tuples(st.integers(1, 9), ACCURACY, VALIDATION), max_size=30),
    st.sampled_from((0.0, 0.3)),
)
def test_they_are_those_of_the_analysis(rows: list[tuple[int, float, float]], leaked: float) -> None:
    steps = np.cumsum([gap for gap, _, _ in rows]).astype(int)
    points = [(int(step), train, val) for step, (_, train, val) in zip(steps, rows, strict=True)]
    found = seen(points, leaked)
    curves = xr.Dataset(
        {
            "train_accuracy": ("step", np.array([train for _, train, _ in points], float)),
            "val_accuracy": ("step", np.array([val for _, _, val in points], float)),
        },
        coords={"step": steps},
    )
    wanted = {name: event.first for name, event in events(curves, Rules(leaked=leaked)).items()}
    if all(math.isnan(val) for _, _, val in points):  # the analysis then has no events at all
        assert found.onset is None
        assert found.grokked is None
        return
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_an_onset_is_taken_back_when_validation_falls() -> None:
    points = [(0, 0.1, 0.1), (10, 1.0, 0.1), (20, 1.0, 0.5)]
    assert seen(points).onset == 20
    assert seen([*points, (30, 1.0, 0.12)]).onset is None
