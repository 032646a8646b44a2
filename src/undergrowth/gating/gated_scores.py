"""score(gates, example): the one function that every attribution to a site's components is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int

from undergrowth.gating.scores import SCORES, ScoreName
from undergrowth.models import Inputs, Model, Site, gated, recording
from undergrowth.models.micro_batches import micro_batched, rows_at_once

Baselines = Mapping[str, Float[Array, "..."]]
"""What stands in the place of what is absent, by site name; zero where none is given."""

PATTERNS_AT_ONCE = 16
MOST_PATTERNS = 2 * PATTERNS_AT_ONCE
"""Computed together where that saves a portion, for what lies before the site is computed once in each.
With fewer examples at a time the products would lose more than the cache gives back."""


class GatedScore(eqx.Module):
    """score(gates, example): of a model, as a function of the gates of one of its sites."""

    model: Model
    site: Site = eqx.field(static=True)
    score: ScoreName = eqx.field(static=True)
    baseline: Baselines

    def __call__(
        self, inputs: Array, labels: Array, gates: Float[Array, "*example component"]
    ) -> Float[Array, " example"]:
        """One number an example, with gates for all examples or for each."""
        hook = gated((self.site,), {self.site.name: gates}, self.baseline)
        return self.of(self.model(inputs, hook), labels)

    def of(self, logits: Array, labels: Array) -> Float[Array, " example"]:
        """The score of logits."""
        return SCORES[self.score](logits, labels)


def gated_scores(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    patterns: Float[np.ndarray, "pattern component"],
    *,
    site: Site,
    score: ScoreName = "centred_logit",
    baseline: Baselines | None = None,
) -> Float[np.ndarray, "example pattern"]:
    """Every example's score with the gates of a site at each of these patterns (1 open, 0 closed)."""
    scored = GatedScore(model, site, score, baseline or {})
    at_once = math.ceil(len(patterns) / math.ceil(len(patterns) / MOST_PATTERNS))
    gates = np.asarray(patterns, np.float32)

    def of_examples(inputs: Array, labels: Array) -> np.ndarray:
        return micro_batched(partial(_under_all, scored, inputs, labels), (gates,), at_once).T

    n_rows = rows_at_once(model, min(at_once, PATTERNS_AT_ONCE))
    return micro_batched(of_examples, (inputs, labels), n_rows)


@eqx.filter_jit
def _under_all(
    scored: GatedScore, inputs: Array, labels: Array, patterns: Float[Array, "pattern component"]
) -> Float[Array, "pattern example"]:
    """Under vmap JAX computes what lies before the site once for all patterns."""
    return jax.vmap(partial(scored, inputs, labels))(patterns)


def contributions(
    model: Model, inputs: Inputs, site: Site, baseline: Baselines
) -> tuple[Float[Array, "example label"], Float[Array, "example component"]]:
    """The logits, and by how many units each component of a site with a readout is off its baseline.

    Closing the gates of a set C takes sum over j in C of off_j readout_j from the logits.
    """
    activations: dict[str, Array] = {}
    logits = model(inputs, recording(activations))
    return logits, activations[site.name] - baseline.get(site.name, 0.0)
