"""Scores: what is attributed, one number an example, named beside every attribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from undergrowth.losses import cross_entropy

ScoreName = Literal["correct_logit", "centred_logit", "log_prob", "accuracy"]
Score = Callable[[Float[Array, "example label"], Int[Array, " example"]], Float[Array, " example"]]


def correct_logit(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> Float[Array, " example"]:
    """The logit of the correct label; linear in the logits."""
    return jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]


def centred_logit(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> Float[Array, " example"]:
    """The correct logit minus the mean of the others; linear in the logits, unmoved by their mean."""
    correct = correct_logit(logits, labels)
    return correct - (jnp.sum(logits, axis=1) - correct) / (logits.shape[1] - 1)


def log_prob(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> Float[Array, " example"]:
    """The log-probability of the correct label in nats, <= 0, exact near 0."""
    return -cross_entropy(logits, labels)


def margin(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> Float[Array, " example"]:
    """The correct logit minus the largest of the others: above 0 where the prediction is right.

    Where others are largest together, its slope is shared by them alike. No score of attributions: it
    has a kink wherever another label comes to be the largest.
    """
    is_correct = jnp.arange(logits.shape[1]) == labels[:, None]
    other = jnp.max(jnp.where(is_correct, -jnp.inf, logits), axis=1)
    return jnp.max(jnp.where(is_correct, logits, -jnp.inf), axis=1) - other


def accuracy(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> Float[Array, " example"]:
    """1 where the correct logit is above all others, 0 otherwise (a tie included): a step function."""
    others = jnp.where(jnp.arange(logits.shape[1]) == labels[:, None], -jnp.inf, logits)
    return (correct_logit(logits, labels) > jnp.max(others, axis=1)).astype(logits.dtype)


SCORES: dict[ScoreName, Score] = {
    "correct_logit": correct_logit,
    "centred_logit": centred_logit,
    "log_prob": log_prob,
    "accuracy": accuracy,
}
LINEAR: frozenset[ScoreName] = frozenset({"correct_logit", "centred_logit"})
"""The scores that are linear in the logits."""
STEPS: frozenset[ScoreName] = frozenset({"accuracy"})
"""The scores whose gradient is 0 wherever it exists."""
