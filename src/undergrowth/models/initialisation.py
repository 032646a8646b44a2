"""How untrained weights are drawn: the initialisations of the papers and of PyTorch.

numpy draws them: JAX would first compile a program for it, which takes longer than short runs, and would
draw other bits on other devices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


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


@runtime_checkable
class Chance(Protocol):
    """Where random numbers come from: numpy's generator, or `RandomWords` inside compiled code."""

    def standard_normal(self, size: tuple[int, ...], /) -> np.ndarray | Array: ...
    def uniform(self, low: float, high: float, size: tuple[int, ...], /) -> np.ndarray | Array: ...


class Drawer:
    """Draws one array after another: equal generators give equal arrays.

    What is drawn is multiplied by `scale`, biases too (Liu et al. 2022, arXiv:2210.01117). Without a
    generator all is zero, by JAX: for its shapes alone, which then take no memory (`jax.eval_shape`).
    """

    def __init__(self, rng: Chance | None, scheme: Scheme, scale: float) -> None:
        self.rng = rng
        self.scheme = scheme
        self.scale = scale

    def __call__(self, name: str, *shape: int, fan_in: int) -> Float[Array, ...]:
        if self.rng is None:
            return jnp.zeros(shape, jnp.float32)
        spread = self.scheme(name, fan_in)
        if not spread.size:
            return jax.device_put(np.zeros(shape, np.float32))
        if spread.shape == "normal":
            drawn = self.rng.standard_normal(shape)
        else:
            drawn = self.rng.uniform(-1.0, 1.0, shape)
        return jax.device_put((self.scale * spread.size * drawn).astype(np.float32))


def by_fan_in(name: str, fan_in: int) -> Spread:
    """Weights normal with standard deviation 1 / sqrt(fan-in), biases zero."""
    return ZERO if is_bias(name) else Spread(fan_in**-0.5)


def linear(name: str, fan_in: int) -> Spread:
    """`torch.nn.Linear`: weights and biases uniform within 1 / sqrt(fan-in)."""
    return Spread(fan_in**-0.5, "uniform")


def is_bias(name: str) -> bool:
    """Whether a weight of this name is a bias: `b_Q`, `b_in`."""
    return name.startswith("b_")
