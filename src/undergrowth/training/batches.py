"""Which examples each step sees: a pure function of (seed, step), so any step can be resumed at."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from undergrowth.kinds import OneOf
from undergrowth.rng import stream
from undergrowth.values import Value

NOBODY = -1
"""An empty place of a batch that has fewer examples than the others."""

BLOCK = 256
"""Steps whose independent draws come from one stream: to set one up takes as long as many draws."""


class Batch(Value):
    """A rule for the examples of each step; a final subclass adds a literal field `name`, its parameters
    and `batch_size`: how many examples a step sees, None where it sees all of them.

    by_weight: whether examples of more weight are drawn more often.
    """

    by_weight: ClassVar[bool] = False

    @property
    def has_gaps(self) -> bool:
        """Whether a batch may have empty places, which say `NOBODY`."""
        return False

    def check(self, n_train: int) -> None:
        """Raise ValueError, in one line, where there are too few training examples."""

    @abstractmethod
    def indices(
        self, n_train: int, seed: int, start: int, n_steps: int, weights: np.ndarray | None = None
    ) -> np.ndarray | None:
        """int32 [n_steps, batch_size]: the training examples of steps start .. start + n_steps - 1, a
        function of the seed and the step alone; None where each step sees all.
        """


class FullBatch(Batch):
    """Every step sees every training example."""

    batch_size: ClassVar[None] = None

    name: Literal["full"] = "full"

    def indices(
        self, n_train: int, seed: int, start: int, n_steps: int, weights: np.ndarray | None = None
    ) -> None:
        """None: there is nothing to choose, not even by weight."""


class MiniBatch(Batch):
    """Shuffled epochs: each epoch is a fresh order of the training set, cut into batches.

    The n_train mod batch_size examples left at the end of an epoch's order are skipped in that epoch or,
    with remainder = "kept", form a smaller batch, whose loss is their mean (the default of PyTorch's
    DataLoader). `batch_size = 1` shows one example at a time.
    """

    name: Literal["mini"] = "mini"
    batch_size: int = Field(default=512, ge=1)
    remainder: Literal["dropped", "kept"] = "dropped"

    @property
    def has_gaps(self) -> bool:
        """Whether a batch may have empty places, which say `NOBODY`."""
        return self.remainder == "kept"

    def check(self, n_train: int) -> None:
        """Raises ValueError where batch_size exceeds n_train."""
        _check_it_fits(self.batch_size, n_train)

    def indices(
        self, n_train: int, seed: int, start: int, n_steps: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """int32 [n_steps, batch_size]: the training examples of steps start .. start + n_steps - 1.

        A smaller batch is filled up with `NOBODY`. Weights are not looked at: an epoch visits all alike,
        so weigh the loss instead. Raises ValueError where batch_size exceeds n_train.
        """
        self.check(n_train)
        per_epoch = n_train // self.batch_size
        if self.has_gaps:
            per_epoch = -(-n_train // self.batch_size)
        first, last = start // per_epoch, (start + n_steps - 1) // per_epoch
        orders = [_epoch_order(n_train, seed, epoch) for epoch in range(first, last + 1)]
        seen = per_epoch * self.batch_size
        empty = np.full(max(0, seen - n_train), NOBODY, np.int32)
        batches = np.concatenate(
            [np.append(order[:seen], empty).reshape(per_epoch, -1) for order in orders]
        )
        skipped = start - first * per_epoch
        return batches[skipped : skipped + n_steps]


class Blocked(Batch):
    """The batches of `MiniBatch`, in its order, each seen `repeats` times in a row before the next.

    So a batch may be forgotten during the rest of the epoch: an epoch is `repeats` times as long, and
    each example is seen as often as in shuffled epochs.
    """

    name: Literal["blocked"] = "blocked"
    batch_size: int = Field(default=1, ge=1)
    repeats: int = Field(default=10, ge=1)

    def check(self, n_train: int) -> None:
        """Raises ValueError where batch_size exceeds n_train."""
        _check_it_fits(self.batch_size, n_train)

    def indices(
        self, n_train: int, seed: int, start: int, n_steps: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """int32 [n_steps, batch_size]: the training examples of steps start .. start + n_steps - 1.

        Weights are not looked at: an epoch visits all alike, so weigh the loss instead.
        Raises ValueError where batch_size exceeds n_train.
        """
        first, last = start // self.repeats, (start + n_steps - 1) // self.repeats
        once = MiniBatch(batch_size=self.batch_size)
        batches = once.indices(n_train, seed, first, last - first + 1)
        skipped = start - first * self.repeats
        return np.repeat(batches, self.repeats, axis=0)[skipped : skipped + n_steps]


class WithReplacement(Batch):
    """Each example of each batch is drawn independently, with a probability proportional to its weight.

    Without weights all are equally probable. A batch may hold an example twice, and may be larger than
    the training set.
    """

    by_weight: ClassVar[bool] = True

    name: Literal["with_replacement"] = "with_replacement"
    batch_size: int = Field(default=512, ge=1)

    def check(self, n_train: int) -> None:
        """Nothing can be wrong: what is drawn is put back."""

    def indices(
        self, n_train: int, seed: int, start: int, n_steps: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """int32 [n_steps, batch_size]: the training examples of steps start .. start + n_steps - 1.

        weights [n_train]: none negative, not all zero; they need not add up to 1.
        Raises ValueError for other weights.
        """
        if weights is not None:
            _check_weights(weights, n_train)
        first, last = start // BLOCK, (start + n_steps - 1) // BLOCK
        blocks = [self._block(n_train, seed, block, weights) for block in range(first, last + 1)]
        skipped = start - first * BLOCK
        return np.concatenate(blocks)[skipped : skipped + n_steps]

    def _block(self, n_train: int, seed: int, block: int, weights: np.ndarray | None) -> np.ndarray:
        rng, shape = stream(seed, "batches", block), (BLOCK, self.batch_size)
        if weights is None:
            return rng.integers(n_train, size=shape, dtype=np.int32)
        return _urn(weights).rvs(shape, random_state=rng).astype(np.int32)


def _epoch_order(n_train: int, seed: int, epoch: int) -> np.ndarray:
    return stream(seed, "batches", epoch).permutation(n_train).astype(np.int32)


def _check_it_fits(batch_size: int, n_train: int) -> None:
    if batch_size > n_train:
        raise ValueError(
            f"batch_size = {batch_size} exceeds the {n_train} training examples: "
            "use a smaller batch, a larger frac_train, or batch = { name = 'full' }"
        )


def _check_weights(weights: np.ndarray, n_train: int) -> None:
    if weights.shape != (n_train,):
        raise ValueError(
            f"weights have shape {weights.shape}, but there are {n_train} training examples: "
            "give one weight for each"
        )
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.max() > 0):
        raise ValueError(
            f"weights from {weights.min()} to {weights.max()} are not probabilities: "
            "use finite ones, none negative, not all zero"
        )


def _urn(weights: np.ndarray) -> Any:
    from scipy.stats.sampling import DiscreteGuideTable  # takes a second to import, for few runs

    return DiscreteGuideTable(np.array(weights, np.float64))


AnyBatch = Annotated[FullBatch | MiniBatch | WithReplacement | Blocked, OneOf(Batch, "batch")]
