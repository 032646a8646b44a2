"""Losses and their gradients against float64; for the cross-entropy, float64 against fifty digits."""

from __future__ import annotations

from decimal import Decimal, localcontext
from inspect import isfunction
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from undergrowth import losses
from undergrowth.losses import LOSSES, LossName, cross_entropy, cross_entropy_float32, mse, stablemax

N = 64


@jax.jit
def value_and_gradient(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    gradient = jax.grad(lambda z: jnp.sum(cross_entropy(z, labels)))(logits)
    return cross_entropy(logits, labels), gradient


@jax.jit
def naive_value_and_gradient(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    gradient = jax.grad(lambda z: jnp.sum(cross_entropy_float32(z, labels)))(logits)
    return cross_entropy_float32(logits, labels), gradient


def truth(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gradient in float64 of the float32 logits as they are, with no cancellation."""
    row = np.arange(len(labels))
    wide = logits.astype(np.float64)
    margins = wide - wide[row, labels][:, None]
    margins[row, labels] = -np.inf
    top = np.maximum(margins.max(axis=1), 0)
    others = np.exp(margins - top[:, None])  # exp(margin) / exp(top)
    total = np.exp(-top) + others.sum(axis=1)
    loss = np.where(top > 0, top + np.log(total), np.log1p(others.sum(axis=1)))
    gradient = others / total[:, None]
    gradient[row, labels] = -gradient.sum(axis=1)
    return loss, gradient


def drawn(
    seed: int, n_labels: int, losses: tuple[float, float], spread: float, offset: float
) -> tuple[np.ndarray, np.ndarray]:
    """float32 logits [64, n_labels] whose losses lie in a range, log-uniformly."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_labels, size=N).astype(np.int32)
    loss = 10 ** rng.uniform(np.log10(losses[0]), np.log10(losses[1]), N)
    others = -spread * rng.uniform(0, 1, (N, n_labels))
    others[np.arange(N), labels] = -np.inf
    others -= np.log(np.exp(others).sum(axis=1, keepdims=True))  # now the exponentials add up to 1
    margins = others + np.log(np.expm1(loss))[:, None]
    margins[np.arange(N), labels] = 0
    return (margins + offset).astype(np.float32), labels


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    n_labels=st.sampled_from([2, 3, 113]),
    spread=st.sampled_from([0.0, 1e-3, 1.0, 10.0, 60.0]),
    offset=st.sampled_from([0.0, 1.0, -30.0, 1000.0]),
)
def test_value_and_gradient_are_right_to_1e_5_from_10_down_to_1e_30(
    seed: int, n_labels: int, spread: float, offset: float
) -> None:
    logits, labels = drawn(seed, n_labels, (1e-30, 10), spread, offset)
    true_loss, true_gradient = truth(logits, labels)
    loss, gradient = (np.asarray(a, np.float64) for a in value_and_gradient(logits, labels))
    inside = (true_loss >= 1e-30) & (true_loss <= 10)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(loss[inside], true_loss[inside], rtol=1e-5, atol=0)
    # Every entry, but those too small for a normal float32.
    normal = np.abs(true_gradient) > 1e-37
    for row in np.flatnonzero(inside):
        mine, theirs = gradient[row][normal[row]], true_gradient[row][normal[row]]
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=0)
        assert (np.abs(gradient[row][~normal[row]]) < 2e-37).all()


@given(seed=st.integers(0, 2**32), n_labels=st.sampled_from([2, 3, 113]))
def test_each_gradient_adds_up_to_zero_to_the_precision_of_its_largest_entry(
    seed: int, n_labels: int
) -> None:
    logits, labels = drawn(seed, n_labels, (1e-30, 10), 10.0, 0.0)
    _, gradient = (np.asarray(a, np.float64) for a in value_and_gradient(logits, labels))
    of_label = gradient[np.arange(N), labels]
    assert (of_label < 0).all()
    assert (np.abs(gradient.sum(axis=1)) <= 1e-6 * np.abs(of_label)).all()


def test_the_naive_loss_is_zero_where_the_exact_one_is_not() -> None:
    logits, labels = drawn(0, 113, (1e-29, 1e-10), 1.0, 0.0)
    exact, exact_gradient = (np.asarray(a) for a in value_and_gradient(logits, labels))
    naive, naive_gradient = (np.asarray(a) for a in naive_value_and_gradient(logits, labels))
    assert (naive == 0).all()
    assert (exact > 0).all()
    of_label = np.arange(N), labels
    assert (naive_gradient[of_label] == 0).all()  # p_y - 1
    assert (exact_gradient[of_label] < 0).all()


def test_the_naive_loss_agrees_where_float32_suffices() -> None:
    logits, labels = drawn(1, 113, (0.1, 10), 1.0, 0.0)
    for exact, naive in zip(
        value_and_gradient(logits, labels), naive_value_and_gradient(logits, labels), strict=True
    ):
        np.testing.assert_allclose(exact, naive, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("margin", [-3.5, 0.0, 2.0, 16.0, 40.0, 69.0])
def test_float64_is_a_truth_to_trust(margin: float) -> None:
    """Against fifty digits: the oracle of the test above is itself tested."""
    logits = np.array([[0.5 + margin, 0.5, -1.25, 0.375]], np.float32)
    loss, gradient = truth(logits, np.array([0]))
    with localcontext(prec=50):
        z = [Decimal(float(value)) for value in logits[0]]
        exponentials = [(other - z[0]).exp() for other in z[1:]]
        total = sum(exponentials, Decimal(1))
        true_loss = total.ln()
        true_gradient = [e / total for e in exponentials]
    assert loss[0] == pytest.approx(float(true_loss), rel=1e-14)
    assert gradient[0, 1:] == pytest.approx([float(g) for g in true_gradient], rel=1e-14)
    assert gradient[0, 0] == pytest.approx(-float(sum(true_gradient)), rel=1e-14)


def test_hopeless_predictions_have_a_finite_loss_and_gradient() -> None:
    logits = np.zeros((N, 3), np.float32)
    logits[:, 1] = 1e4
    loss, gradient = (np.asarray(a) for a in value_and_gradient(logits, np.zeros(N, np.int32)))
    np.testing.assert_allclose(loss, 1e4)
    np.testing.assert_allclose(gradient, np.tile([-1.0, 1.0, 0.0], (N, 1)))


def test_certain_predictions_have_loss_and_gradient_zero_not_nan() -> None:
    logits = np.zeros((N, 3), np.float32)
    logits[:, 1] = 1e4
    loss, gradient = (np.asarray(a) for a in value_and_gradient(logits, np.ones(N, np.int32)))
    assert (loss == 0).all()
    assert (gradient == 0).all()


@jax.jit
def stablemax_and_gradient(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    return stablemax(logits, labels), jax.grad(lambda z: jnp.sum(stablemax(z, labels)))(logits)


@jax.jit
def mse_and_gradient(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    return mse(logits, labels), jax.grad(lambda z: jnp.sum(mse(z, labels)))(logits)


def stablemax_truth(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gradient by hand: dl/dz_j = s'_j / S, and for the label less s'_y / s_y."""
    row, z = np.arange(len(labels)), logits.astype(np.float64)
    s = np.where(z >= 0, z + 1, 1 / (1 - np.minimum(z, 0)))
    slope = np.where(z >= 0, 1, s**2)
    others = s.copy()
    others[row, labels] = 0
    rest, total = others.sum(axis=1), s.sum(axis=1)
    gradient = slope / total[:, None]
    gradient[row, labels] = -slope[row, labels] * rest / (total * s[row, labels])
    return np.log1p(rest / s[row, labels]), gradient


def scattered(seed: int, n_labels: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """float32 logits [64, n_labels] of either sign, log-uniform up to 10**size, some of them 0."""
    rng = np.random.default_rng(seed)
    shape = N, n_labels
    logits = rng.choice([-1, 0, 1], shape, p=[0.4, 0.2, 0.4]) * 10 ** rng.uniform(-3, size, shape)
    return logits.astype(np.float32), rng.integers(n_labels, size=N).astype(np.int32)


@given(
    seed=st.integers(0, 2**32),
    n_labels=st.sampled_from([2, 3, 113]),
    size=st.sampled_from([0.0, 1.0, 3.0, 12.0]),
)
def test_stablemax_and_its_gradient_are_right_to_1e_5_whatever_the_size_of_the_logits(
    seed: int, n_labels: int, size: float
) -> None:
    logits, labels = scattered(seed, n_labels, size)
    found, true = stablemax_and_gradient(logits, labels), stablemax_truth(logits, labels)
    for mine, theirs in zip(found, true, strict=True):
        normal = np.abs(theirs) > 1e-37
        np.testing.assert_allclose(np.asarray(mine, np.float64)[normal], theirs[normal], rtol=1e-5)
        assert (np.abs(np.asarray(mine)[~normal]) < 2e-37).all()


@pytest.mark.parametrize("place", [[0.3, -0.7, 2.0], [1.0, 1.0, -5.0], [0.01, -0.01, 40.0]])
def test_the_gradient_of_stablemax_is_its_slope(place: list[float]) -> None:
    """The oracle's gradient against the oracle's differences: the formula by hand is tested too."""
    at, labels, h = np.array(place), np.arange(3), 1e-6
    table = np.tile(at, (3, 1))
    _, gradient = stablemax_truth(table, labels)
    for j in range(3):
        (up, _), (down, _) = (
            stablemax_truth(table + sign * h * np.eye(3)[j], labels) for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[:, j], (up - down) / (2 * h), rtol=1e-6, atol=1e-9)


def test_stablemax_knows_the_papers_values() -> None:
    logits = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [-1.0, 3.0, 0.0]], np.float32)
    values = stablemax(jnp.asarray(logits), jnp.zeros(3, jnp.int32))
    np.testing.assert_allclose(values, np.log([3, 4 / 2, 5.5 / 0.5]), rtol=1e-6)


def test_stablemax_goes_on_teaching_where_float32_absorbs_the_naive_loss() -> None:
    logits = np.zeros((N, 113), np.float32)
    logits[:, 0] = 200
    labels = np.zeros(N, np.int32)
    naive, naive_gradient = naive_value_and_gradient(logits, labels)
    loss, gradient = (np.asarray(a) for a in stablemax_and_gradient(logits, labels))
    assert (np.asarray(naive) == 0).all()
    assert (np.asarray(naive_gradient)[:, 0] == 0).all()
    assert (loss > 0.4).all()
    assert (gradient[:, 0] < -1e-3).all()


@given(seed=st.integers(0, 2**32), n_labels=st.sampled_from([2, 3, 113]))
def test_mse_and_its_gradient_are_those_of_float64(seed: int, n_labels: int) -> None:
    logits, labels = scattered(seed, n_labels, 2.0)
    error = logits.astype(np.float64) - np.eye(n_labels)[labels]
    loss, gradient = mse_and_gradient(logits, labels)
    np.testing.assert_allclose(loss, (error**2).sum(axis=1) / n_labels, rtol=1e-5)
    np.testing.assert_allclose(gradient, 2 * error / n_labels, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_least_at_the_label_and_does_not_care_how_labels_are_numbered(
    name: LossName,
) -> None:
    logits, labels = scattered(3, 5, 0.0)
    order = np.random.default_rng(0).permutation(5)
    renamed = LOSSES[name](
        jnp.asarray(logits[:, order]), jnp.asarray(np.argsort(order)[labels], np.int32)
    )
    losses = LOSSES[name](jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_allclose(renamed, losses, rtol=1e-5)
    of_each = [LOSSES[name](jnp.asarray(logits), jnp.full(N, j, jnp.int32)) for j in range(5)]
    assert (np.argmin(of_each, axis=0) == np.argmax(logits, axis=1)).all()


def test_losses_are_found_by_their_names_in_specs() -> None:
    assert LOSSES["cross_entropy"] is cross_entropy
    assert LOSSES["cross_entropy_float32"] is cross_entropy_float32
    assert LOSSES["stablemax"] is stablemax
    assert LOSSES["mse"] is mse
    assert {*LOSSES, "policy_gradient"} == set(get_args(LossName))
    written = {n for n, f in vars(losses).items() if isfunction(f) and f.__module__ == losses.__name__}
    assert set(LOSSES) == {name for name in written if not name.startswith("_")}
