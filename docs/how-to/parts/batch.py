"""Batches without chance."""

from typing import Literal

import numpy as np
from pydantic import Field

from undergrowth.training.batches import Batch


class InOrder(Batch):
    """The training examples in their order, round and round."""

    name: Literal["in_order"] = "in_order"
    batch_size: int = Field(default=32, ge=1)

    def indices(self, n_train, seed, start, n_steps, weights=None):
        first = start * self.batch_size
        places = np.arange(first, first + n_steps * self.batch_size) % n_train
        return places.reshape(n_steps, self.batch_size).astype(np.int32)
