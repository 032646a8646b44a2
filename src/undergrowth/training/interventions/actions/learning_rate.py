"""Changing the learning rate: at once, or little by little."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import Field

from undergrowth.models import Model
from undergrowth.training.interventions.action import Action
from undergrowth.training.optimisers import Positive, with_hyperparams
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, TrainState


class ScaleLearningRate(Action):
    """Multiplies the learning rate.

    Under AdamW this also multiplies the pull of the decay, lr * weight_decay, unless
    `keep_decay_pull` divides the weight decay by the same factor.
    """

    name: Literal["scale_learning_rate"] = "scale_learning_rate"
    factor: Positive
    keep_decay_pull: bool = False

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        opt_state = with_hyperparams(
            moment.state.opt_state, {"learning_rate": lambda rate: rate * self.factor}
        )
        if self.keep_decay_pull:
            opt_state = with_hyperparams(opt_state, {"weight_decay": lambda decay: decay / self.factor})
        return moment.replace(state=moment.state.replace(opt_state=opt_state))


class Anneal(Action):
    """Moves the learning rate to `factor` times its present value over `steps` updates and keeps it.

    shape: the path of the rate, a straight line or half a cosine. The multiplier is applied to the
    whole update, so the pull of a decoupled decay is annealed with it, as under a schedule.
    """

    name: Literal["anneal"] = "anneal"
    factor: float = Field(default=0.1, ge=0)
    steps: int = Field(ge=1)
    shape: Literal["linear", "cosine"] = "cosine"

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        now = annealed(moment.state.knobs, jnp.asarray(moment.step, jnp.int32))
        state = moment.state.with_knobs(
            anneal_base=float(now),
            anneal_factor=self.factor,
            anneal_start=moment.step,
            anneal_steps=self.steps,
            anneal_cosine=self.shape == "cosine",
        )
        return moment.replace(state=state)

    @staticmethod
    def on_update(change: Model, state: TrainState, step: Array) -> Model:
        if "anneal_base" not in state.knobs:
            return change
        factor = annealed(state.knobs, step)
        return jax.tree.map(lambda leaf: factor * leaf, change)


def annealed(knobs: dict[str, Array], step: Array) -> Array | float:
    """The multiplier of the update from `step`: 1 where nothing was ever annealed."""
    if "anneal_base" not in knobs:
        return 1.0
    made = (step.astype(jnp.float32) - knobs["anneal_start"]) / knobs["anneal_steps"]
    straight = jnp.clip(made, 0, 1)
    curved = (1 - jnp.cos(jnp.pi * straight)) / 2
    progress = jnp.where(knobs["anneal_cosine"] > 0, curved, straight)
    return knobs["anneal_base"] * (1 + (knobs["anneal_factor"] - 1) * progress)
