"""A run's seeds, and all chance but the noise of steps: pure functions of (seed, purpose, index)."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field

from undergrowth.values import Value

Purpose = Literal[
    "split",
    "labels",
    "label_noise",
    "weights",
    "parity",
    "init",
    "boolean_function",
    "batches",
    "measures",
    "interventions",
    "multitask_parity",
]
_FIRST_KEY: dict[Purpose, int] = {
    "split": 0,
    "labels": 1,
    "label_noise": 2,
    "weights": 3,
    "parity": 4,
    "init": 5,
    "boolean_function": 6,
    "batches": 2**32,  # from here on each purpose has 2**32 indices
    "measures": 2 * 2**32,
    "interventions": 3 * 2**32,
    "multitask_parity": 4 * 2**32,
}


class Seeds(Value):
    """Separate seeds for the three sources of chance: weights; split and labels; batches and noise."""

    model: int = Field(default=0, ge=0, lt=2**31)
    data: int = Field(default=0, ge=0, lt=2**31)
    noise: int = Field(default=0, ge=0, lt=2**31)

    @classmethod
    def of(cls, seed: int) -> Self:
        """One seed for all three."""
        return cls(model=seed, data=seed, noise=seed)


def stream(seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The random numbers for one purpose: of the epoch or step `index`, where it has many.

    Philox is counter-based (Salmon et al. 2011): no stream is carried on from another, so any of
    them can be had again at any time.
    """
    return np.random.Generator(np.random.Philox(key=[seed, _FIRST_KEY[purpose] + index]))
