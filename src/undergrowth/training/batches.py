"""Which examples each step sees: a pure function of (seed, step), so any step can be resumed at."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from undergrowth.chance import stream
from undergrowth.values import Value


class FullBatch(Value):
    """Every step sees every training example."""

    name: Literal["full"] = "full"

    def indices(self, n_train: int, seed: int, start: int, n_steps: int) -> None:
        """None: there is nothing to choose."""


class MiniBatch(Value):
    """Shuffled epochs: each epoch is a fresh order of the training set, cut into whole batches.

    The n_train mod batch_size examples left at the end of an epoch's order sit that epoch out.
    """

    name: Literal["mini"] = "mini"
    batch_size: int = Field(default=512, ge=1)

    def indices(self, n_train: int, seed: int, start: int, n_steps: int) -> np.ndarray:
        """int32 [n_steps, batch_size]: the training examples of steps start .. start + n_steps - 1.

        Raises ValueError where batch_size exceeds n_train.
        """
        if self.batch_size > n_train:
            raise ValueError(
                f"batch_size = {self.batch_size} exceeds the {n_train} training examples: "
                "take a smaller batch, a larger frac_train, or batch = { name = 'full' }"
            )
        per_epoch = n_train // self.batch_size
        first, last = start // per_epoch, (start + n_steps - 1) // per_epoch
        orders = [_epoch_order(n_train, seed, epoch) for epoch in range(first, last + 1)]
        batches = np.concatenate(
            [order[: per_epoch * self.batch_size].reshape(per_epoch, -1) for order in orders]
        )
        skipped = start - first * per_epoch
        return batches[skipped : skipped + n_steps]


def _epoch_order(n_train: int, seed: int, epoch: int) -> np.ndarray:
    return stream(seed, "batches", epoch).permutation(n_train).astype(np.int32)


AnyBatch = Annotated[FullBatch | MiniBatch, Field(discriminator="name")]
