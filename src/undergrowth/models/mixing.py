"""Attention over a handful of positions, with the heads side by side: scores, and the mix of values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def by_head(values: Float[Array, "row n"], n_heads: int) -> Float[Array, "row head"]:
    """Sums over each head's numbers, as a product with the matrix that says which number is whose.

    A reduction of a three-axis array is slow in XLA's CPU backend, and its gradient is computed anew
    for every number: a twelfth of the step of a two-layer transformer.
    """
    whose = np.repeat(np.eye(n_heads, dtype=np.float32), values.shape[1] // n_heads, axis=0)
    return values @ jnp.asarray(whose)


def mixed(
    scores: Sequence[Float[Array, "_ head"]], values: Sequence[Float[Array, "_ n"]], rate: float = 1.0
) -> Float[Array, "row n"]:
    """sum_k (rate softmax(scores)_k + 1 - rate) values_k by head; a score or value of one row is that of
    all rows.
    """
    n_rows, n_heads = max(len(score) for score in scores), scores[0].shape[1]
    filled = [jnp.broadcast_to(score, (n_rows, n_heads)) for score in scores]
    pattern = partly_constant(jax.nn.softmax(jnp.stack(filled), axis=0), rate)[..., None]
    weighted = [
        weight * value.reshape(len(value), n_heads, -1)
        for weight, value in zip(pattern, values, strict=True)
    ]
    return reduce(jnp.add, weighted).reshape(n_rows, -1)


def partly_constant(pattern: Array, rate: float) -> Array:
    """The attention rate of Zhong et al. 2023 (arXiv:2306.17844, section 4.3): what is not of the
    pattern is a constant 1. At a rate of 1 the pattern itself.
    """
    return pattern if rate == 1 else rate * pattern + (1 - rate)
