"""Reinforcement of a strength: how far descending on each example's loss alone would raise a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from optax.contrib import MuonState

from undergrowth.losses import LossName
from undergrowth.measures.reading import Observed
from undergrowth.measures.reinforcement.entries import ledger, moved
from undergrowth.models import Model
from undergrowth.training.optimisers.state import hyperparams

Strength = Callable[[Model], Float[Array, ""]]


def reinforcement_of(
    model: Model,
    data: Observed,
    strength: Strength,
    *,
    opt_state: Any = None,
    loss: LossName = "cross_entropy",
    temperature: float = 1.0,
) -> Float[np.ndarray, " example"]:
    r"""r_i = -grad l_i . P grad s: how fast the strength s rises as the optimiser descends on l_i alone.

    strength: a differentiable number of a model, such as the centred logit that a mask of components
    carries. P: with an Adam's or AdamW's opt_state, 1 / (sqrt(v) + eps) with its second moment v as it
    stands, corrected for bias; otherwise 1. Positive: example i reinforces s. In units of s for a
    learning rate of 1; `effective_examples` says how many examples share it.

    Raises ValueError for an optimiser whose step is no multiple of the gradient weight by weight (Muon),
    and for an Adam that has made no step.
    """
    weights = model.network

    def of_change(change: Model) -> Array:
        return strength(moved(model, change))

    slope = eqx.filter_jit(eqx.filter_grad(of_change))(jax.tree.map(jnp.zeros_like, weights))
    scale = _preconditioner(opt_state, weights)
    entries = ledger(
        model,
        data,
        {"strength": jax.tree.map(jnp.multiply, scale, slope)},
        loss=loss,
        temperature=temperature,
    )
    return np.sum([of_site.sum(axis=(1, 2)) for of_site in entries.values()], axis=0)


def _preconditioner(opt_state: Any, weights: Model) -> Model:
    """By what the optimiser multiplies each weight's gradient, but for the learning rate."""
    kinds = (optax.ScaleByAdamState, MuonState)
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kinds))
    if any(isinstance(node, MuonState) for node in nodes):
        raise ValueError("Muon rotates gradients, so it has no P: omit opt_state for P = 1")
    moments = [node for node in nodes if isinstance(node, optax.ScaleByAdamState)]
    if not moments:
        return jax.tree.map(jnp.ones_like, weights)
    (moment,) = moments
    n_steps = int(np.asarray(moment.count))
    if n_steps == 0:
        raise ValueError("opt_state of step 0 has no second moment yet: use a later one, or omit it")
    set_ = hyperparams(opt_state)
    seen = 1 - set_["b2"] ** n_steps
    nu = cast(Model, moment.nu)
    return jax.tree.map(lambda v: 1 / (jnp.sqrt(v / seen) + set_["eps"]), nu)
