"""Which examples a network gets right."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def correct(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> Bool[Array, " example"]:
    """Whether the label has the largest logit. A network that answers NaN has predicted nothing, while
    argmax would call it the first label.
    """
    return (jnp.argmax(logits, axis=1) == labels) & ~jnp.isnan(logits).any(axis=1)
