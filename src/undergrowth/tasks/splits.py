"""Which examples are trained on: a split is a rule, a share and a seed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from undergrowth.kinds import OneOf
from undergrowth.tasks.task import Operation, Task
from undergrowth.values import Value

FracTrain = Annotated[float, Field(gt=0, lt=1)]


class Split(Value):
    """A rule for the training side; a final subclass adds a literal field `name` and its parameters."""

    @abstractmethod
    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""


class CommutationSafe(Split):
    """(x, y) and (y, x) stay on one side whenever they have the same true label.

    With a plain random split of a commutative task, half of validation has its swap in training and
    can be answered without generalising. Here no validation example has a swap of equal label in
    training, whatever the task. The training side holds frac_train of all examples, rounded (one less
    if only pairs are left to choose from).
    """

    name: Literal["commutation_safe"] = "commutation_safe"
    frac_train: FracTrain = 0.7

    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""
        return _take_groups(_swap_groups(task), self.frac_train, rng)


class LeakyRandom(Split):
    """Each example independently at random: for a commutative task this **leaks** swaps to validation.

    Named so because most published runs use it (Nanda et al. 2023 among them): use it to reproduce
    them or to study the leak.
    """

    name: Literal["leaky_random"] = "leaky_random"
    frac_train: FracTrain = 0.7

    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""
        return _take_groups(np.arange(len(task.examples())), self.frac_train, rng)


class WholeGroups(Split):
    """All examples of a group of the task are on one side: a goal of a gridworld, a block of a text.

    Groups are defined by the task; if it has none, each example is one, as in `LeakyRandom`.
    """

    name: Literal["whole_groups"] = "whole_groups"
    frac_train: FracTrain = 0.7

    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""
        return _take_groups(task.groups(), self.frac_train, rng)


AnySplit = Annotated[CommutationSafe | LeakyRandom | WholeGroups, OneOf(Split, "split")]


def _swap_groups(task: Task) -> np.ndarray:
    """int [example]: equal for two examples that are each other's swap and have the same label."""
    examples = task.examples()
    if not isinstance(task, Operation):
        return np.arange(len(examples))
    table = task.table()
    x, y = examples.inputs.T.astype(np.int64)
    swap_has_same_label = table[y, x] == table[x, y]
    x, y = np.where(swap_has_same_label & (x > y), (y, x), (x, y))
    return np.unique(x * task.n_operands + y, return_inverse=True)[1]


def _take_groups(group: np.ndarray, frac_train: float, rng: np.random.Generator) -> np.ndarray:
    """Whole groups in random order into training, each that still fits frac_train of all examples.

    Runs that differ only in their seeds thus have equally many training examples (and so share one
    compiled step), as long as there are groups of one.
    """
    sizes = np.bincount(group)
    room = int(frac_train * len(group) + 0.5)
    taken = np.zeros(len(sizes), bool)
    for candidate in rng.permutation(len(sizes)):
        if sizes[candidate] <= room:
            taken[candidate] = True
            room -= sizes[candidate]
    return taken[group]
