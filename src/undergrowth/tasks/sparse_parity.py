"""Sparse parity: the parity of a few bits among many that do not matter (Barak et al. 2022)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from undergrowth.rng import stream
from undergrowth.tasks.task import Examples, Features, Task


class SparseParity(Task):
    """Whether an odd number of the first k of n_bits bits are -1, so that their product is -1.

    Inputs are float32 [example, n_bits] of +1 and -1; the label is 1 where the product of the first k
    is -1, else 0. There are n_examples of them, all different, drawn once from `sample_seed`, so that
    the split does not change them; or all 2^n_bits, counted up in binary with -1 for a 1, if that is no
    more. Sources: Barak et al. 2022 (arXiv:2207.08799, section 2); Merrill et al. 2023
    (arXiv:2303.11873), whose task has n_bits = 40, k = 3.
    """

    name: Literal["sparse_parity"] = "sparse_parity"
    n_bits: int = Field(default=40, ge=1, le=62)
    k: int = Field(default=3, ge=1)
    n_examples: int = Field(default=2000, ge=2, le=100_000)
    sample_seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _has_the_bits_that_matter(self) -> SparseParity:
        if self.k > self.n_bits:
            raise ValueError(
                f"k = {self.k} bits matter, but there are only n_bits = {self.n_bits}: "
                f"use k = {self.n_bits} or less, or more bits"
            )
        return self

    @property
    def input_space(self) -> Features:
        return Features(self.n_bits)

    @property
    def n_labels(self) -> int:
        return 2

    def describe(self) -> str:
        return f"parity of {self.k} of {self.n_bits} bits"

    def examples(self) -> Examples:
        places = np.arange(self.n_bits - 1, -1, -1)  # the first bit is the highest
        is_minus = self._codes()[:, None] >> places & 1
        inputs = (1 - 2 * is_minus).astype(np.float32)
        return Examples(inputs, (is_minus[:, : self.k].sum(axis=1) % 2).astype(np.int32))

    def _codes(self) -> np.ndarray:
        """int64 [example]: each input as a number of n_bits binary digits."""
        n_inputs = 2**self.n_bits
        if n_inputs <= self.n_examples:
            return np.arange(n_inputs)
        rng = stream(self.sample_seed, "parity")
        return rng.choice(n_inputs, self.n_examples, replace=False)
