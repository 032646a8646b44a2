"""A split that holds out whole rows of the table."""

from typing import Literal

import numpy as np
from pydantic import Field

from undergrowth.tasks import Split


class HeldOutRows(Split):
    """Pairs whose x is one of some operands, drawn at random, are never trained on."""

    name: Literal["held_out_rows"] = "held_out_rows"
    frac_train: float = Field(default=0.7, gt=0, lt=1)

    def train_mask(self, task, rng):
        x = task.examples().inputs[:, 0]
        operands = rng.permutation(np.unique(x))
        n_kept = round(self.frac_train * len(operands))
        return np.isin(x, operands[:n_kept])
