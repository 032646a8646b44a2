"""How much each training example counts: rules that give every example a weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from undergrowth.values import Value

By = Literal["loss", "sampling"]
"""What a weight multiplies: an example's loss, or how often it is drawn into a batch."""

GroupsOf = Callable[[], np.ndarray]
"""What gives int [example], the task's groups; few rules ask for them."""

NotNegative = Annotated[float, Field(ge=0)]


class Equal(Value):
    """Every training example counts the same, so there is no `by`."""

    name: Literal["equal"] = "equal"

    def drawn(
        self, is_train: np.ndarray, is_noisy: np.ndarray, groups: GroupsOf, rng: np.random.Generator
    ) -> np.ndarray:
        """float64 [example]: all 1."""
        return np.ones(len(is_train))


class OfNoisy(Value):
    """Examples with a label made wrong count `weight` times as much as the others."""

    name: Literal["of_noisy"] = "of_noisy"
    weight: NotNegative = 1.0
    by: By = "loss"

    def drawn(
        self, is_train: np.ndarray, is_noisy: np.ndarray, groups: GroupsOf, rng: np.random.Generator
    ) -> np.ndarray:
        """float64 [example]: `weight` where is_noisy, else 1."""
        return np.where(is_noisy, self.weight, 1.0)


class PowerLaw(Value):
    """The n-th training example of a random order counts n^-exponent (Zipf's law)."""

    name: Literal["power_law"] = "power_law"
    exponent: NotNegative = 1.0
    by: By = "loss"

    def drawn(
        self, is_train: np.ndarray, is_noisy: np.ndarray, groups: GroupsOf, rng: np.random.Generator
    ) -> np.ndarray:
        """float64 [example]: 1 .. n_train to the power -exponent, in random order; 1 off the side."""
        weights = np.ones(len(is_train))
        rank = 1.0 + rng.permutation(int(is_train.sum()))
        weights[is_train] = rank**-self.exponent
        return weights


class OfGroups(Value):
    """A weight for each of the task's groups (`Task.groups`), that of all of its examples."""

    name: Literal["of_groups"] = "of_groups"
    values: tuple[NotNegative, ...]
    by: By = "loss"

    def drawn(
        self, is_train: np.ndarray, is_noisy: np.ndarray, groups: GroupsOf, rng: np.random.Generator
    ) -> np.ndarray:
        """float64 [example]: its group's value; raises ValueError where they are not one per group."""
        of_examples = groups()
        if len(self.values) != (n_groups := int(of_examples.max()) + 1):
            raise ValueError(
                f"weights.values has {len(self.values)} numbers, and the task {n_groups} groups of "
                "examples: give one weight per group, in the order of task.groups()"
            )
        return np.array(self.values)[of_examples]


class Given(Value):
    """A weight for each example of the task, in order; those outside the training side are ignored."""

    name: Literal["given"] = "given"
    values: tuple[NotNegative, ...]
    by: By = "loss"

    def drawn(
        self, is_train: np.ndarray, is_noisy: np.ndarray, groups: GroupsOf, rng: np.random.Generator
    ) -> np.ndarray:
        """float64 [example]: the values; raises ValueError where they are not one per example."""
        if len(self.values) != len(is_train):
            raise ValueError(
                f"weights.values has {len(self.values)} numbers, and the task {len(is_train)} examples: "
                "give one weight per example, in the order of task.examples()"
            )
        return np.array(self.values)


AnyWeights = Annotated[Equal | OfNoisy | PowerLaw | OfGroups | Given, Field(discriminator="name")]
