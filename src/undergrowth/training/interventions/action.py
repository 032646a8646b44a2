"""What an action is: a function from a run between two updates to the run as it goes on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from undergrowth.models import Hook, Model
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, Regime, TrainState
from undergrowth.values import Value

ByExample = Callable[[Callable[[Array, Model], Model]], Model]


class Action(Value):
    """A change to a run in mid-training. A final subclass is one action, in a file of its own.

    What it changes lives in the traced state wherever it can, so that arms which differ in numbers run
    the same compiled step. An action that does nothing changes no bit.

    An action that lasts leaves in the state what it goes by, and says in the hooks, `on_...`, what every
    step from then on does of it. The engine asks those of all actions (`lasting`): each changes nothing
    where its action was never taken.

    takes_examples: whether it asks for the gradients of single examples.
    """

    takes_examples: ClassVar[bool] = False

    @abstractmethod
    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        """The run after the action; `rng` is a function of the noise seed, the position and the step."""

    def regime_after(self, regime: Regime, run: Setup) -> Regime:
        """What the run trains on afterwards; it is derived again when a run is taken up."""
        return regime

    @staticmethod
    def on_activations(hook: Hook, state: TrainState) -> Hook:
        """What stands at the model's sites in a training pass."""
        return hook

    @staticmethod
    def on_examples(
        gradient: Model, state: TrainState, by_example: ByExample | None, noise: PRNGKeyArray
    ) -> Model:
        """The gradient of the loss, from those of its examples: by_example(make) is the sum over them of
        make(place, gradient) (`sum_by_example`), None where the loss is of none. noise: of the step.
        """
        return gradient

    @staticmethod
    def on_gradient(gradient: Model, state: TrainState, noise: PRNGKeyArray) -> Model:
        """The gradient of the loss as it is followed, before any noise; noise: the step's chance."""
        return gradient

    @staticmethod
    def on_decay(decay: Model, state: TrainState) -> Model:
        """What weight decay adds to the weights, where it differs from weight to weight."""
        return decay

    @staticmethod
    def on_update(change: Model, state: TrainState, step: Array) -> Model:
        """What is added to the weights."""
        return change

    @staticmethod
    def on_weights(model: Model, state: TrainState) -> Model:
        """The weights after an update."""
        return model

    def check(self, run: Setup, place: str) -> None:
        """Raise ValueError, in one line, where it is impossible in this run; `place` is its field."""


class RegimeAction(Action):
    """An action that changes only what is trained on."""

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        return moment.replace(regime=self.regime_after(moment.regime, run))

    @abstractmethod
    def regime_after(self, regime: Regime, run: Setup) -> Regime:
        """What the run trains on afterwards."""
