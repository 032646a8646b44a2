"""A task made concrete: its examples, their labels as trained on, and the training side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from undergrowth.chance import stream
from undergrowth.tasks.splits import CommutationSafe, LeakyRandom
from undergrowth.tasks.task import Task

Labels = Literal["true", "shuffled"]


@dataclass(frozen=True, eq=False)
class Data:
    """Every example of a task with the side it is on.

    inputs: int32 [example, 2]; labels: int32 [example]; is_train: bool [example].
    """

    inputs: np.ndarray
    labels: np.ndarray
    is_train: np.ndarray

    @property
    def n_train(self) -> int:
        """Number of training examples."""
        return int(self.is_train.sum())


class EmptySplitError(ValueError):
    """A split leaves no example on one side."""


def make_data(task: Task, split: CommutationSafe | LeakyRandom, labels: Labels, seed: int) -> Data:
    """Draw the split and, for the control, the shuffled labels, each once from the data seed.

    Shuffled labels are a permutation of the true ones over all examples, so every label stays as
    frequent as it was; the split is the same as with true labels.
    """
    examples = task.examples()
    is_train = split.train_mask(task, stream(seed, "split"))
    if is_train.all() or not is_train.any():
        raise EmptySplitError(
            f"frac_train = {split.frac_train} leaves no "
            f"{'validation' if is_train.all() else 'training'} example of the {len(examples)} of "
            f"{task.describe()}: both sides need at least one, so move frac_train towards 0.5"
        )
    if labels == "true":
        return Data(examples.inputs, examples.labels, is_train)
    shuffled = stream(seed, "labels").permutation(examples.labels)
    return Data(examples.inputs, shuffled, is_train)
