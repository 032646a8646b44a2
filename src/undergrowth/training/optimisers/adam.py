"""Adam and AdamW: the same moments, with weight decay in the gradient or apart from it."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import optax
from jaxtyping import Array

from undergrowth.training.optimisers.optimiser import NonNegative, Optimiser, Positive, Rate


class AdamW(Optimiser):
    """Adam with decoupled decay (Loshchilov & Hutter 2019, arXiv:1711.05101) of every parameter.

    One update is -lr * (m / (sqrt(v) + eps) + weight_decay * (w - w_end)), with the bias-corrected
    moments m and v of the gradient: the pull of the decay is lr * weight_decay. It is towards
    w_end = 0 or, with `decay_to = "init"`, towards the initial weights (Power et al.
    2022, arXiv:2201.02177).
    """

    structural: ClassVar[tuple[str, ...]] = (*Optimiser.structural, "decay_to")

    name: Literal["adamw"] = "adamw"
    lr: Positive = 2e-3
    betas: tuple[Rate, Rate] = (0.9, 0.98)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 2.0
    decay_to: Literal["zero", "init"] = "zero"

    def rule(self) -> optax.GradientTransformation:
        """The optimiser itself, with traced hyper-parameters, at its full rate."""
        traced = {"eps": self.eps, "weight_decay": self.weight_decay}
        b1, b2 = self.betas
        if self.decay_to == "init":
            return optax.inject_hyperparams(_adamw_to_init)(self.lr, b1=b1, b2=b2, **traced)
        adamw = optax.inject_hyperparams(optax.adamw, static_args=("mu_dtype", "nesterov"))
        return adamw(self.lr, b1=b1, b2=b2, **traced)


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with (coupled) L2 decay, as in PyTorch's `Adam`.

    One update is -lr * m / (sqrt(v) + eps), with the bias-corrected moments m and v of
    gradient + weight_decay * w. The moments divide the decay by the gradient's size: it is not AdamW's,
    and its pull is not lr * weight_decay.
    """

    name: Literal["adam"] = "adam"
    lr: Positive = 1e-3
    betas: tuple[Rate, Rate] = (0.9, 0.98)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0

    def rule(self) -> optax.GradientTransformation:
        """The optimiser itself, with traced hyper-parameters, at its full rate."""
        b1, b2 = self.betas
        return optax.inject_hyperparams(_adam_with_l2)(
            self.lr, b1=b1, b2=b2, eps=self.eps, weight_decay=self.weight_decay
        )


class InitialWeights(NamedTuple):
    """The weights that training began with, which decay pulls back to."""

    initial: optax.Params


def _adam_with_l2(
    learning_rate: Array, b1: Array, b2: Array, eps: Array, weight_decay: Array
) -> optax.GradientTransformation:
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_adam(b1, b2, eps),
        optax.scale_by_learning_rate(learning_rate),
    )


def _adamw_to_init(
    learning_rate: Array, b1: Array, b2: Array, eps: Array, weight_decay: Array
) -> optax.GradientTransformation:
    return optax.chain(
        optax.scale_by_adam(b1, b2, eps),
        _add_distance_from_init(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def _add_distance_from_init(weight_decay: Array) -> optax.GradientTransformation:
    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        assert isinstance(state, InitialWeights)
        distance = optax.tree.sub(params, state.initial)
        return optax.tree.add_scale(updates, weight_decay, distance), state

    return optax.GradientTransformation(lambda params: InitialWeights(params), update)
