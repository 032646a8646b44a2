"""How untrained weights are drawn: the initialisations of the papers and of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


@dataclass(frozen=True)
class Spread:
    """A distribution around zero: normal of standard deviation `size`, or uniform within +- `size`.

    A size of 0 is exactly zero, and draws nothing.
    """

    size: float
    shape: Literal["normal", "uniform"] = "normal"


ZERO = Spread(0.0)
Scheme = Callable[[str, int], Spread]
"""From a weight's name (`W_Q`, `b_in`) and its fan-in, the number of inputs of its layer."""


class Drawer:
    """Draws one array after another, each with its own key: the same key gives the same arrays.

    What is drawn is multiplied by `scale`, biases too (Liu et al. 2022, arXiv:2210.01117).
    """

    def __init__(self, key: PRNGKeyArray, n_arrays: int, scheme: Scheme, scale: float) -> None:
        self.keys = iter(jax.random.split(key, n_arrays))
        self.scheme = scheme
        self.scale = scale

    def __call__(self, name: str, *shape: int, fan_in: int) -> Float[Array, ...]:
        spread = self.scheme(name, fan_in)
        if not spread.size:
            return jnp.zeros(shape)
        if spread.shape == "normal":
            return self.scale * spread.size * jax.random.normal(next(self.keys), shape)
        within = self.scale * spread.size
        return jax.random.uniform(next(self.keys), shape, minval=-within, maxval=within)


def by_fan_in(name: str, fan_in: int) -> Spread:
    """Weights normal with standard deviation 1 / sqrt(fan-in), biases zero."""
    return ZERO if is_bias(name) else Spread(fan_in**-0.5)


def linear(name: str, fan_in: int) -> Spread:
    """`torch.nn.Linear`: weights and biases uniform within 1 / sqrt(fan-in)."""
    return Spread(fan_in**-0.5, "uniform")


def is_bias(name: str) -> bool:
    """Whether a weight of this name is a bias: `b_Q`, `b_in`."""
    return name.startswith("b_")
