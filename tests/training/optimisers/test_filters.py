"""What gradient filters do to gradients that show it."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests.training.optimisers.suite import GRADIENTS, WEIGHTS, state_of, updated
from undergrowth.training.optimisers import SGD, GrokfastEMA, OrthogonalGradient


def test_grokfast_makes_a_lasting_gradient_one_plus_lamb_times_as_large_from_the_first_step() -> None:
    sgd = SGD(warmup_steps=0, lr=1.0, filter=GrokfastEMA(alpha=0.9, lamb=2.0))
    state, weights = state_of(sgd), WEIGHTS
    for _ in range(3):
        after, state = updated(sgd.skeleton(), GRADIENTS[0], state, weights)
        for name, gradient in GRADIENTS[0].items():
            np.testing.assert_allclose(weights[name] - after[name], 3 * gradient, rtol=1e-4, atol=1e-5)
        weights = after


def test_an_orthogonal_gradient_has_its_old_norm_and_nothing_along_the_weights() -> None:
    sgd = SGD(warmup_steps=0, lr=1.0, filter=OrthogonalGradient())
    for size in (1.0, 1e-25):  # the exact loss has gradients whose squares are zero in float32
        gradient = {name: g * np.float32(size) for name, g in GRADIENTS[0].items()}
        change, _ = jax.jit(sgd.build().update)(gradient, state_of(sgd), WEIGHTS)
        for name, weight in WEIGHTS.items():
            left = -np.asarray(change[name], np.float64) / size
            assert np.linalg.norm(left) == pytest.approx(np.linalg.norm(GRADIENTS[0][name]), rel=1e-5)
            assert abs((left * weight).sum()) < 1e-5 * np.linalg.norm(left) * np.linalg.norm(weight)


def test_an_orthogonal_gradient_of_zero_weights_is_the_gradient_and_of_a_parallel_one_is_zero() -> None:
    sgd = SGD(warmup_steps=0, lr=1.0, filter=OrthogonalGradient())
    zeros = jax.tree.map(np.zeros_like, WEIGHTS)
    step = jax.jit(sgd.build().update)
    kept, _ = step(GRADIENTS[0], state_of(sgd), zeros)
    parallel, _ = step({name: 3 * w for name, w in WEIGHTS.items()}, state_of(sgd), WEIGHTS)
    none, _ = step(zeros, state_of(sgd), WEIGHTS)
    for name, gradient in GRADIENTS[0].items():
        np.testing.assert_allclose(kept[name], -gradient, rtol=1e-6)
        assert (np.asarray(parallel[name]) == 0).all()
        assert (np.asarray(none[name]) == 0).all()
