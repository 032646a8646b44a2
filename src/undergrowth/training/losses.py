"""Per-example losses. The exact cross-entropy is the default, the naive one an arm of experiments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

LossName = Literal["cross_entropy", "cross_entropy_float32"]
Loss = Callable[[Float[Array, "example label"], Int[Array, " example"]], Float[Array, " example"]]


def cross_entropy(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> Float[Array, " example"]:
    r"""Cross-entropy in nats that keeps its relative precision however small it is.

    With margins m_j = z_j - z_y,

    .. math:: \ell = \log\Bigl(1 + \sum_{j \ne y} e^{m_j}\Bigr),

    shifted by s = max(0, max_j m_j). The gradient is p_j for j != y and **minus their sum** for y,
    never p_y - 1: it comes from differentiating the margins, so no difference of near-equal numbers
    is ever taken. Relative error <= 1e-5 against float64 down to 1e-30, gradient included, where the
    textbook form in float32 is exactly 0 below 6e-8.
    """
    is_label = _one_hot(logits, labels)
    correct = jnp.sum(jnp.where(is_label, logits, 0), axis=1, keepdims=True)
    margins = jnp.where(is_label, -jnp.inf, logits - correct)
    shift = jax.lax.stop_gradient(jnp.maximum(jnp.max(margins, axis=1, keepdims=True), 0))
    # 1 + sum e^m = e^s (e^-s + sum e^(m-s)) = e^s (1 + expm1(-s) + sum e^(m-s))
    rest = jnp.expm1(-shift)[:, 0] + jnp.sum(jnp.exp(margins - shift), axis=1)
    return shift[:, 0] + jnp.log1p(rest)


def cross_entropy_float32(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> Float[Array, " example"]:
    """The textbook log-softmax in float32, which rounds to 0 once the margin passes about 17.

    The rounding makes training drift and spike (Liu et al. 2026, arXiv:2605.06152; Prieto et al.
    2025, arXiv:2501.04697): use it to study that, not to train.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=1)
    return -jnp.sum(jnp.where(_one_hot(logits, labels), log_p, 0), axis=1)


LOSSES: dict[LossName, Loss] = {
    "cross_entropy": cross_entropy,
    "cross_entropy_float32": cross_entropy_float32,
}


def _one_hot(logits: Array, labels: Array) -> Bool[Array, "example label"]:
    return labels[:, None] == jnp.arange(logits.shape[1])
