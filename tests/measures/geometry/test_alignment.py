from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.measures import Alignment, Context, Observed, Reading, Update
from undergrowth.models import Model, TwoTokenMLP, load_state_dict, state_dict


def readings_of(model: Model, at: Context) -> Mapping[str, Reading]:
    return Alignment().observe(model, tiny.observed(), at)


def moved_by(model: Model, at: Context, data: float, decay: float) -> Context:
    """A context whose update has parts along the weights."""
    first, second, none = (jax.tree.map(lambda w, by=by: by * w, model) for by in (data, decay, 0.0))
    update = Update(first, second, none, np.arange(1), np.ones(1))
    return replace(at, update=lambda: update)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one.ravel() @ other.ravel() / np.linalg.norm(one) / np.linalg.norm(other))


def slopes(
    weights: brute_force.Weights, data: Observed, temperature: float = 1.0, h: float = 1e-6
) -> brute_force.Weights:
    """The gradient of the training loss by central differences in float64."""
    is_train = np.asarray(data.is_train)
    inputs, labels = np.asarray(data.inputs)[is_train], np.asarray(data.labels)[is_train]
    share = np.asarray(data.weights, np.float64)[is_train] / np.asarray(data.weights)[is_train].sum()

    def loss(weights: brute_force.Weights) -> float:
        logits = brute_force.mlp(weights, inputs) / temperature
        return -float(share @ brute_force.score("log_prob", logits, labels))

    weights = brute_force.in_float64(weights)
    found = {name: np.empty_like(array) for name, array in weights.items()}
    for name, array in weights.items():
        for i in np.ndindex(array.shape):
            ends = []
            for by in (h, -h):
                changed = {**weights, name: array.copy()}
                changed[name][i] += by
                ends.append(loss(changed))
            found[name][i] = (ends[0] - ends[1]) / (2 * h)
    return found


def flat(arrays: brute_force.Weights) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays.values()])


def test_descent_is_minus_the_gradient_by_finite_differences(
    mlp: TwoTokenMLP, observed: Observed
) -> None:
    readings, weights = readings_of(mlp, tiny.context(mlp)), state_dict(mlp)
    gradient = slopes(weights, observed)
    whole = -cosine(flat(gradient), flat(weights))
    np.testing.assert_allclose(readings["alignment_descent"].values, whole, atol=1e-5)
    by_parameter = readings["alignment_descent_parameter"]
    assert by_parameter.coords["parameter"] == tuple(weights)
    expected = [-cosine(gradient[name], weights[name]) for name in weights]
    np.testing.assert_allclose(by_parameter.values, expected, atol=1e-5)


@pytest.mark.parametrize(("data", "decay"), [(0.5, -0.1), (-2.0, -0.1), (3.0, 0.2)])
def test_parts_along_the_weights_have_cosines_of_one(
    mlp: TwoTokenMLP, data: float, decay: float
) -> None:
    readings = readings_of(mlp, moved_by(mlp, tiny.context(mlp), data, decay))
    for name, expected in (("update", np.sign(data)), ("decay", np.sign(data * decay))):
        for reading in (f"alignment_{name}", f"alignment_{name}_parameter"):
            np.testing.assert_allclose(readings[reading].values, expected, rtol=1e-6)


def test_what_is_zero_has_no_direction(mlp: TwoTokenMLP) -> None:
    arrays = state_dict(mlp)
    blank = load_state_dict(mlp, {**arrays, "mlp.b_in": np.zeros(6, np.float32)})
    readings = readings_of(blank, moved_by(blank, tiny.context(blank), 1.0, 0.0))
    assert np.isnan(readings["alignment_decay"].values)
    is_nan = np.isnan(readings["alignment_update_parameter"].values)
    assert [name for name, nan in zip(arrays, is_nan, strict=True) if nan] == ["mlp.b_in"]
    assert np.isfinite(readings["alignment_update"].values)


def test_logits_that_only_need_to_grow_make_descent_align_with_the_unembedding() -> None:
    """Naive loss minimisation: with one label right everywhere the slope by W_U is along W_U."""
    model, data = tiny.mlp(), tiny.observed()
    arrays = state_dict(model)
    arrays["unembed.W_U"] = np.zeros((6, 5), np.float32)
    arrays["unembed.W_U"][:, 2] = 1.0
    arrays["mlp.W_in"] = np.zeros_like(arrays["mlp.W_in"])
    arrays["mlp.b_in"] = np.ones(6, np.float32)
    naive = load_state_dict(model, arrays)
    twos = replace(data, labels=tiny.on_device(np.full(25, 2)))
    at = moved_by(naive, tiny.context(naive), 1.0, -1.0)
    found = Alignment().observe(naive, twos, at)["alignment_descent_parameter"]
    by_name = dict(zip(found.coords["parameter"], found.values, strict=True))
    # The slope is (1 - p) on the right column and -(1 - p) / 4 on each of the four others.
    np.testing.assert_allclose(by_name["unembed.W_U"], 1 / np.sqrt(1 + 4 / 16), rtol=1e-5)


def test_examples_count_by_their_weights_and_logits_by_the_temperature(mlp: TwoTokenMLP) -> None:
    data, at = tiny.observed(), tiny.context(mlp, temperature=2.0)
    weights = np.where(np.asarray(data.is_train), np.linspace(0.1, 1.9, 25), 1.0).astype(np.float32)
    weighted = replace(data, weights=jnp.asarray(weights))
    found = Alignment().observe(mlp, weighted, at)["alignment_descent"].values
    theta = state_dict(mlp)
    expected = -cosine(flat(slopes(theta, weighted, temperature=2.0)), flat(theta))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    unweighted = -cosine(flat(slopes(theta, data, temperature=2.0)), flat(theta))
    assert abs(unweighted - expected) > 1e-3
