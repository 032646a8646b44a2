"""When training runs ahead of validation, clip the gradient."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax
from pydantic import Field

from undergrowth.training.interventions import Action, Trigger


class WhenGap(Trigger):
    """Fires at the first evaluation at which training accuracy is ahead of validation by `gap`."""

    name: Literal["when_gap"] = "when_gap"
    gap: float = Field(default=0.5, gt=0, lt=1)

    def fires(self, history):
        ends = [history.curves.get(f"{side}_accuracy", ())[-1:] for side in ("train", "val")]
        if not all(ends) or ends[0][0][0] != history.step:
            return False
        (_, train), (_, val) = ends[0][0], ends[1][0]
        return train - val >= self.gap

    def describe(self):
        return f"when training accuracy is {self.gap:g} ahead"


class ClipGradient(Action):
    """From here on a gradient of a norm above `norm` is scaled down to it."""

    name: Literal["clip_gradient"] = "clip_gradient"
    norm: float = Field(gt=0)

    def act(self, moment, run, rng):
        return moment.replace(state=moment.state.with_knobs(clip_gradient=self.norm))

    @staticmethod
    def on_gradient(gradient, state, noise):
        if "clip_gradient" not in state.knobs:  # the action was never taken
            return gradient
        smaller = jnp.minimum(1, state.knobs["clip_gradient"] / optax.tree.norm(gradient))
        return jax.tree.map(lambda leaf: smaller * leaf, gradient)
