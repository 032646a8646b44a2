"""The loss that a run trains on, over its whole training side, as a function of the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from undergrowth.losses import LOSSES, LossName
from undergrowth.measures.context import Context
from undergrowth.measures.reading import Observed
from undergrowth.models import Inputs, Model

T = TypeVar("T")

EXAMPLES_AT_ONCE = 1024
"""Bounds the memory of a gradient or a Hessian-vector product, however many examples there are."""


class TrainingLoss(eqx.Module):
    """The weighted mean loss of the training side: the run's own loss, at its own temperature.

    What is ablated stays ablated. Weight decay, dropout and noise are no part of it. Examples come in
    equal chunks, the last one filled up with examples of weight 0.

    model: whose gates it has; inputs, labels: [chunk, example, ...]; weights: [chunk, example], in sum
    1; n_examples: those that count.
    """

    model: Model
    inputs: Array
    labels: Int[Array, "chunk example"]
    weights: Float[Array, "chunk example"]
    temperature: Float[Array, ""]
    loss: LossName = eqx.field(static=True)
    n_examples: int = eqx.field(static=True)

    @classmethod
    def of(cls, model: Model, data: Observed, at: Context) -> TrainingLoss:
        """What the run is descending on at a step, for the weights of `model.network`."""
        is_train, _ = data.sides()
        weights = np.asarray(data.weights)[is_train]
        n = len(weights)
        shares = chunked(weights / weights.sum())
        counts = jnp.arange(shares.size).reshape(shares.shape) < n
        return cls(
            model,
            chunked(data.inputs[is_train]),
            chunked(data.labels[is_train]),
            jnp.where(counts, shares, 0),
            at.state.knobs["temperature"],
            at.spec.loss,
            n,
        )

    def drawn(self, key: PRNGKeyArray, batch_size: int) -> TrainingLoss:
        """The same of a random batch, drawn with replacement: on average over keys it is this one."""
        chosen = jax.random.randint(key, (1, batch_size), 0, self.n_examples)
        inputs, labels, weights = (
            array.reshape(-1, *array.shape[2:])[chosen]
            for array in (self.inputs, self.labels, self.weights)
        )
        weights = weights * (self.n_examples / batch_size)
        return replace(self, inputs=inputs, labels=labels, weights=weights, n_examples=batch_size)

    def losses(self, weights: Model, inputs: Inputs, labels: Array) -> Float[Array, " example"]:
        """The loss of each of some examples."""
        logits = self.model.with_network(weights)(inputs)
        return LOSSES[self.loss](logits / self.temperature, labels)


def chunked(array: Array | np.ndarray, at_once: int = EXAMPLES_AT_ONCE) -> Array:
    """[chunk, example, ...]: as few equal chunks as there can be, filled up with the first examples."""
    n_chunks = -(-len(array) // at_once)
    order = np.arange(-(-len(array) // n_chunks) * n_chunks) % len(array)
    return jnp.asarray(array[order]).reshape(n_chunks, -1, *array.shape[1:])


@eqx.filter_jit
def loss_and_gradient(objective: TrainingLoss, weights: Model) -> tuple[Float[Array, ""], Model]:
    """The training loss and its gradient, summed over chunks."""

    def of_chunk(weights: Model, inputs: Array, labels: Array, shares: Array) -> Array:
        return jnp.sum(shares * objective.losses(weights, inputs, labels))

    return _summed(objective, lambda *chunk: jax.value_and_grad(of_chunk)(weights, *chunk))


@eqx.filter_jit
def hessian_product(
    objective: TrainingLoss, weights: Model, direction: Float[Array, " weight"]
) -> Float[Array, " weight"]:
    """The Hessian of the training loss times a vector, all weights laid end to end.

    Forward over reverse mode (Pearlmutter 1994), summed over chunks.
    """
    flat, unravel = ravel_pytree(weights)

    def of_chunk(inputs: Array, labels: Array, shares: Array) -> Array:
        def loss(flat: Array) -> Array:
            return jnp.sum(shares * objective.losses(unravel(flat), inputs, labels))

        return jax.jvp(jax.grad(loss), (flat,), (direction,))[1]

    return _summed(objective, of_chunk)


def _summed(objective: TrainingLoss, of_chunk: Callable[[Array, Array, Array], T]) -> T:
    """The sum over chunks of a function of (inputs, labels, weights), one chunk after the other."""
    chunks = objective.inputs, objective.labels, objective.weights
    like = jax.eval_shape(of_chunk, *(array[0] for array in chunks))

    def add(total: T, chunk: tuple[Array, Array, Array]) -> tuple[T, None]:
        return jax.tree.map(jnp.add, total, of_chunk(*chunk)), None

    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    return jax.lax.scan(add, nothing, chunks)[0]
