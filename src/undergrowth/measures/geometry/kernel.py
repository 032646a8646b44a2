"""The empirical neural tangent kernel: how it lies to the labels, and how many directions it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int
from pydantic import Field

from undergrowth.measures.context import Context
from undergrowth.measures.reading import SIDES, Measure, Observed, Reading
from undergrowth.models import Inputs, Model
from undergrowth.schedules import Schedule

NUMBERS_AT_ONCE = 2**26
"""Numbers of a block of Jacobian rows, of which two are held at a time: 256 MiB each."""

ROWS_AT_ONCE = 8
"""Examples whose rows are computed together: more are no faster on a CPU."""


class Kernel(Measure):
    r"""The neural tangent kernel of `n_examples` examples of each side, drawn anew at every step.

    K_ij = mean over r of <d f_r(x_i)/d theta, d f_r(x_j)/d theta>, where f_r is a random projection of
    the logits, their sum with random signs, drawn `n_projections` times: on average over signs it is the
    trace over labels of the full kernel. With Y the one-hot labels minus their mean over these examples,
    and C = I - 1/m:

    kernel_alignment [side]: tr(Y'KY) / (|K| |YY'|), in [0, 1], |.| being Frobenius norms: y'Ky / (|K|
    |y|^2) of Kumar et al. 2023 (arXiv:2310.06110), for many labels. kernel_centred_alignment [side]:
    the same for CKC, which a constant added to the kernel does not change (Cortes et al. 2012).
    kernel_effective_rank [side]: (sum of eigenvalues)^2 / sum of their squares, in [1, m].
    kernel_mean [side]: mean of K_ii, the squared norm of an example's Jacobian row.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "alignment",
        "centred_alignment",
        "effective_rank",
        "mean",
    )

    name: Literal["kernel"] = "kernel"
    n_examples: int = Field(default=256, ge=2)
    n_projections: int = Field(default=4, ge=1)
    schedule: Schedule = Schedule(every=100, until=100, per_decade=6)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        n_labels = jax.eval_shape(model, data.inputs[:1]).shape[1]
        signs = at.rng.choice(np.array([-1, 1], np.float32), (self.n_projections, n_labels))
        by_side = []
        for side in data.sides():
            m = min(self.n_examples, int(side.sum()))
            chosen = at.rng.choice(np.flatnonzero(side), m, replace=False)
            inputs, labels = data.inputs[chosen], np.asarray(data.labels)[chosen]
            by_side.append(statistics(tangent_kernel(model, inputs, signs), labels))
        return {
            f"kernel_{name}": Reading(
                ("side",), np.array([found[name] for found in by_side], np.float32), {"side": SIDES}
            )
            for name in by_side[0]
        }


def tangent_kernel(
    model: Model, inputs: Inputs, projections: Float[np.ndarray, "projection label"]
) -> Float[np.ndarray, "example example"]:
    """<d f(x_i)/d theta, d f(x_j)/d theta>, a mean over the projections f of the logits, in float64.

    Memory: two blocks of Jacobian rows, however many examples there are.
    """
    n, n_weights = len(inputs), sum(leaf.size for leaf in jax.tree.leaves(model.network))
    rows = max(1, min(n, NUMBERS_AT_ONCE // n_weights))
    blocks = [slice(start, start + rows) for start in range(0, n, rows)]
    found = np.zeros((n, n))
    for projection in jnp.asarray(projections):
        for i, one in enumerate(blocks):
            rows_of_one = _jacobian(model, inputs[one], projection)
            found[one, one] += _products(rows_of_one, rows_of_one)
            for other in blocks[:i]:
                products = _products(rows_of_one, _jacobian(model, inputs[other], projection))
                found[one, other] += products
                found[other, one] += products.T
    return found / len(projections)


def statistics(K: np.ndarray, labels: Int[np.ndarray, " example"]) -> dict[str, float]:
    """What `Kernel` reads off a kernel and the labels of its examples."""
    one_hot = (labels[:, None] == np.unique(labels)).astype(np.float64)
    Y = one_hot - one_hot.mean(axis=0)
    along, of_labels = np.sum((K @ Y) * Y), np.linalg.norm(Y @ Y.T)
    centred = K - K.mean(axis=0) - K.mean(axis=1, keepdims=True) + K.mean()

    def share(norm: float) -> float:
        return along / (norm * of_labels) if norm * of_labels > 0 else np.nan

    whole = float(np.linalg.norm(K))
    return {
        "alignment": share(whole),
        "centred_alignment": share(float(np.linalg.norm(centred))),
        "effective_rank": (np.trace(K) / whole) ** 2 if whole > 0 else np.nan,
        "mean": float(np.trace(K)) / len(K),
    }


@eqx.filter_jit
def _jacobian(
    model: Model, inputs: Inputs, projection: Float[Array, " label"]
) -> Float[Array, "example weight"]:
    """Of each example by itself: the slopes of its projected logits by all weights, laid end to end.

    In the textbook's way, since an example by itself shares its prefixes with none.
    """
    weights = model.network

    def projected(weights: Model, one: Array) -> Array:
        return model.with_network(weights).plain(one[None])[0] @ projection

    def row(one: Array) -> Array:
        return ravel_pytree(jax.grad(projected)(weights, one))[0]

    return jax.lax.map(row, inputs, batch_size=ROWS_AT_ONCE)


@jax.jit
def _products(
    rows: Float[Array, "example weight"], others: Float[Array, "other weight"]
) -> Float[Array, "example other"]:
    return jnp.einsum("iw,jw->ij", rows, others)
