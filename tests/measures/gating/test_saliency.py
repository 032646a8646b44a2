from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from tests import tiny
from undergrowth.gating import attribute, baselines, site_of
from undergrowth.gating.gated_scores import gated_scores
from undergrowth.measures import Reading, Saliency, breadth
from undergrowth.measures.gating.saliency import by_few


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


@pytest.mark.parametrize("method", ["integrated_gradients", "ablation"])
def test_an_example_is_by_few_where_the_centred_logit_goes_with_them(method: str) -> None:
    model, data = tiny.transformer(), tiny.observed()
    site = site_of(model, "neuron")
    mean = baselines(model, data.train_inputs(), "mean")
    few = readings_of(method=method)
    for i, side in enumerate(data.sides()):
        inputs, labels = data.inputs[side], data.labels[side]
        each = [np.arange(6) != j for j in range(6)]
        gates = np.stack([np.ones(6), np.zeros(6), *each]).astype(np.float32)
        scores = gated_scores(
            model, inputs, labels, gates, site=site, score="centred_logit", baseline=mean
        )
        centred_logit = (
            scores[:, 0] - scores[:, 1]
        )  # linear in the gates: what one neuron takes is its part
        parts = scores[:, :1] - scores[:, 2:]
        most_salient = np.median(np.abs(parts), axis=0).argmax()  # of 6, 5 % are one at least
        counts = centred_logit > 0
        share = (parts[counts, most_salient] >= 0.9 * centred_logit[counts]).mean()
        np.testing.assert_allclose(few["saliency_by_few"].values[i], share)


def test_saliency_names_its_axes() -> None:
    readings = readings_of(prefix="mine")
    endings = ("median", "mean", "breadth", "by_few", "residual")
    assert set(readings) == {f"mine_{ending}" for ending in endings}
    for name, reading in readings.items():
        if name == "mine_residual":
            assert reading.dims == ()
        elif name == "mine_by_few":
            assert (reading.dims, reading.values.shape) == (("side",), (2,))
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


def lookup(n: int, *, general: float) -> np.ndarray:
    """Attributions of n examples to n look-up neurons, and to one that carries a share of each."""
    return np.concatenate([np.full((n, 1), general), (1 - general) * np.eye(n)], axis=1)


@pytest.mark.parametrize(("general", "share"), [(0.0, 1 / 19), (0.89, 0.0), (0.9, 1.0)])
def test_a_look_up_neuron_is_few_for_its_own_example_and_a_general_one_for_all(
    general: float, share: float
) -> None:
    assert by_few(lookup(19, general=general)) == share


def test_two_of_forty_neurons_are_few_and_the_third_counts_no_more() -> None:
    two, three = np.zeros((4, 40)), np.zeros((4, 40))
    two[:, [3, 7]], three[:, [3, 7, 9]] = 1.0, 1.0
    half = np.concatenate([two, three])
    assert (by_few(two), by_few(three), by_few(half)) == (1.0, 0.0, 0.5)


def test_what_lowers_a_centred_logit_does_not_make_the_rest_of_it_few() -> None:
    against = np.array([[1.0, 9.0, -5.0]])  # 9 of a total of 5
    assert by_few(against) == 1.0
    assert np.isnan(by_few(-against))
    assert (
        by_few(np.concatenate([against, -against])) == 1.0
    )  # the other has no centred logit to lie anywhere


@given(
    parts=hnp.arrays(np.float64, (5, 30), elements=st.floats(-1e3, 1e3).map(lambda x: round(x, 3))),
    order=st.permutations(range(30)),
    scale=st.sampled_from([0.25, 8.0]),
)
def test_by_few_follows_no_order_and_has_no_unit(parts: np.ndarray, order: list, scale: float) -> None:
    parts = parts + 1e-5 * np.arange(30)  # no ties, which are broken by their place
    found = by_few(parts)
    for other in (parts[:, order], parts[::-1], scale * parts):
        np.testing.assert_equal(by_few(other), found)
