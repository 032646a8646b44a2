"""The weighted mean of a loss of single examples, and its gradient in chunks."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from undergrowth.losses import Loss
from undergrowth.models import Model
from undergrowth.models.room import CACHED, ROOM
from undergrowth.training.objectives.objective import Forward, IntervenedRun, Objective, TrainSet


class MeanLoss(Objective):
    """The mean of a loss of single examples, each as often as it weighs."""

    unit = "examples"

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    @property
    def of_example(self) -> Loss:
        return self.loss

    def check(self, run: IntervenedRun) -> None:
        """Any run has examples."""

    def gradient(
        self, model: Model, examples: TrainSet, forward: Forward, noise: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Model]:
        """The mean and its gradient, summed over chunks of the examples that stay in a core's cache.

        With 3,830 examples and 512 neurons two chunks take 8 % less time than one.
        """

        def summed(
            model: Model, inputs: Array, labels: Array, weights: Array, key: PRNGKeyArray
        ) -> Array:
            return jnp.sum(weights * self.loss(forward(model, inputs, key), labels))

        sloped = eqx.filter_value_and_grad(summed)
        n, n_chunks = len(examples.labels), _chunks(model, len(examples.labels))
        weights = jnp.full(n, 1 / n) if examples.weights is None else examples.weights / n
        if n_chunks == 1:
            return sloped(model, examples.inputs, examples.labels, weights, noise)

        def add(
            total: tuple[Array, Model], chunk: tuple[Array, Array, Array, Array]
        ) -> tuple[tuple[Array, Model], None]:
            inputs, labels, weights, k = chunk
            of_chunk = sloped(model, inputs, labels, weights, jax.random.fold_in(noise, k))
            return jax.tree.map(jnp.add, total, of_chunk), None

        inputs, labels = (_chunked(array, n_chunks) for array in (examples.inputs, examples.labels))
        chunks = inputs, labels, _chunked(weights, n_chunks, filled=0.0), jnp.arange(n_chunks)
        nothing = jnp.zeros(()), jax.tree.map(jnp.zeros_like, model)
        return jax.lax.scan(add, nothing, chunks)[0]


def _chunks(model: Model, n_examples: int) -> int:
    """In how many chunks examples are taken: one on an accelerator, which has no such cache."""
    if jax.default_backend() != "cpu":
        return 1
    widest = max(site.n_components for site in model.sites)
    return max(-(-n_examples * widest // CACHED), -(-n_examples * model.n_logits // ROOM))


def _chunked(array: Array, n_chunks: int, filled: float | None = None) -> Array:
    """[chunk, example, ...]: the last one filled up with the first examples, or with a number."""
    lacking = -len(array) % n_chunks
    more = array[:lacking] if filled is None else jnp.full(lacking, filled, array.dtype)
    together = jnp.concatenate([array, more]) if lacking else array
    return together.reshape(n_chunks, -1, *array.shape[1:])
