"""Sums over examples of what is made of each one's own gradient, in chunks that bound the memory."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from undergrowth.losses import Loss
from undergrowth.models import Model
from undergrowth.models.room import CACHED
from undergrowth.training.objectives.objective import Forward, TrainSet

Make = Callable[[Int[Array, ""], Model], Model]
"""From where an example is among all of the task and its gradient, what is summed."""


def sum_by_example(
    loss: Loss, model: Model, examples: TrainSet, forward: Forward, noise: PRNGKeyArray, make: Make
) -> Model:
    """sum_i make(place of i, gradient of w_i loss_i / n), where the sum of the gradients themselves is
    the gradient of the mean loss.

    Each example draws noise of its own, as if it were a batch by itself. Each gradient is written out,
    so this is for small networks.
    """
    assert examples.place is not None
    n = len(examples.labels)
    weights = jnp.full(n, 1 / n) if examples.weights is None else examples.weights / n
    n_numbers = sum(prod(leaf.shape) for leaf in jax.tree.leaves(model))
    size = min(n, max(1, CACHED // n_numbers))
    lacking = -n % size

    def chunked(array: Array) -> Array:
        filled = jnp.concatenate([array, array[:lacking]]) if lacking else array
        return filled.reshape(-1, size, *array.shape[1:])

    counted = jnp.arange(n + lacking).reshape(-1, size) < n
    of_chunks = *map(chunked, (examples.inputs, examples.labels, weights, examples.place)), counted

    def one(inputs: Array, label: Array, weight: Array, place: Array, counts: Array) -> Model:
        key = jax.random.fold_in(noise, place)

        def of_example(model: Model) -> Array:
            logits = forward(model, inputs[None], key)
            return jnp.where(counts, weight, 0) * loss(logits, label[None])[0]

        return make(place, eqx.filter_grad(of_example)(model))

    def add(total: Model, chunk: tuple[Array, ...]) -> tuple[Model, None]:
        made = jax.vmap(one)(*chunk)
        return jax.tree.map(lambda t, m: t + jnp.sum(m, axis=0), total, made), None

    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, model), of_chunks)[0]
