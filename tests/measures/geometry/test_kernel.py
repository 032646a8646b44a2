from __future__ import annotations

from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.measures import Kernel, Observed
from undergrowth.measures.geometry import kernel
from undergrowth.measures.geometry.kernel import statistics, tangent_kernel
from undergrowth.models import Ablated, Model, Transformer, TwoTokenMLP, state_dict

SIGNS = np.array([[1, -1, 1, 1, -1], [-1, -1, 1, -1, 1]], np.float32)
SOME = [3, 7, 11, 18, 24]


def jacobian(model: Model, inputs: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """d logits / d weights [example, label, weight], by central differences in float64."""
    weights = brute_force.in_float64(state_dict(model))
    forward = brute_force.mlp if isinstance(model, TwoTokenMLP) else brute_force.transformer
    columns = []
    for name, array in weights.items():
        for i in np.ndindex(array.shape):
            ends = []
            for by in (h, -h):
                changed = {**weights, name: array.copy()}
                changed[name][i] += by
                ends.append(forward(changed, inputs))
            columns.append((ends[0] - ends[1]) / (2 * h))
    return np.stack(columns, axis=2)


@pytest.mark.parametrize("model", [tiny.mlp(), tiny.transformer()], ids=["mlp", "transformer"])
def test_the_kernel_is_that_of_explicit_jacobians(model: Model, observed: Observed) -> None:
    inputs = observed.inputs[jnp.asarray(SOME)]
    J = jacobian(model, np.asarray(inputs))
    projected = [np.einsum("l,nlw->nw", signs, J) for signs in SIGNS]
    expected = sum(rows @ rows.T for rows in projected) / 2
    found = tangent_kernel(model, inputs, SIGNS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_over_all_signs_it_is_the_trace_of_the_full_kernel(mlp: TwoTokenMLP, observed: Observed) -> None:
    inputs = observed.inputs[jnp.asarray(SOME)]
    J = jacobian(mlp, np.asarray(inputs))
    trace = sum(J[:, label] @ J[:, label].T for label in range(5))
    every_sign = np.array(list(product([-1, 1], repeat=5)), np.float32)
    found = tangent_kernel(mlp, inputs, every_sign)
    np.testing.assert_allclose(found, trace, rtol=1e-4, atol=1e-4 * np.abs(trace).max())


def test_blocks_of_jacobian_rows_make_the_same_kernel(
    transformer: Transformer, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = observed.inputs[jnp.asarray(SOME)]
    whole = tangent_kernel(transformer, inputs, SIGNS)
    n_weights = sum(array.size for array in state_dict(transformer).values())
    monkeypatch.setattr(kernel, "NUMBERS_AT_ONCE", 2 * n_weights)
    np.testing.assert_allclose(tangent_kernel(transformer, inputs, SIGNS), whole, rtol=1e-5)


def test_what_is_ablated_moves_nothing(mlp: TwoTokenMLP, observed: Observed) -> None:
    closed = Ablated(mlp, {mlp.sites[0].name: jnp.zeros(6)}, {})
    found = tangent_kernel(closed, observed.inputs[:4], SIGNS)
    np.testing.assert_array_equal(found, np.zeros((4, 4)))


LABELS = np.array([0, 0, 1, 1, 2, 2, 2])


def test_statistics_have_their_closed_forms() -> None:
    one_hot = np.eye(3)[LABELS]
    Y = one_hot - one_hot.mean(axis=0)
    of_labels = statistics(Y @ Y.T, LABELS)
    np.testing.assert_allclose(of_labels["alignment"], 1)
    np.testing.assert_allclose(of_labels["centred_alignment"], 1)
    unit = statistics(np.eye(7), LABELS)
    np.testing.assert_allclose(unit["effective_rank"], 7)
    np.testing.assert_allclose(unit["alignment"], np.sum(Y**2) / np.sqrt(7) / np.linalg.norm(Y @ Y.T))
    constant = statistics(np.ones((7, 7)), LABELS)
    np.testing.assert_allclose(constant["effective_rank"], 1)
    np.testing.assert_allclose(constant["alignment"], 0, atol=1e-12)
    shifted = statistics(Y @ Y.T + 5, LABELS)
    np.testing.assert_allclose(shifted["centred_alignment"], 1)
    assert shifted["alignment"] < 0.5
    assert np.isnan(statistics(np.zeros((7, 7)), LABELS)["alignment"])


def test_with_two_labels_the_alignment_is_that_of_one_centred_vector() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((8, 20)), np.array([0, 1, 1, 0, 1, 0, 0, 1])
    K, y = rows @ rows.T, labels - labels.mean()
    expected = y @ K @ y / np.linalg.norm(K) / (y @ y)
    np.testing.assert_allclose(statistics(K, labels)["alignment"], expected)


def test_eigenvalues_give_the_effective_rank_and_the_mean() -> None:
    rows = np.random.default_rng(1).standard_normal((7, 20))
    values = np.linalg.eigvalsh(rows @ rows.T)
    found = statistics(rows @ rows.T, LABELS)
    np.testing.assert_allclose(found["effective_rank"], values.sum() ** 2 / (values**2).sum())
    np.testing.assert_allclose(found["mean"], values.sum() / 7)


def test_each_side_has_its_own_examples(mlp: TwoTokenMLP, observed: Observed) -> None:
    """Where a side has no more than were asked for all are taken, and chance is in the signs alone."""
    readings = Kernel(n_examples=1000, n_projections=3).observe(mlp, observed, tiny.context(mlp))
    rng, labels = np.random.default_rng(0), np.asarray(observed.labels)
    signs = rng.choice(np.array([-1, 1], np.float32), (3, 5))
    for i, side in enumerate(observed.sides()):
        chosen = rng.choice(np.flatnonzero(side), side.sum(), replace=False)
        expected = statistics(tangent_kernel(mlp, observed.inputs[chosen], signs), labels[chosen])
        for name, value in expected.items():
            np.testing.assert_allclose(readings[f"kernel_{name}"].values[i], value, rtol=1e-5)
