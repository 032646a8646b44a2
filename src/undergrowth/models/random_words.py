"""Random numbers made of random words, so that compiled code can draw untrained weights."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from undergrowth.models.initialisation import Chance


class RandomWords(Chance):
    """Random numbers made of 32-bit words, one of each, in their order.

    The upper 23 bits k of a word give the uniform number (k + 1/2) 2^-23 in (0, 1), exactly, and the
    normal one whose distribution function is that: at most 5.2 in size.
    """

    def __init__(self, words: UInt32[Array, " word"]) -> None:
        self.words, self.taken = words, 0

    def uniform(self, low: float, high: float, size: tuple[int, ...], /) -> Float[Array, ...]:
        """Between low and high."""
        return low + (high - low) * (self._next(size) * 2.0**-23)

    def standard_normal(self, size: tuple[int, ...], /) -> Float[Array, ...]:
        """Of mean 0 and standard deviation 1."""
        return math.sqrt(2) * jax.lax.erf_inv(self._next(size) * 2.0**-22 - 1)

    def _next(self, size: tuple[int, ...]) -> Float[Array, ...]:
        """The next words as k + 1/2."""
        first, self.taken = self.taken, self.taken + math.prod(size)
        words = self.words[first : self.taken].reshape(size)
        return (words >> 9).astype(jnp.float32) + jnp.float32(0.5)


class CountedWords(RandomWords):
    """Zeros for numbers: what it has `taken` in the end is how many words there must be."""

    def __init__(self) -> None:
        super().__init__(jnp.zeros(0, jnp.uint32))

    def _next(self, size: tuple[int, ...]) -> Float[Array, ...]:
        self.taken += math.prod(size)
        return jnp.zeros(size)
