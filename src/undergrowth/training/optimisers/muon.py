"""Muon: orthogonalised momentum for the hidden matrices, AdamW for everything else."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import KeyPath, keystr
from jaxtyping import Array
from optax.contrib import MuonDimensionNumbers, scale_by_muon
from pydantic import Field

from undergrowth.training.optimisers.optimiser import NonNegative, Optimiser, Positive, Rate

NOT_HIDDEN = frozenset({"W_E", "W_pos", "W_x", "W_y", "W_U"})
"""Fields that are embeddings and unembeddings: matrices, but not from hidden to hidden."""


class Muon(Optimiser):
    """Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for hidden matrices, else AdamW.

    A hidden matrix `W_...` [..., in, out], separately for each head, has the update
    -lr * (sqrt(max(1, out / in)) * O + weight_decay * W). With m = beta * m + (1 - beta) * g, O comes
    from M = m / (1 - beta^t), or with `nesterov` (and NAdam's corrections, Dozat 2016) from
    M = beta * m / (1 - beta^(t + 1)) + (1 - beta) * g / (1 - beta^t): X = M / (|M|_F + eps), then
    `ns_steps` times X = 3.4445 X - 4.7750 X X'X + 2.0315 (X X')^2 X. Five bring singular values from
    0.01 up to between 0.65 and 1.25, so O is near the closest orthogonal matrix to M.

    Embeddings and unembedding (`NOT_HIDDEN`), biases and norms (no `W_...`) have AdamW's update, with
    adam_lr, adam_betas, eps and adam_weight_decay. Changing the learning rate or the decay in
    mid-run changes both.
    """

    structural: ClassVar[tuple[str, ...]] = (*Optimiser.structural, "ns_steps", "nesterov")

    name: Literal["muon"] = "muon"
    lr: Positive = 0.02
    weight_decay: NonNegative = 0.2
    beta: Rate = 0.95
    ns_steps: int = Field(default=5, ge=1)
    nesterov: bool = True
    eps: Positive = 1e-8
    adam_lr: Positive = 2e-3
    adam_betas: tuple[Rate, Rate] = (0.9, 0.98)
    adam_weight_decay: NonNegative = 2.0

    def rule(self) -> optax.GradientTransformation:
        """The optimiser itself, with traced hyper-parameters, at its full rate."""
        b1, b2 = self.adam_betas
        return optax.inject_hyperparams(_muon, static_args=("ns_steps", "nesterov"))(
            learning_rate=self.lr,
            weight_decay=self.weight_decay,
            beta=self.beta,
            eps=self.eps,
            ns_steps=self.ns_steps,
            nesterov=self.nesterov,
            adam_learning_rate=self.adam_lr,
            adam_b1=b1,
            adam_b2=b2,
            adam_weight_decay=self.adam_weight_decay,
        )


def _muon(
    learning_rate: Array,
    weight_decay: Array,
    beta: Array,
    eps: Array,
    ns_steps: int,
    nesterov: bool,
    adam_learning_rate: Array,
    adam_b1: Array,
    adam_b2: Array,
    adam_weight_decay: Array,
) -> optax.GradientTransformation:
    """optax.contrib.muon would give the other parameters Nesterov's Adam, and share nothing else."""
    orthogonalised = scale_by_muon(
        ns_steps=ns_steps,
        beta=beta,
        eps=eps,
        nesterov=nesterov,
        weight_dimension_numbers=_matrix_axes,
    )
    hidden = optax.chain(
        orthogonalised,
        optax.stateless(lambda updates, _: jax.tree.map(_scaled_by_shape, updates)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    others = optax.adamw(adam_learning_rate, adam_b1, adam_b2, eps, weight_decay=adam_weight_decay)
    return optax.partition({"muon": hidden, "adamw": others}, _kinds)


def _kinds(params: optax.Params) -> Any:
    """Of each parameter, who updates it."""
    return jax.tree_util.tree_map_with_path(_kind, params)


def _kind(path: KeyPath, parameter: Array) -> Literal["muon", "adamw"]:
    field = keystr(path[-1:], simple=True)
    is_matrix = field.startswith("W_") and jnp.ndim(parameter) >= 2  # each head's bias is a row of b_Q
    return "muon" if is_matrix and field not in NOT_HIDDEN else "adamw"


def _matrix_axes(params: optax.Params) -> Any:
    return jax.tree.map(lambda _: MuonDimensionNumbers(reduction_axis=-2, output_axis=-1), params)


def _scaled_by_shape(update: Array) -> Array:
    n_in, n_out = update.shape[-2:]
    return max(1, n_out / n_in) ** 0.5 * update
