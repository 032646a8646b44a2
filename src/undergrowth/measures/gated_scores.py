"""score(gates, example): the one function that every attribution to a site's components is made of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int

from undergrowth.measures.micro_batches import micro_batched, rows_at_once
from undergrowth.measures.scores import SCORES, ScoreName
from undergrowth.models import Inputs, Model, Site, gated, recording

Baselines = Mapping[str, Float[Array, "..."]]
"""What stands in the place of what is absent, by site name; zero where none is given."""

PATTERNS_AT_ONCE = 16


def gated_scores(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    patterns: Float[np.ndarray, "pattern component"],
    *,
    site: Site,
    score: ScoreName = "margin",
    baseline: Baselines | None = None,
) -> Float[np.ndarray, "example pattern"]:
    """Every example's score with the gates of a site at each of these patterns (1 open, 0 closed)."""
    at_once = min(PATTERNS_AT_ONCE, len(patterns))

    def of_examples(inputs: Array, labels: Array) -> np.ndarray:
        of_patterns = partial(_scores, model, inputs, labels, site, score, baseline or {})
        return micro_batched(of_patterns, (np.asarray(patterns, np.float32),), at_once).T

    return micro_batched(of_examples, (inputs, labels), rows_at_once(model, at_once))


@eqx.filter_jit
def _scores(
    model: Model,
    inputs: Array,
    labels: Array,
    site: Site,
    score: ScoreName,
    baseline: Baselines,
    patterns: Float[Array, "pattern component"],
) -> Float[Array, "pattern example"]:
    """Under vmap JAX computes what lies before the site once for all patterns."""

    def scored(gates: Array) -> Array:
        return SCORES[score](model(inputs, gated((site,), {site.name: gates}, baseline)), labels)

    return jax.vmap(scored)(patterns)


def contributions(
    model: Model, inputs: Inputs, site: Site, baseline: Baselines
) -> tuple[Float[Array, "example label"], Float[Array, "example component"]]:
    """The logits, and by how many units each component of a site with a readout is off its baseline.

    Closing the gates of a set C takes sum over j in C of off_j readout_j from the logits.
    """
    activations: dict[str, Array] = {}
    logits = model(inputs, recording(activations))
    return logits, activations[site.name] - baseline.get(site.name, 0.0)
