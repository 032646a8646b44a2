"""Changing the pull of the loss, beside decay and noise."""

from __future__ import annotations

from typing import Literal

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from undergrowth.models import Model
from undergrowth.training.interventions.action import Action
from undergrowth.training.optimisers import NonNegative
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, TrainState


class ScaleGradient(Action):
    """From here on the loss gradient, before any noise, is multiplied by `factor`; 0 removes it.

    Decay, gradient noise and a held norm stay as they are. An optimiser keeps following past gradients
    through its moments, so to have decay or noise act alone, reset these as well: without gradient and
    moments a decoupled decay multiplies every weight by 1 - lr * weight_decay a step. Optimisers that
    divide by the gradient's size (Adam, Muon, signs) take the same steps for any factor above 0.
    """

    name: Literal["scale_gradient"] = "scale_gradient"
    factor: NonNegative

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        present = float(moment.state.knobs.get("gradient_scale", 1.0))
        state = moment.state.with_knobs(gradient_scale=self.factor * present)
        return moment.replace(state=state)

    @staticmethod
    def on_gradient(gradient: Model, state: TrainState, noise: PRNGKeyArray) -> Model:
        if "gradient_scale" not in state.knobs:
            return gradient
        return jax.tree.map(lambda leaf: state.knobs["gradient_scale"] * leaf, gradient)
