"""Gated attribution: how much of a score each component of each example's forward pass carries.

Everything here is a functional of one function, score(gates, example): see `models.sites.gated`.
Where the score is linear in the gates (a centred logit of a one-layer model without layer norm, and its
neurons) all methods but conductance are equal, and equal to the Shapley value.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from undergrowth.gating.ablations import single_ablations
from undergrowth.gating.conductance import conductance
from undergrowth.gating.gated_scores import Baselines, GatedScore, gated_scores
from undergrowth.gating.scores import STEPS, ScoreName
from undergrowth.models import HOOK_EMBED, Inputs, Model, Site, gated, recording
from undergrowth.models.micro_batches import micro_batched, rows_at_once

Method = Literal["gradient_x_activation", "integrated_gradients", "conductance", "ablation"]
BaselineName = Literal["zero", "mean"]


def site_of(model: Model, component: str, layer: int = -1) -> Site:
    """The site of components of this name in a layer, counted from 0 or, if negative, from the end.

    Raises ValueError where there is none.
    """
    sites = [site for site in model.sites if site.component == component]
    if not sites:
        known = sorted({site.component for site in model.sites})
        raise ValueError(f"component = {component!r}: this model has {' and '.join(known)}s")
    if not -len(sites) <= layer < len(sites):
        raise ValueError(
            f"layer = {layer}: this model has {len(sites)} with {component}s, so take "
            f"{-len(sites)} to {len(sites) - 1}"
        )
    return sites[layer]


def baselines(model: Model, train_inputs: Inputs, name: BaselineName) -> Baselines:
    """What stands in an ablated component's place, by site: zero, or its mean over the training set.

    The mean includes the embedded input, under `HOOK_EMBED`: where the path of `conductance` starts.
    """
    if name == "zero":
        return {}
    sums: dict[str, Array] = {}
    size = min(len(train_inputs), rows_at_once(model))
    for start in range(0, len(train_inputs), size):
        index = np.arange(start, start + size)
        real = (index < len(train_inputs)).astype(np.float32)
        batch = train_inputs[np.minimum(index, len(train_inputs) - 1)]
        found = _activation_sums(model, batch, jnp.asarray(real))
        sums = {site: sums.get(site, 0.0) + part for site, part in found.items()}
    return {site: total / len(train_inputs) for site, total in sums.items()}


@eqx.filter_jit
def _activation_sums(model: Model, inputs: Array, weights: Float[Array, " example"]) -> dict[str, Array]:
    activations, embedded = {}, {}
    model(inputs, recording(activations))
    model.plain(inputs, recording(embedded))
    activations[HOOK_EMBED] = embedded[HOOK_EMBED]
    return {site: jnp.tensordot(weights, found, axes=1) for site, found in activations.items()}


def attribute(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    *,
    site: Site,
    method: Method = "integrated_gradients",
    score: ScoreName = "centred_logit",
    baseline: Baselines | None = None,
    n_nodes: int = 16,
) -> Float[np.ndarray, "example component"]:
    """The share of each component in each example's score, in units of the score.

    gradient_x_activation: slope of the score at gate 1, (h - h') dS/dh (Shrikumar et al. 2017,
    arXiv:1704.02685). integrated_gradients: mean slope as all gates of the site open together from 0
    to 1, by Gauss-Legendre quadrature with `n_nodes` nodes (Sundararajan et al. 2017,
    arXiv:1703.01365, eq. 1, on a layer); its sum over components is S(1) - S(0) up to
    `completeness_residual`. conductance: what flows through each component as the input moves, not the
    gates; see `conductance`. ablation: S(all open) - S(this gate closed). For Shapley values see
    `shapley_values`.

    For neurons of a one-layer model without layer norm one node is exact where the score is linear in
    the logits, and 16 bring the residual of log_prob to 1e-4. Heads lie before the ReLU: their path
    crosses its kinks, so the residual falls only as 1 / n_nodes (3e-3 to 1e-2 with 64 on a trained
    model; rules on several panels are no better): check it.

    Raises ValueError where the method takes a gradient and the score is a step function. Memory is
    bounded whatever the number of examples.
    """
    refuse_steps(method, score)
    baseline = baseline or {}
    if method == "ablation":
        return single_ablations(model, inputs, labels, site=site, score=score, baseline=baseline)
    if method == "conductance":
        return conductance(
            model, inputs, labels, site=site, score=score, baseline=baseline, n_panels=n_nodes
        )
    at, weight = np.ones(1), np.ones(1)
    if method == "integrated_gradients":
        nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
        at, weight = (nodes + 1) / 2, weights / 2
    scored = GatedScore(model, site, score, baseline)
    of_batch = partial(_slope, scored, *(jnp.asarray(a, jnp.float32) for a in (at, weight)))
    return micro_batched(of_batch, (inputs, labels), rows_at_once(model, len(at)))


def refuse_steps(method: str, score: ScoreName) -> None:
    """Raise ValueError where a method would take the gradient of a step function."""
    if score in STEPS and method != "ablation":
        raise ValueError(
            f"method = {method!r} takes a gradient, and score = {score!r} is a step function, whose "
            "gradient is 0: take method = 'ablation', a Shapley value, or score = 'log_prob'"
        )


def completeness_residual(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    attribution: Float[np.ndarray, "example component"],
    *,
    site: Site,
    score: ScoreName = "centred_logit",
    baseline: Baselines | None = None,
) -> Float[np.ndarray, " example"]:
    """(sum of the attribution - (S(1) - S(0))), relative to the largest |S(1) - S(0)| of all examples.

    Zero for exact integrated gradients: how far the quadrature is to be trusted.
    """
    ends = np.stack([np.ones(site.n_components), np.zeros(site.n_components)])
    scores = gated_scores(model, inputs, labels, ends, site=site, score=score, baseline=baseline)
    difference = scores[:, 0] - scores[:, 1]
    tiny = np.finfo(np.float32).tiny
    return (attribution.sum(axis=1) - difference) / max(np.abs(difference).max(), tiny)


def logit_norms(
    model: Model,
    inputs: Inputs,
    *,
    site: Site,
    baseline: Baselines,
    signs: Float[Array, "example label"],
) -> Float[np.ndarray, " component"]:
    """Root mean square over examples of the norm of the logit change that one gate's slope makes.

    ||d logits / d gate_j||^2 = E (v . d logits / d gate_j)^2 over random signs v, drawn apart for
    each example, so one backward pass estimates it for all components (Hutchinson 1990).
    """
    of_batch = partial(_probed_slopes, model, site, baseline)
    slopes = micro_batched(of_batch, (inputs, signs), rows_at_once(model))
    return np.sqrt(np.mean(slopes**2, axis=0))


@eqx.filter_jit
def _probed_slopes(
    model: Model, site: Site, baseline: Baselines, inputs: Array, signs: Array
) -> Float[Array, "example component"]:
    def probed(gates: Array) -> Array:
        logits = model(inputs, gated((site,), {site.name: gates}, baseline))
        return jnp.sum(logits * signs)

    return jax.grad(probed)(jnp.ones((len(inputs), site.n_components)))


@eqx.filter_jit
def _slope(
    scored: GatedScore,
    at: Float[Array, " node"],
    weight: Float[Array, " node"],
    inputs: Array,
    labels: Array,
) -> Float[Array, "example component"]:
    """Weighted mean of d score / d gate with all gates of the site at `at`."""

    def at_node(gate: Array) -> Array:
        gates = jnp.full((len(inputs), scored.site.n_components), gate)
        return jax.grad(lambda gates: jnp.sum(scored(inputs, labels, gates)))(gates)

    return jnp.tensordot(weight, jax.vmap(at_node)(at), axes=1)
