"""What flows through each component as the input itself moves from its baseline to what it is."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from undergrowth.gating.gated_scores import Baselines
from undergrowth.gating.scores import SCORES, ScoreName
from undergrowth.models import HOOK_EMBED, Hook, Inputs, Model, Site
from undergrowth.models.micro_batches import micro_batched, rows_at_once


def conductance(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    *,
    site: Site,
    score: ScoreName = "centred_logit",
    baseline: Baselines | None = None,
    n_panels: int = 16,
) -> Float[np.ndarray, "example component"]:
    r"""The flow through each component, in units of the score (Dhamdhere et al. 2018, arXiv:1805.12233).

    As the embedded input moves straight from its baseline x' (zero, or `baseline[HOOK_EMBED]`) to x,

    .. math:: C_j = \int_0^1 \frac{\partial S}{\partial h_j} \frac{d h_j}{d\alpha} d\alpha,

    with h_j the component's activation at x' + alpha (x - x'), summed over its positions and, for a
    head, its d_head numbers. It is computed as a sum over `n_panels` equal panels: the change of h_j
    over a panel, times the mean of the slopes at its ends (Shrikumar et al. 2018, arXiv:1807.09946). So
    the kinks of h_j cost nothing, and a score that is linear in h takes one panel.

    Integrated gradients at the site move the site's own activations along a straight line and hold the
    input fixed; here the path is that of the activations that the network produces for the inputs in
    between. The baseline is that of the embedding; the site's own is not used.

    Where every path from the input to the logits goes through the site (a hidden layer of an MLP; the
    heads of a one-layer transformer, from the mean baseline) the sum over components is S(x) - S(x');
    elsewhere it is the part of it that flows through the site.

    Embeddings off the tokens share no prefix, so this is the textbook pass, n_panels + 1 times.
    """
    of_batch = partial(_along_path, model, site, score, baseline or {}, n_panels + 1)
    return micro_batched(of_batch, (inputs, labels), rows_at_once(model, POSITIONS))


POSITIONS = 8
"""As many as a prompt has, and more: what the textbook pass computes for an example."""

Along = tuple[Array, Array, Array]
"""What has flowed so far, and the activation and slope there."""


@eqx.filter_jit
def _along_path(
    model: Model,
    site: Site,
    score: ScoreName,
    baseline: Baselines,
    n_nodes: int,
    inputs: Array,
    labels: Array,
) -> Float[Array, "example component"]:
    def at(alpha: Array) -> tuple[Array, Array]:
        """The activation there, and the score's slope with respect to it."""

        def shifted(shift: Array | float) -> tuple[Array, Array]:
            found: dict[str, Array] = {}
            logits = model.plain(inputs, _moved(site, alpha, baseline, shift, found))
            return jnp.sum(SCORES[score](logits, labels)), found[site.name]

        shape = jax.eval_shape(shifted, 0.0)[1]
        slope, activation = jax.grad(shifted, has_aux=True)(jnp.zeros(shape.shape, shape.dtype))
        return activation, slope

    def panel(before: Along, alpha: Array) -> tuple[Along, None]:
        flow, activation, slope = before
        activation_now, slope_now = at(alpha)
        through = (slope + slope_now) / 2 * (activation_now - activation)
        return (flow + through, activation_now, slope_now), None

    alphas = jnp.linspace(0.0, 1.0, n_nodes)
    start = at(alphas[0])
    (flow, *_), _ = jax.lax.scan(panel, (jnp.zeros_like(start[0]), *start), alphas[1:])
    components = flow.ndim + site.axis
    return flow.sum(axis=tuple(axis for axis in range(1, flow.ndim) if axis != components))


def _moved(
    site: Site, alpha: Array, baseline: Baselines, shift: Array | float, into: dict[str, Array]
) -> Hook:
    """The hook that moves what is embedded, keeps the site's activation, and shifts it."""

    def hook(name: str, activation: Array) -> Array:
        if name == HOOK_EMBED:
            start = baseline.get(HOOK_EMBED, 0.0)
            return start + alpha * (activation - start)
        if name == site.name:
            into[name] = activation
            return activation + shift
        return activation

    return hook
