"""Changing the weights themselves: their norm, once or from here on, or a kick at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from undergrowth.models import Model, mapped, parameter_names, state_dict
from undergrowth.training.interventions.action import Action
from undergrowth.training.optimisers import Positive
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, TrainState, matches


class OfParameters(Action):
    """An action on the parameters whose names fit a pattern, such as `*`, `blocks.*` or `*.W_U`."""

    parameters: str

    def check(self, run: Setup, place: str) -> None:
        if self.parameters == "*":
            return
        names = parameter_names(run.blank_model())
        if not any(matches(name, self.parameters) for name in names):
            raise ValueError(
                f"{place}.parameters = {self.parameters!r} matches no parameter of the model: "
                f"use '*', or a pattern that matches one of {', '.join(names)}"
            )


class RescaleNorm(OfParameters):
    """Multiplies the chosen weights by one number, once."""

    name: Literal["rescale_norm"] = "rescale_norm"
    parameters: str = "*"
    factor: Positive

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        return _changed(moment, self.parameters, lambda name, array: self.factor * array)


class Kick(OfParameters):
    """Moves the chosen weights by a random vector of a given norm, once.

    Its direction is uniform over the sphere (a normal draw, scaled). `relative`: the norm is a share of
    the present norm of those weights. The matched control of any change whose norm is known.
    """

    name: Literal["kick"] = "kick"
    parameters: str = "*"
    norm: Positive
    relative: bool = False

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        chosen = {n: a for n, a in state_dict(moment.state.model).items() if matches(n, self.parameters)}
        push = {name: rng.standard_normal(array.shape) for name, array in chosen.items()}
        length = self.norm * (norm(chosen) if self.relative else 1.0) / norm(push)
        return _changed(
            moment,
            self.parameters,
            lambda name, array: array + jnp.asarray(length * push[name], array.dtype),
        )


class ClampNorm(Action):
    """From here on the norm of all weights is held, after every update, by scaling them all.

    norm: the norm held; relative: as a share of the present norm. hold = "at": kept equal to it;
    "below": scaled down only if it is greater (Liu et al. 2023, Omnigrok, arXiv:2210.01117).
    """

    name: Literal["clamp_norm"] = "clamp_norm"
    norm: Positive = 1.0
    relative: bool = True
    hold: Literal["at", "below"] = "at"

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        present = norm(state_dict(moment.state.model)) if self.relative else 1.0
        state = moment.state.with_knobs(clamp_norm=self.norm * present, clamp_at=self.hold == "at")
        return moment.replace(state=state)

    @staticmethod
    def on_weights(model: Model, state: TrainState) -> Model:
        knobs = state.knobs
        if "clamp_norm" not in knobs:
            return model
        present = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(model)))
        factor = knobs["clamp_norm"] / present
        factor = jnp.where(knobs["clamp_at"] > 0, factor, jnp.minimum(factor, 1))
        return jax.tree.map(lambda leaf: factor * leaf, model)


def norm(arrays: Mapping[str, np.ndarray]) -> float:
    """The L2 norm of all numbers of some arrays together."""
    return float(np.sqrt(sum(np.sum(np.square(a, dtype=np.float64)) for a in arrays.values())))


def _changed(moment: Moment, pattern: str, change: Callable[[str, Array], Array]) -> Moment:
    def one(name: str, array: Array) -> Array:
        return change(name, array) if matches(name, pattern) else array

    return moment.replace(state=moment.state.replace(model=mapped(one, moment.state.model)))
