from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests import tiny
from undergrowth.gating import attribute, baselines, site_of
from undergrowth.measures import Reading, Saliency, breadth


def readings_of(**parameters: Any) -> dict[str, Reading]:
    measure = Saliency(**parameters)
    model = tiny.transformer()
    return dict(measure.observe(model, tiny.observed(), tiny.context(model)))


def test_saliency_is_the_attribution_reduced_over_each_side() -> None:
    model, data = tiny.transformer(), tiny.observed()
    magnitude = np.abs(
        attribute(
            model,
            data.inputs,
            data.labels,
            site=site_of(model, "neuron"),
            baseline=baselines(model, data.train_inputs(), "mean"),
        )
    )
    readings = readings_of()
    for i, side in enumerate(data.sides()):
        of_side = np.asarray(magnitude, np.float64)[side]
        median = [sorted(column)[len(column) // 2] for column in of_side.T]
        if len(of_side) % 2 == 0:
            median = [sum(sorted(c)[len(c) // 2 - 1 :][:2]) / 2 for c in of_side.T]
        np.testing.assert_allclose(readings["saliency_median"].values[i], median, rtol=1e-5)
        mean = of_side.sum(axis=0) / len(of_side)
        np.testing.assert_allclose(readings["saliency_mean"].values[i], mean, rtol=1e-5)
        wide = of_side.sum(axis=0) ** 2 / (of_side**2).sum(axis=0) / len(of_side)
        np.testing.assert_allclose(readings["saliency_breadth"].values[i], wide, rtol=1e-4)


def test_saliency_names_its_axes() -> None:
    readings = readings_of(prefix="mine")
    assert set(readings) == {"mine_median", "mine_mean", "mine_breadth", "mine_residual"}
    for name, reading in readings.items():
        if name == "mine_residual":
            assert reading.dims == ()
        else:
            assert reading.dims == ("side", "neuron")
            assert reading.values.shape == (2, 6)
            assert reading.coords["side"] == ("train", "val")


def test_only_integrated_gradients_have_a_residual_and_it_is_small() -> None:
    assert readings_of()["saliency_residual"].values < 1e-4
    assert "saliency_residual" not in readings_of(method="gradient_x_activation")


@pytest.mark.parametrize("name", ["", "Saliency", "2nd", "a b"])
def test_a_prefix_must_do_as_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        Saliency(prefix=name)


def test_breadth_has_the_closed_forms_of_its_extremes() -> None:
    n = 8
    everywhere, once = np.full(n, 0.3), np.zeros(n)
    once[5] = 2.0
    half = np.array([1.0, 0.0] * (n // 2))
    two_levels = np.array([3.0] + [1.0] * (n - 1))
    columns = np.stack([everywhere, once, half, two_levels, np.zeros(n)], axis=1)
    expected = [1, 1 / n, 0.5, (3 + n - 1) ** 2 / (n * (9 + n - 1)), 0]
    np.testing.assert_allclose(breadth(columns), expected, rtol=1e-6)


@given(
    magnitude=hnp.arrays(np.float64, (7, 3), elements=st.floats(1e-3, 1e3)),
    scale=st.floats(1e-6, 1e6),
)
def test_breadth_lies_in_its_range_and_has_no_unit(magnitude: np.ndarray, scale: float) -> None:
    found = breadth(magnitude)
    assert (found >= 1 / 7 - 1e-6).all()
    assert (found <= 1 + 1e-6).all()
    np.testing.assert_allclose(breadth(scale * magnitude), found, rtol=1e-5)
    np.testing.assert_allclose(breadth(magnitude[::-1]), found, rtol=1e-5)
