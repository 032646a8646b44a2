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

    A hidden matrix W [..., in, out] (each head's by itself) has the update
    -lr * (sqrt(max(1, out / in)) * O + weight_decay * W). O is the bias-corrected momentum
    m = beta * m + (1 - beta) * g (with `nesterov` a look-ahead, beta * m + (1 - beta) * g once more),
    divided by its Frobenius norm + eps and brought near the closest orthogonal matrix by `ns_steps`
    Newton-Schulz steps: its singular values come to lie between about 0.7 and 1.2.

    Embeddings, the unembedding, biases and norms (`NOT_HIDDEN`, and fewer than two axes) have AdamW's
    update with adam_lr, adam_betas, eps and adam_weight_decay. Both learning rates and both decays are
    traced; an intervention on the one is on the other too.
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
    return "adamw" if field in NOT_HIDDEN or jnp.ndim(parameter) < 2 else "muon"


def _matrix_axes(params: optax.Params) -> Any:
    return jax.tree.map(lambda _: MuonDimensionNumbers(reduction_axis=-2, output_axis=-1), params)


def _scaled_by_shape(update: Array) -> Array:
    n_in, n_out = update.shape[-2:]
    return max(1, n_out / n_in) ** 0.5 * update
