"""What a neuron makes of what it is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

ActFn = Literal["relu", "gelu", "square"]

ACT_FNS: dict[ActFn, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "square": jnp.square,
}
"""relu: max(x, 0). gelu: x times the normal distribution function of x, by erf (Hendrycks & Gimpel 2016,
arXiv:1606.08415). square: x^2 (Gromov 2023, arXiv:2301.02679)."""
