"""What a score loses when the gates of one component, or of a set of them, are closed."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from undergrowth.gating.gated_scores import Baselines, GatedScore, contributions, gated_scores
from undergrowth.gating.scores import ScoreName
from undergrowth.models import Inputs, Model, Site
from undergrowth.models.micro_batches import micro_batched
from undergrowth.models.room import CACHED


def joint_ablation(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    closed: Bool[np.ndarray, "set component"],
    *,
    site: Site,
    score: ScoreName = "centred_logit",
    baseline: Baselines | None = None,
) -> Float[np.ndarray, "example set"]:
    """S(all open) - S(this set closed), in units of the score, for each set of a site's components.

    Where the score is linear in the gates it is the sum of the set's single ablations; elsewhere the
    difference is the joint effect of the components (they are redundant, or need one another).
    """
    patterns = np.concatenate([np.ones((1, site.n_components)), ~np.asarray(closed)])
    scores = gated_scores(model, inputs, labels, patterns, site=site, score=score, baseline=baseline)
    return scores[:, :1] - scores[:, 1:]


def single_ablations(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    *,
    site: Site,
    score: ScoreName = "centred_logit",
    baseline: Baselines | None = None,
) -> Float[np.ndarray, "example component"]:
    """S(all open) - S(this gate closed), in units of the score.

    Where the logits are linear in the site's activations (`Model.readout`) closing one gate is a rank-1
    change of the logits, and no forward pass is needed.
    """
    readout = model.readout(site)
    if readout is None:
        each = np.eye(site.n_components, dtype=bool)
        return joint_ablation(model, inputs, labels, each, site=site, score=score, baseline=baseline)
    scored = GatedScore(model, site, score, baseline or {})
    of_batch = partial(_by_readout, scored, readout)
    return micro_batched(of_batch, (inputs, labels), max(1, CACHED // readout.size))


@eqx.filter_jit
def _by_readout(
    scored: GatedScore, readout: Float[Array, "component label"], inputs: Array, labels: Array
) -> Float[Array, "example component"]:
    logits, off = contributions(scored.model, inputs, scored.site, scored.baseline)

    def without(component: Float[Array, " example"], row: Float[Array, " label"]) -> Array:
        return scored.of(logits - component[:, None] * row, labels)

    return scored.of(logits, labels)[:, None] - jax.vmap(without, (1, 0), 1)(off, readout)
