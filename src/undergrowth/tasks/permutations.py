"""Composition in the symmetric group S_n (Power et al. 2022; Chughtai et al. 2023, arXiv:2302.03025)."""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import Literal

import numpy as np
from pydantic import Field

from undergrowth.tasks.task import Operation


class SymmetricGroup(Operation):
    """(x o y)(i) = x(y(i)) for all permutations x, y of n things, in lexicographic order."""

    name: Literal["symmetric_group"] = "symmetric_group"
    n: int = Field(default=5, ge=2, le=6)

    @property
    def n_operands(self) -> int:
        return factorial(self.n)

    @property
    def n_labels(self) -> int:
        return factorial(self.n)

    def describe(self) -> str:
        return f"composition in S{self.n}"

    def elements(self) -> np.ndarray:
        """All permutations as rows, int [n!, n], in lexicographic order; row 0 is the identity."""
        return np.array(list(permutations(range(self.n))))

    def table(self) -> np.ndarray:
        elements = self.elements()
        place = self.n ** np.arange(self.n - 1, -1, -1)  # a row read as digits is its key
        keys = elements @ place  # ascending, for the order is lexicographic
        composed = elements[:, elements]  # [x, y, i] = x(y(i))
        return np.searchsorted(keys, composed @ place).astype(np.int32)
