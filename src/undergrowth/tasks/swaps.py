"""Which examples have their swap (y, x) on the training side, and how many of validation do."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from undergrowth.tasks.data import Data
from undergrowth.tasks.task import Operation, Task


def swap_is_in_train(
    inputs: np.ndarray, labels: np.ndarray, is_train: np.ndarray
) -> Bool[np.ndarray, " example"]:
    """Whether (y, x) is another example, trained on with the same label.

    inputs: pairs of operands [example, 2]; labels: as trained on.
    """
    x, y = np.asarray(inputs).T
    n = int(max(x.max(), y.max())) + 1
    trained = np.full((n, n), -1)
    trained[x[is_train], y[is_train]] = labels[is_train]
    return (x != y) & (trained[y, x] == labels)


def share_leaked(task: Task, data: Data) -> float:
    """The share of the validation examples with their swap in training, in [0, 1].

    What who knows the training examples and that the task commutes answers without generalising further;
    0 of a task that is no table of two operands, and where nothing is held out.
    """
    if not isinstance(task, Operation) or not data.is_val.any():
        return 0.0
    return float(swap_is_in_train(data.inputs, data.labels, data.is_train)[data.is_val].mean())
