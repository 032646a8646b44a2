"""The learning rate over the steps: a linear warm-up, then constant or annealed."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from pydantic import Field

from undergrowth.values import Value


class Constant(Value):
    """The full rate to the end."""

    name: Literal["constant"] = "constant"

    def multiplier(self, t: ArrayLike) -> ArrayLike:
        """1, whatever the number of updates t since the warm-up."""
        return 1.0


class Cosine(Value):
    """Half a cosine from the full rate down to `final` times it over `steps` updates, constant after.

    After t updates past the warm-up the rate is multiplied by
    final + (1 - final) (1 + cos(pi min(t / steps, 1))) / 2. Power et al.'s code (openai/grok) takes
    final = 0.1 and 100,000 steps.
    """

    name: Literal["cosine"] = "cosine"
    steps: int = Field(default=100_000, ge=1)
    final: float = Field(default=0.1, ge=0, le=1)

    def multiplier(self, t: ArrayLike) -> ArrayLike:
        """In [final, 1], for the number of updates t since the warm-up, none or fewer being none."""
        return optax.cosine_decay_schedule(1.0, self.steps, alpha=self.final)(jnp.maximum(t, 0))


AnyAnnealing = Annotated[Constant | Cosine, Field(discriminator="name")]


def scale_by_rate(warmup_steps: int, annealing: AnyAnnealing) -> optax.GradientTransformation:
    """Multiplies the t-th update, t = 1, 2, ..., by min(t / warmup_steps, 1) and by the annealing."""
    if warmup_steps == 0 and isinstance(annealing, Constant):
        return optax.identity()

    return optax.scale_by_schedule(
        partial(multiplier_at, warmup_steps=warmup_steps, annealing=annealing)
    )


def multiplier_at(step: ArrayLike, *, warmup_steps: int, annealing: AnyAnnealing) -> ArrayLike:
    """What warm-up and annealing multiply the update after `step` updates by, in [0, 1]."""
    done = jnp.asarray(step) + 1
    rise = jnp.minimum(done / warmup_steps, 1.0) if warmup_steps else 1.0
    return rise * annealing.multiplier(done - warmup_steps)
