"""The larger of two numbers, as a task."""

from typing import Literal

import numpy as np
from pydantic import Field

from undergrowth.tasks import Operation


class Largest(Operation):
    """max(x, y) of two numbers below n."""

    name: Literal["largest"] = "largest"
    n: int = Field(default=11, ge=2, le=200)

    @property
    def n_operands(self):
        return self.n

    @property
    def n_labels(self):
        return self.n

    def describe(self):
        return f"max(x, y) of numbers below {self.n}"

    def table(self):
        numbers = np.arange(self.n, dtype=np.int32)
        return np.maximum.outer(numbers, numbers)
