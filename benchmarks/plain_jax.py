"""A child that trains the two-token MLP in JAX as a tutorial has it: one jitted step, called in turn."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from benchmarks.children import Answer, serve
from undergrowth.models import TwoTokenMLPSpec
from undergrowth.spec import RunSpec
from undergrowth.tasks import Tokens
from undergrowth.training.optimisers import AdamW

Weights = dict[str, Array]
"""By their names in undergrowth."""


def logits(weights: Weights, inputs: Array) -> Array:
    """Both operands are embedded, laid end to end and multiplied, example by example."""
    embedded = [weights["embed.W_x"][inputs[:, 0]], weights["embed.W_y"][inputs[:, 1]]]
    hidden = jax.nn.relu(jnp.concatenate(embedded, axis=1) @ weights["mlp.W_in"])
    return hidden @ weights["unembed.W_U"]


def mean_loss(weights: Weights, inputs: Array, labels: Array) -> Array:
    scores = logits(weights, inputs)
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()


def prepare(setup: dict[str, Any]) -> Any:
    """The first steps are taken here. setup: spec, stretch (steps)."""
    spec = RunSpec.from_dict(setup["spec"])
    data, optimiser = spec.data(), spec.optimiser
    assert isinstance(optimiser, AdamW)
    inputs, labels = jnp.asarray(data.inputs[data.is_train]), jnp.asarray(data.labels[data.is_train])
    b1, b2 = optimiser.betas
    tx = optax.adamw(optimiser.lr, b1=b1, b2=b2, weight_decay=optimiser.weight_decay)

    @jax.jit
    def step(weights: Weights, opt_state: optax.OptState) -> tuple[Weights, optax.OptState]:
        gradient = jax.grad(mean_loss)(weights, inputs, labels)
        change, opt_state = tx.update(gradient, opt_state, weights)
        return optax.apply_updates(weights, change), opt_state  # type: ignore[return-value]

    weights = drawn(spec)
    state = step(weights, tx.init(weights))

    def obey(order: str) -> Answer:
        nonlocal state
        began = time.perf_counter()
        for _ in range(setup["stretch"]):
            state = step(*state)
        jax.block_until_ready(state)
        return {"ms": (time.perf_counter() - began) * 1e3 / setup["stretch"]}

    return obey


def drawn(spec: RunSpec) -> Weights:
    """Untrained weights of the shapes of the run's model."""
    model, space = spec.model, spec.task.input_space
    assert isinstance(model, TwoTokenMLPSpec)
    assert isinstance(space, Tokens)
    assert not model.bias
    shapes = {
        "embed.W_x": (space.n_operands, model.d_embed),
        "embed.W_y": (space.n_operands, model.d_embed),
        "mlp.W_in": (2 * model.d_embed, model.d_mlp),
        "unembed.W_U": (model.d_mlp, spec.task.n_labels),
    }
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return {
        name: jax.random.normal(key, shape) / shape[-1] ** 0.5
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


if __name__ == "__main__":
    serve(prepare)
