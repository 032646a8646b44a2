"""How fast some components learn beside the others: their gradient, how often it comes, their decay."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from pydantic import Field

from undergrowth.models import Model, mapped, state_dict
from undergrowth.training.interventions.actions.components import OfComponents
from undergrowth.training.noise import key_for
from undergrowth.training.optimisers import SGD, Adam, NonNegative
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, TrainState


class ScaleComponents(OfComponents):
    """From here on some components learn from a scaled gradient, at some of the steps, and decay at a
    rate of their own.

    gradient: what the gradient of all their weights is multiplied by, before any noise; share: of the
    steps, drawn anew at each, at which there is a gradient at all, the same steps for all of them;
    decay: what weight decay adds to their weights is multiplied by that. So gradient = 1/n and
    share = 1/n bring the same sum in n times smaller or n times fewer pushes. Optimisers that divide by
    the gradient's size take the same steps for any constant gradient above 0.

    decay = 1 leaves decay alone; another is refused where decay is part of a remembered gradient (SGD
    with momentum, Adam with weight_decay), for no update then is the sum of what both add.
    """

    name: Literal["scale_components"] = "scale_components"
    gradient: NonNegative = 1.0
    share: float = Field(default=1.0, gt=0, le=1)
    decay: NonNegative = 1.0

    def check(self, run: Setup, place: str) -> None:
        super().check(run, place)
        optimiser = run.optimiser
        remembers = isinstance(optimiser, SGD) and optimiser.momentum > 0
        if self.decay != 1 and (remembers or isinstance(optimiser, Adam)):
            raise ValueError(
                f"{place}.decay = {self.decay:g}: under {optimiser.name} with momentum decay is part of "
                "the remembered gradient and cannot be told apart: take adamw, sign_sgd, or sgd without "
                "momentum"
            )

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        state, chosen = moment.state, self.components.chosen(moment, rng)
        slices = state.model.slices(self.components.site(state.model))
        n_axes = {name: array.ndim for name, array in state_dict(state.model).items()}
        scales = dict(state.scales)
        for what in ("gradient", "share", "decay"):
            factors = np.where(chosen, getattr(self, what), 1.0).astype(np.float32)
            for name, axis in slices.items() if (factors != 1).any() else ():
                shape = np.insert(np.ones(n_axes[name] - 1, int), axis, len(factors))
                key = f"{what}/{name}"
                scales[key] = scales.get(key, 1.0) * jnp.asarray(factors.reshape(shape))
        return moment.replace(state=state.replace(scales=scales))

    @staticmethod
    def on_gradient(gradient: Model, state: TrainState, noise: PRNGKeyArray) -> Model:
        scales = state.scales
        if not any(of.startswith(("gradient/", "share/")) for of in scales):
            return gradient
        drawn = jax.random.uniform(key_for("components", noise))

        def scaled(name: str, array: Array) -> Array:
            array = array * scales.get(f"gradient/{name}", 1.0)
            share = scales.get(f"share/{name}")
            return array if share is None else jnp.where(drawn < share, array, 0)

        return mapped(scaled, gradient)

    @staticmethod
    def on_decay(decay: Model, state: TrainState) -> Model:
        if not state.scales_decay:
            return decay
        return mapped(lambda name, a: a * state.scales.get(f"decay/{name}", 1.0), decay)
