"""Gradient filters: what is done to a gradient before any optimiser's rule sees it."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array
from pydantic import Field

from undergrowth.values import Value

PARALLEL = 1e-6
"""The share of a float32 gradient that rounding leaves where its projection should leave nothing."""


class NoFilter(Value):
    """The gradient as it is."""

    name: Literal["none"] = "none"

    def build(self) -> optax.GradientTransformation:
        """The identity."""
        return optax.identity()

    def skeleton(self) -> NoFilter:
        """This filter: it has nothing to trace."""
        return self


class GrokfastEMA(Value):
    """Amplifies the slow part of the gradient (Grokfast-EMA, Lee et al. 2024, arXiv:2405.20233).

    ema = alpha * ema + (1 - alpha) * g, starting at the first gradient, and g + lamb * ema replaces the
    gradient. A constant gradient comes out 1 + lamb times as large.
    """

    name: Literal["grokfast_ema"] = "grokfast_ema"
    alpha: float = Field(default=0.98, ge=0, lt=1)
    lamb: float = Field(default=2.0, ge=0)

    def build(self) -> optax.GradientTransformation:
        """The transformation, with alpha and lamb traced."""
        return optax.inject_hyperparams(_grokfast_ema)(alpha=self.alpha, lamb=self.lamb)

    def skeleton(self) -> GrokfastEMA:
        """This filter with traced hyper-parameters at their defaults."""
        return GrokfastEMA()


class OrthogonalGradient(Value):
    """Takes the part along the weights out of the gradient (Prieto et al. 2025, arXiv:2501.04697).

    For each array, g - (w.g / w.w) w, scaled back to the norm of g, replaces the gradient: it can
    no longer grow the logits by growing the weights. Where w is zero the gradient stays as it is; where
    it is parallel to w, to a share of 1e-6, nothing is left of it (else rounding would be scaled up).
    """

    name: Literal["orthogonal_gradient"] = "orthogonal_gradient"

    def build(self) -> optax.GradientTransformation:
        """The transformation, which has no state."""
        return optax.stateless(lambda g, w: jax.tree.map(_orthogonal, g, w))

    def skeleton(self) -> OrthogonalGradient:
        """This filter: it has nothing to trace."""
        return self


AnyFilter = Annotated[NoFilter | GrokfastEMA | OrthogonalGradient, Field(discriminator="name")]


class SlowGradient(NamedTuple):
    """What Grokfast-EMA remembers: how many gradients it has seen, and their moving average."""

    seen: ArrayLike
    ema: optax.Updates


def _grokfast_ema(alpha: ArrayLike, lamb: ArrayLike) -> optax.GradientTransformation:
    def init(params: optax.Params) -> SlowGradient:
        return SlowGradient(jnp.zeros([], jnp.int32), optax.tree.zeros_like(params))

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, SlowGradient]:
        assert isinstance(state, SlowGradient)
        memory = jnp.where(state.seen == 0, 0, alpha)
        ema = optax.tree.update_moment(updates, state.ema, memory, 1)
        amplified = optax.tree.add_scale(updates, lamb, ema)
        return amplified, SlowGradient(optax.safe_increment(state.seen), ema)

    return optax.GradientTransformation(init, update)


def _orthogonal(g: Array, w: Array) -> Array:
    largest = jnp.max(jnp.abs(g), initial=0)
    unit = g / jnp.where(largest > 0, largest, 1)  # the squares of small gradients would be zero
    ww = jnp.vdot(w, w)
    rest = unit - jnp.vdot(w, unit) / jnp.where(ww > 0, ww, 1) * w
    norm, left = jnp.linalg.norm(unit), jnp.linalg.norm(rest)
    is_left = left > PARALLEL * norm
    return jnp.where(is_left, rest * (norm / jnp.where(is_left, left, 1)) * largest, 0)
