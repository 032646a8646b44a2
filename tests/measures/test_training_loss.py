from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from tests import brute_force, tiny
from undergrowth.measures import Observed, training_loss
from undergrowth.measures.training_loss import TrainingLoss, chunked, hessian_product, loss_and_gradient
from undergrowth.models import Ablated, TwoTokenMLP, state_dict


def in_chunks_of(at_once: int, monkeypatch: pytest.MonkeyPatch, model: TwoTokenMLP) -> TrainingLoss:
    monkeypatch.setattr(training_loss, "chunked", partial(chunked, at_once=at_once))
    return TrainingLoss.of(model, tiny.observed(), tiny.context(model))


def test_chunks_are_equal_and_begin_again_where_examples_end() -> None:
    assert np.asarray(chunked(np.arange(7), 3)).tolist() == [[0, 1, 2], [3, 4, 5], [6, 0, 1]]
    assert chunked(np.zeros((8, 2)), 4).shape == (2, 4, 2)


def test_chunks_add_up_to_the_whole(mlp: TwoTokenMLP, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = (in_chunks_of(n, monkeypatch, mlp) for n in (15, 4))
    assert whole.labels.shape == (1, 15)
    assert parts.labels.shape == (4, 4)
    np.testing.assert_allclose(parts.weights.sum(), 1, rtol=1e-6)
    for one, other in zip(loss_and_gradient(whole, mlp), loss_and_gradient(parts, mlp), strict=True):
        np.testing.assert_allclose(ravel_pytree(one)[0], ravel_pytree(other)[0], rtol=1e-4, atol=1e-7)
    direction = jnp.asarray(np.random.default_rng(0).standard_normal(124), jnp.float32)
    along = [hessian_product(each, mlp, direction) for each in (whole, parts)]
    np.testing.assert_allclose(along[0], along[1], rtol=1e-4, atol=1e-6)


def test_the_objective_is_the_mean_training_loss(mlp: TwoTokenMLP, observed: Observed) -> None:
    found, _ = loss_and_gradient(TrainingLoss.of(mlp, observed, tiny.context(mlp)), mlp)
    is_train = np.asarray(observed.is_train)
    logits = brute_force.mlp(state_dict(mlp), np.asarray(observed.inputs)[is_train])
    expected = -brute_force.score("log_prob", logits, np.asarray(observed.labels)[is_train]).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_is_ablated_stays_so_and_has_no_slope(mlp: TwoTokenMLP, observed: Observed) -> None:
    gates = jnp.asarray([0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    ablated = Ablated(mlp, {mlp.sites[0].name: gates}, {})
    _, gradient = loss_and_gradient(TrainingLoss.of(ablated, observed, tiny.context(mlp)), mlp)
    of_W_in = state_dict(gradient)["mlp.W_in"]
    assert (of_W_in[:, 0] == 0).all()
    assert (of_W_in[:, 1:] != 0).any()


def test_random_batches_are_the_objective_on_average(mlp: TwoTokenMLP, observed: Observed) -> None:
    whole = TrainingLoss.of(mlp, observed, tiny.context(mlp))
    cells = np.asarray(whole.inputs[0] @ jnp.array([5, 1]))
    of_cell = np.zeros(25)
    of_cell[cells] = np.random.default_rng(0).exponential(size=15)  # any loss by example
    keys = jax.random.split(jax.random.key(0), 4000)
    batches = jax.jit(jax.vmap(lambda key: whole.drawn(key, 4)))(keys)
    drawn = np.asarray(batches.inputs @ jnp.array([5, 1]))[:, 0]
    losses = (np.asarray(batches.weights)[:, 0] * of_cell[drawn]).sum(axis=1)
    sd = of_cell[cells].std() / 4**0.5
    np.testing.assert_allclose(losses.std(), sd, rtol=0.05)
    assert abs(losses.mean() - of_cell[cells].mean()) < 4 * sd / 4000**0.5
