"""Shapley values of components: what each takes from a score, on average over all orders of closing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import comb
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field, model_validator

from undergrowth.gating.ablations import single_ablations
from undergrowth.gating.gated_scores import (
    PATTERNS_AT_ONCE,
    Baselines,
    GatedScore,
    contributions,
    gated_scores,
)
from undergrowth.gating.scores import LINEAR, ScoreName
from undergrowth.models import Inputs, Model, Site
from undergrowth.models.micro_batches import micro_batched, rows_at_once
from undergrowth.values import Value

MOST_ENUMERATED = 12
"""Components whose 2^n sets are gone through; above, orders are sampled."""


class Sampling(Value):
    """How orders are drawn where there are too many components to enumerate all sets of them.

    n_permutations: orders for each example, drawn separately for each. antithetic: every second one is
    the reverse of the one before (Mitchell et al. 2022, arXiv:2104.12199). tolerance: an example's walk
    ends once its score is within this much of that with all gates closed, and all components that are
    still open get 0 (truncation: Ghorbani and Zou 2020, arXiv:2002.09815). That saves time where few
    components carry a score, but adds bias: values then miss the total by up to it. None: no truncation.
    """

    n_permutations: int = Field(default=200, ge=2)
    antithetic: bool = True
    tolerance: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _gives_an_error(self) -> Sampling:
        if self.antithetic and (self.n_permutations % 2 or self.n_permutations < 4):
            raise ValueError(
                f"n_permutations = {self.n_permutations} with antithetic = true must be even, and 4 at "
                f"least: set n_permutations = {max(4, self.n_permutations + self.n_permutations % 2)}"
            )
        return self

    @property
    def n_draws(self) -> int:
        """Independent orders, or pairs of them."""
        return self.n_permutations // 2 if self.antithetic else self.n_permutations


class ShapleyValues(NamedTuple):
    """In units of the score. standard_errors: of sampling, 0 where the values are exact."""

    values: Float[np.ndarray, "example component"]
    standard_errors: Float[np.ndarray, "example component"]


def shapley_values(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    *,
    site: Site,
    score: ScoreName = "log_prob",
    baseline: Baselines | None = None,
    rng: np.random.Generator,
    sampling: Sampling | None = None,
) -> ShapleyValues:
    r"""The Shapley value of each component of a site in each example's score (Shapley 1953).

    .. math:: \phi_j = \sum_{C \not\ni j} \frac{|C|!\,(n - |C| - 1)!}{n!} \bigl(S(C \cup j) - S(C)\bigr)

    with S(C) the score with the gates of C open and all others closed: Neuron Shapley of Ghorbani and
    Zou 2020 (arXiv:2002.09815), for each example. The values of an example add up to S(all) - S(none);
    as they are linear in the score, their mean over examples is the value in the mean score, and of
    `accuracy` in the accuracy.

    Exact where the score is linear in the gates (then it is the single ablation), and, by enumerating
    all sets, for up to `MOST_ENUMERATED` components. Beyond that, orders are sampled as `sampling` says.
    As each example has its own orders, errors of examples are independent: that of a mean over m
    examples is sqrt(sum of squares) / m.
    """
    baseline = baseline or {}
    if score in LINEAR and model.readout(site) is not None:
        values = single_ablations(model, inputs, labels, site=site, score=score, baseline=baseline)
        return ShapleyValues(values, np.zeros_like(values))
    if site.n_components <= MOST_ENUMERATED:
        return enumerated(model, inputs, labels, site=site, score=score, baseline=baseline)
    return sampled(
        model,
        inputs,
        labels,
        site=site,
        score=score,
        baseline=baseline,
        rng=rng,
        sampling=sampling or Sampling(),
    )


def enumerated(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    *,
    site: Site,
    score: ScoreName,
    baseline: Baselines,
) -> ShapleyValues:
    """Shapley values from the scores of all 2^n sets of open gates."""
    n = site.n_components
    sets = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    size = sets.sum(axis=1)
    gains = np.array([1 / (n * comb(n - 1, k)) for k in range(n)])  # of joining k others
    gates = sets.astype(np.float32)
    weights = np.where(sets, np.append(0.0, gains)[size, None], -np.append(gains, 0.0)[size, None])

    def of_batch(inputs: Array, labels: Array) -> np.ndarray:
        worths = gated_scores(model, inputs, labels, gates, site=site, score=score, baseline=baseline)
        return (worths.astype(np.float64) @ weights).astype(np.float32)

    values = micro_batched(of_batch, (inputs, labels), rows_at_once(model))
    return ShapleyValues(values, np.zeros_like(values))


def sampled(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    *,
    site: Site,
    score: ScoreName,
    baseline: Baselines,
    rng: np.random.Generator,
    sampling: Sampling,
) -> ShapleyValues:
    """Mean and standard error over drawn orders of what the score loses as each gate closes.

    With `Model.readout` a closed gate is a rank-1 change of the logits, else a forward pass from the
    site on, `PATTERNS_AT_ONCE` of them together.
    """
    scored, readout = GatedScore(model, site, score, baseline), model.readout(site)
    walk = _walk_of_gates if readout is None else partial(_walk_of_logits, readout)
    tolerance = jnp.asarray(-1.0 if sampling.tolerance is None else sampling.tolerance)

    def of_batch(inputs: Array, labels: Array) -> ShapleyValues:
        lost = partial(walk, scored, inputs, labels, tolerance)
        order = np.tile(np.arange(site.n_components, dtype=np.int32), (len(labels), 1))
        mean, squares = np.zeros(order.shape), np.zeros(order.shape)
        for n in range(1, sampling.n_draws + 1):
            rng.permuted(order, axis=1, out=order)
            drawn = _by_component(lost, order)
            if sampling.antithetic:
                drawn = (drawn + _by_component(lost, order[:, ::-1])) / 2
            step = drawn - mean
            mean += step / n
            squares += step * (drawn - mean)
        error = np.sqrt(squares / (sampling.n_draws - 1) / sampling.n_draws)
        return ShapleyValues(mean.astype(np.float32), error.astype(np.float32))

    at_once = rows_at_once(model, PATTERNS_AT_ONCE if readout is None else 1)
    return micro_batched(of_batch, (inputs, labels), at_once)


def _by_component(
    lost: Callable[[Array], Array], order: Int[np.ndarray, "example step"]
) -> Float[np.ndarray, "example component"]:
    """What is lost when each component closes, where components close in this order."""
    found = np.empty(order.shape)
    np.put_along_axis(found, order, np.asarray(lost(jnp.asarray(order))), axis=1)
    return found


Advance = Callable[[Array, Array], tuple[Array, Float[Array, "block example"]]]
"""From what is carried and a step to what is carried on, and the scores after a block of steps."""


@eqx.filter_jit
def _walk_of_logits(
    readout: Float[Array, "component label"],
    scored: GatedScore,
    inputs: Array,
    labels: Array,
    tolerance: Array,
    order: Int[Array, "example step"],
) -> Float[Array, "example step"]:
    """What each closed gate loses, as a rank-1 change of the logits."""
    logits, off = contributions(scored.model, inputs, scored.site, scored.baseline)
    steps = order.T

    def close_one(logits: Array, step: Array) -> tuple[Array, Array]:
        closing = steps[step]
        units = jnp.take_along_axis(off, closing[:, None], axis=1)
        logits = logits - units * readout[closing]
        return logits, scored.of(logits, labels)[None]

    ends = scored.of(logits, labels), scored.of(logits - off @ readout, labels)
    return _losses(close_one, logits, ends, len(steps), 1, tolerance)


@eqx.filter_jit
def _walk_of_gates(
    scored: GatedScore,
    inputs: Array,
    labels: Array,
    tolerance: Array,
    order: Int[Array, "example step"],
) -> Float[Array, "example step"]:
    """What each closed gate loses, as the difference of two forward passes."""
    n_steps, rank = order.shape[1], jnp.argsort(order, axis=1)

    def after(n_closed: Array | int) -> Float[Array, " example"]:
        return scored(inputs, labels, (rank >= n_closed).astype(jnp.float32))

    def close_some(carried: Array, step: Array) -> tuple[Array, Array]:
        return carried, jax.vmap(after)(step + 1 + jnp.arange(PATTERNS_AT_ONCE))

    ends = after(0), after(n_steps)
    return _losses(close_some, jnp.zeros(()), ends, n_steps, PATTERNS_AT_ONCE, tolerance)


def _losses(
    advance: Advance,
    carried: Array,
    ends: tuple[Float[Array, " example"], Float[Array, " example"]],
    n_steps: int,
    block: int,
    tolerance: Array,
) -> Float[Array, "example step"]:
    """What each step of a walk loses, from all gates open to none; nothing where an example is done."""
    whole, closed = ends
    n_blocks = -(-n_steps // block)

    def unfinished(state: tuple[Array, Array, Array, Array]) -> Array:
        at, _, _, done = state
        return (at < n_blocks) & ~jnp.all(done)

    def go_on(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        at, carried, scores, done = state
        carried, found = advance(carried, at * block)
        done |= jnp.any(jnp.abs(found - closed) <= tolerance, axis=0)
        return at + 1, carried, jax.lax.dynamic_update_slice(scores, found, (at * block, 0)), done

    scores = jnp.broadcast_to(closed, (n_blocks * block, len(closed)))
    start = (jnp.zeros((), jnp.int32), carried, scores, jnp.zeros(len(closed), bool))
    scores = jax.lax.while_loop(unfinished, go_on, start)[2][:n_steps]
    before = jnp.concatenate([whole[None], scores[:-1]])
    done = jnp.cumsum(jnp.abs(before - closed) <= tolerance, axis=0) > 0
    return jnp.where(done, 0.0, before - scores).T
