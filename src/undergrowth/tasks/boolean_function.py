"""A Boolean function of a few bits, on all of its inputs."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from undergrowth.rng import stream
from undergrowth.tasks.task import Examples, Features, Task
from undergrowth.tasks.terms import MOST_BITS

TRIES = 100


class BooleanFunction(Task):
    """A function from n_bits bits to one, the label; all 2^n_bits inputs are examples.

    Inputs are float32 [example, n_bits] of +1 for a 0 and -1 for a 1, counted up in binary, the first
    bit the highest, as in `SparseParity`. outputs: the labels in that order, as a text of 0 and 1; empty
    for the or of n_terms terms, each the and of n_literals different bits or their negations, drawn
    from `function_seed` until both labels occur. The split does not change the function.
    """

    name: Literal["boolean_function"] = "boolean_function"
    n_bits: int = Field(default=7, ge=1, le=MOST_BITS)
    outputs: str = Field(default="", pattern=r"^[01]*$")
    n_terms: int = Field(default=2, ge=1, le=64)
    n_literals: int = Field(default=2, ge=1)
    function_seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _is_a_function_of_these_bits(self) -> BooleanFunction:
        if self.outputs and len(self.outputs) != 2**self.n_bits:
            raise ValueError(
                f"outputs has {len(self.outputs)} labels, but {self.n_bits} bits have "
                f"{2**self.n_bits} inputs: give one label for each"
            )
        if self.n_literals > self.n_bits:
            raise ValueError(
                f"n_literals = {self.n_literals} exceeds n_bits = {self.n_bits}: a term asks at most "
                f"once for each bit, so use n_literals = {self.n_bits} or less"
            )
        if len(set(self._labels())) == 1:
            raise ValueError(
                f"{self.describe()} has but one label, so there is nothing to learn: use outputs with "
                "both, or fewer terms or more literals"
            )
        return self

    @property
    def input_space(self) -> Features:
        return Features(self.n_bits)

    @property
    def n_labels(self) -> int:
        return 2

    def describe(self) -> str:
        if self.outputs:
            return f"a function of {self.n_bits} bits"
        return f"or of {self.n_terms} ands of {self.n_literals} of {self.n_bits} bits"

    def examples(self) -> Examples:
        return Examples((1 - 2 * self._bits()).astype(np.float32), self._labels().astype(np.int32))

    def _bits(self) -> np.ndarray:
        """int [example, bit]."""
        return np.arange(2**self.n_bits)[:, None] >> np.arange(self.n_bits - 1, -1, -1) & 1

    def _labels(self) -> np.ndarray:
        """int [example]: given, or the first draw with both labels, else the last draw."""
        if self.outputs:
            return np.array(list(self.outputs), int)
        rng, bits = stream(self.function_seed, "boolean_function"), self._bits()
        labels = np.zeros(len(bits), int)
        for _ in range(TRIES):
            labels = np.zeros(len(bits), int)
            for _ in range(self.n_terms):
                asked = rng.choice(self.n_bits, self.n_literals, replace=False)
                wanted = rng.integers(2, size=self.n_literals)
                labels |= (bits[:, asked] == wanted).all(axis=1)
            if labels.min() < labels.max():
                break
        return labels
