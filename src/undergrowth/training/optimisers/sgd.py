"""Gradient descent, and descent along the gradient's sign alone."""

from __future__ import annotations

from typing import ClassVar, Literal

import optax
from jaxtyping import Array

from undergrowth.training.optimisers.optimiser import NonNegative, Optimiser, Positive, Rate


class SGD(Optimiser):
    """Gradient descent with momentum and (coupled) L2 decay, as in PyTorch.

    One update is -lr * buffer, where buffer = momentum * buffer + g and g = gradient + weight_decay * w.
    With `nesterov` it is -lr * (g + momentum * buffer), after Sutskever et al. 2013.
    """

    structural: ClassVar[tuple[str, ...]] = (*Optimiser.structural, "nesterov")

    name: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    momentum: Rate = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0

    def rule(self) -> optax.GradientTransformation:
        """The optimiser itself, with traced hyper-parameters, at its full rate."""
        return optax.inject_hyperparams(_sgd)(
            learning_rate=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )


class SignSGD(Optimiser):
    """Steps of one size along the gradient's sign (Bernstein et al. 2018, arXiv:1802.04434).

    One update is -lr * (sign(gradient) + weight_decay * w), sign(0) = 0: Adam without memory, with
    decoupled decay whose pull is lr * weight_decay.
    """

    name: Literal["sign_sgd"] = "sign_sgd"
    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.0

    def rule(self) -> optax.GradientTransformation:
        """The optimiser itself, with traced hyper-parameters, at its full rate."""
        return optax.inject_hyperparams(_sign_sgd)(learning_rate=self.lr, weight_decay=self.weight_decay)


def _sgd(
    learning_rate: Array, momentum: Array, weight_decay: Array, nesterov: bool
) -> optax.GradientTransformation:
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.trace(decay=momentum, nesterov=nesterov),
        optax.scale_by_learning_rate(learning_rate),
    )


def _sign_sgd(learning_rate: Array, weight_decay: Array) -> optax.GradientTransformation:
    return optax.chain(
        optax.scale_by_sign(),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
