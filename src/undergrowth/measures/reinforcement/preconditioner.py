"""By what an optimiser multiplies the gradient of each weight: the metric in which it descends."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from undergrowth.measures.context import Context
from undergrowth.models import Model, mapped
from undergrowth.training.optimisers import (
    SGD,
    Adam,
    AdamW,
    Optimiser,
    OrthogonalGradient,
    SignSGD,
    hyperparams,
)


def refusal(optimiser: Optimiser) -> str:
    """Why an optimiser multiplies no weight's gradient by a number of its own; nothing where it does."""
    if not isinstance(optimiser, SGD | SignSGD | Adam | AdamW):
        name = dict(optimiser)["name"]
        return f"optimiser.name = {name!r} mixes the gradients of different weights"
    if isinstance(optimiser.filter, OrthogonalGradient):
        return f"filter.name = {optimiser.filter.name!r} mixes the gradients of different weights"
    return ""


def preconditioner(at: Context) -> Model | None:
    r"""P of the next update, which changes the weights by -rate P g for a gradient g that is new in it.

    The second moment v and the mean gradient G are those that the update itself uses, this step's
    gradient included: 1 / (sqrt(v / (1 - beta2^t)) + eps) for Adam and AdamW, 1 / |G| for sign-SGD (0
    where G is 0), 1 for SGD, and 0 where a weight is frozen. What all weights have in common is left
    out: the learning rate, Adam's 1 - beta1, the part of a new gradient that Grokfast-EMA adds.

    A model with the numbers in the place of its arrays; None where all are 1. Raises ValueError for an
    optimiser that has none (`refusal`).
    """
    if why := refusal(at.spec.optimiser):
        raise ValueError(f"{why}: it has no diagonal preconditioner")
    scale, frozen = _scale(at), at.state.frozen
    if not frozen:
        return scale
    ones = jax.tree.map(jnp.ones_like, at.state.model)
    return mapped(lambda name, p: p * frozen[name] if name in frozen else p, scale or ones)


def _scale(at: Context) -> Model | None:
    optimiser, set_to = at.spec.optimiser, hyperparams(at.state.opt_state)
    if isinstance(optimiser, SGD):
        return None
    gradient = _filtered(at)
    if isinstance(optimiser, SignSGD):
        return jax.tree.map(
            lambda g: jnp.where(g == 0, 0, 1 / jnp.where(g == 0, 1, jnp.abs(g))), gradient
        )
    if isinstance(optimiser, Adam):  # its L2 term is part of the gradient
        decay = set_to["weight_decay"]
        gradient = jax.tree.map(lambda g, w: g + decay * w, gradient, at.state.model)
    leaves = jax.tree.leaves(at.state.opt_state, is_leaf=_is_adam)
    (moments,) = filter(_is_adam, leaves)
    seen = 1 - set_to["b2"] ** (int(moments.count) + 1)

    def inverse(v: Array, g: Array) -> Array:
        v = set_to["b2"] * v + (1 - set_to["b2"]) * g**2
        return 1 / (jnp.sqrt(v / seen) + set_to["eps"])

    return jax.tree.map(inverse, moments.nu, gradient)


def _filtered(at: Context) -> Model:
    """The gradient that the next update follows, behind the gradient filter."""
    state = cast(tuple[Any, ...], at.state.opt_state)[0]
    gradient = cast(optax.Updates, at.gradient())
    found, _ = at.spec.optimiser.filter.build().update(gradient, state, cast(Any, at.state.model))
    return cast(Model, found)


def _is_adam(node: object) -> bool:
    return isinstance(node, optax.ScaleByAdamState)
