"""Optimisers as values. optax does the arithmetic; the hyper-parameters live in its traced state."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import jax.numpy as jnp
import optax
from pydantic import Field

from undergrowth.values import Value

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class Warmup(Value):
    """A linear rise of the learning rate over the first `warmup_steps` updates."""

    warmup_steps: int = Field(default=10, ge=0)

    def skeleton(self) -> Self:
        """This optimiser with every traced hyper-parameter at its default: what its step compiles to."""
        return type(self)(warmup_steps=self.warmup_steps)

    def _warmed(self, tx: optax.GradientTransformation) -> optax.GradientTransformation:
        if self.warmup_steps == 0:
            return tx
        rise = optax.scale_by_schedule(lambda step: jnp.minimum((step + 1) / self.warmup_steps, 1.0))
        return optax.chain(tx, rise)


class AdamW(Warmup):
    """Adam with decoupled decay (Loshchilov & Hutter 2019, arXiv:1711.05101) of every parameter.

    One update is -lr * (m / (sqrt(v) + eps) + weight_decay * w): the pull of the decay is
    lr * weight_decay.
    """

    name: Literal["adamw"] = "adamw"
    lr: Positive = 2e-3
    betas: tuple[Rate, Rate] = (0.9, 0.98)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 2.0

    def build(self) -> optax.GradientTransformation:
        """The optax transformation, with traced hyper-parameters."""
        adamw = optax.inject_hyperparams(optax.adamw, static_args=("mu_dtype", "nesterov"))
        b1, b2 = self.betas
        return self._warmed(adamw(self.lr, b1=b1, b2=b2, eps=self.eps, weight_decay=self.weight_decay))


class SGD(Warmup):
    """Gradient descent with heavy-ball momentum and (coupled) L2 decay, as in PyTorch.

    One update is -lr * buffer, where buffer = momentum * buffer + gradient + weight_decay * w.
    """

    name: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    momentum: Rate = 0.0
    weight_decay: NonNegative = 0.0

    def build(self) -> optax.GradientTransformation:
        """The optax transformation, with traced hyper-parameters."""
        return self._warmed(
            optax.inject_hyperparams(_sgd)(
                learning_rate=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
            )
        )


def _sgd(learning_rate: float, momentum: float, weight_decay: float) -> optax.GradientTransformation:
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.trace(decay=momentum),
        optax.scale_by_learning_rate(learning_rate),
    )


AnyOptimiser = Annotated[AdamW | SGD, Field(discriminator="name")]
