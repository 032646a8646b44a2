"""What a run goes down, and what it is taken of: the value that a spec names by its `loss`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from undergrowth.losses import Loss
from undergrowth.models import Inputs, Model
from undergrowth.tasks import Task, World
from undergrowth.training.interventions import Intervention
from undergrowth.training.setup import Setup

Forward = Callable[[Model, Inputs, PRNGKeyArray], Float[Array, "example label"]]
"""Logits under training over the temperature, with the noise of a key."""


class TrainSet(NamedTuple):
    """The training side on the device.

    weights: what each example's loss is multiplied by, mean 1; None where all are 1. noise_seed: the
    root of all noise of the run. world: the decision process that the examples are the states of, where
    the objective is of one. place: where each example is among all of the task; None where nothing asks.
    """

    inputs: Array
    labels: Array
    weights: Array | None
    noise_seed: UInt32[Array, ""]
    world: World | None = None
    place: Int[Array, " example"] | None = None

    def of(self, batch: Array, *, has_gaps: bool = False) -> TrainSet:
        """Some of the examples. has_gaps: some places of the batch are empty (`batches.NOBODY`); what
        stands there counts nothing, and the others so much more that the mean is theirs.
        """
        weights = None if self.weights is None else self.weights[batch]
        if has_gaps:
            counts = (batch >= 0).astype(jnp.float32)
            share = counts * (len(batch) / jnp.sum(counts))
            weights = share if weights is None else share * weights
        place = None if self.place is None else self.place[batch]
        return TrainSet(self.inputs[batch], self.labels[batch], weights, self.noise_seed, place=place)


@runtime_checkable
class IntervenedRun(Setup, Protocol):
    """A run as an objective may look at it, its interventions among it; a `RunSpec` is one."""

    @property
    def interventions(self) -> tuple[Intervention, ...]: ...


class Objective(ABC):
    """What a run goes down. A final subclass is one, or one for each of many losses.

    unit: what it is a mean over, in words.
    """

    unit: ClassVar[str]

    @property
    def of_example(self) -> Loss | None:
        """The loss of single examples that it is the mean of; None where it is of none."""
        return None

    @abstractmethod
    def check(self, run: IntervenedRun) -> None:
        """Raise ValueError, in one line, where it cannot be taken of a run."""

    def world(self, task: Task, is_train: np.ndarray) -> World | None:
        """The decision process of the training side (bool [example]), where it is of one."""
        return None

    @abstractmethod
    def gradient(
        self, model: Model, examples: TrainSet, forward: Forward, noise: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Model]:
        """Its value on some examples and the gradient; noise: that of the step."""
