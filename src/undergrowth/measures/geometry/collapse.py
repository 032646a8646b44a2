"""What rounding would leave of the textbook cross-entropy in float32, and the drift that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from undergrowth.losses import cross_entropy, cross_entropy_float32
from undergrowth.measures.context import Context
from undergrowth.measures.reading import SIDES, Measure, Observed, Reading, scalar
from undergrowth.measures.training_loss import chunked
from undergrowth.models import Inputs, Model
from undergrowth.schedules import Schedule

QUANTILES = (5, 25, 50, 75, 95)


class Collapse(Measure):
    r"""Softmax collapse (Prieto et al. 2025, arXiv:2501.04697; Liu et al. 2026, arXiv:2605.06152).

    Computed from the logits over the run's temperature, whatever the training loss. By side, means over
    examples: collapse_share [side]: the share whose correct-class gradient p_y - 1 is exactly 0 in
    float32, as it is once the correct logit leads by 16.6 nats. collapse_margin [side, percentile]:
    percentiles over examples of the largest logit minus the second, in nats. collapse_zero_sum [side]:
    sum_i |sum_j g_ij| / sum_ij |g_ij| of the float32 gradient g = p - one-hot: 0 where it adds up to 0
    over labels, as it should, and 1 where only the wrong labels have any. collapse_loss [side, form]:
    the `exact` loss and the `float32` one.

    What the broken sum causes to drift: collapse_weight_norm: L2 norm of W_G, the mean over labels of
    their columns of W_U; collapse_feature_norm: of mu_G, the mean over the training side of what W_U
    reads; collapse_cosine: of the two, NaN where one of them is 0.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "cosine",
        "feature_norm",
        "loss",
        "margin",
        "share",
        "weight_norm",
        "zero_sum",
    )

    name: Literal["collapse"] = "collapse"
    schedule: Schedule = Schedule(every=100, until=100, per_decade=24)

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("collapse_weight_norm", "collapse_feature_norm", "collapse_cosine")

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        found = _by_example(model, data.inputs, data.labels, at.state.knobs["temperature"])
        by_example = {name: np.asarray(values, np.float64) for name, values in found.items()}

        def means(name: str) -> np.ndarray:
            return np.array([by_example[name][side].mean() for side in data.sides()])

        margins = [np.percentile(by_example["margin"][side], QUANTILES) for side in data.sides()]
        losses, sizes = np.stack([means("exact"), means("float32")], axis=1), means("size")
        zero_sum = np.divide(means("sum"), sizes, out=np.zeros(2), where=sizes > 0)
        of_side = {"side": SIDES}
        return {
            "collapse_share": _reading(("side",), means("is_collapsed"), of_side),
            "collapse_margin": _reading(
                ("side", "percentile"), np.stack(margins), {**of_side, "percentile": QUANTILES}
            ),
            "collapse_zero_sum": _reading(("side",), zero_sum, of_side),
            "collapse_loss": _reading(
                ("side", "form"), losses, {**of_side, "form": ("exact", "float32")}
            ),
            **self._drifting(model, data),
        }

    def _drifting(self, model: Model, data: Observed) -> dict[str, Reading]:
        W_G = np.asarray(model.unembedding).mean(axis=1, dtype=np.float64)
        mu_G = np.asarray(_mean_feature(model, data.train_inputs()), np.float64)
        weight_norm, feature_norm = np.linalg.norm(W_G), np.linalg.norm(mu_G)
        lengths = weight_norm * feature_norm
        return {
            "collapse_weight_norm": scalar(float(weight_norm)),
            "collapse_feature_norm": scalar(float(feature_norm)),
            "collapse_cosine": scalar(float(W_G @ mu_G / lengths) if lengths > 0 else np.nan),
        }


def rounded(
    logits: Float[Array, "example label"], labels: Int[Array, " example"]
) -> dict[str, Float[Array, " example"]]:
    """Of each example: whether the textbook gradient p - one-hot is 0 at its label in float32; the
    absolute sum of that gradient over labels, and the sum of its absolute values; the margin of the
    largest logit over the second; the exact loss and the textbook one.
    """
    is_label = labels[:, None] == jnp.arange(logits.shape[1])
    gradient = jax.nn.softmax(logits, axis=1) - is_label
    of_label = jnp.sum(jnp.where(is_label, gradient, 0), axis=1)
    of_others = jnp.sum(jnp.where(is_label, 0, gradient), axis=1)
    largest, second = jax.lax.top_k(logits, 2)[0].T
    return {
        "is_collapsed": (of_label == 0).astype(jnp.float32),
        "sum": jnp.abs(of_others + of_label),
        "size": jnp.sum(jnp.abs(gradient), axis=1),
        "margin": largest - second,
        "exact": cross_entropy(logits, labels),
        "float32": cross_entropy_float32(logits, labels),
    }


@eqx.filter_jit
def _by_example(
    model: Model, inputs: Inputs, labels: Array, temperature: Array
) -> dict[str, Float[Array, " example"]]:
    def of_chunk(chunk: tuple[Array, Array]) -> dict[str, Array]:
        return rounded(model(chunk[0]) / temperature, chunk[1])

    by_chunk = jax.lax.map(of_chunk, (chunked(inputs), chunked(labels)))
    return {name: values.reshape(-1)[: len(labels)] for name, values in by_chunk.items()}


@eqx.filter_jit
def _mean_feature(model: Model, inputs: Inputs) -> Float[Array, " feature"]:
    """The mean over examples of what W_U multiplies: the slope of a label's mean logit by its column."""

    def summed_logit(weights: Model, inputs: Array, counts: Array) -> Array:
        return jnp.sum(counts * model.with_network(weights)(inputs)[:, 0])

    def slope(chunk: tuple[Array, Array]) -> Array:
        return jax.grad(summed_logit)(model.network, *chunk).unembedding[:, 0]

    chunks = chunked(inputs)
    counts = jnp.arange(chunks.shape[0] * chunks.shape[1]).reshape(chunks.shape[:2]) < len(inputs)
    return jnp.sum(jax.lax.map(slope, (chunks, counts)), axis=0) / len(inputs)


def _reading(dims: tuple[str, ...], values: np.ndarray, coords: Mapping[str, Any]) -> Reading:
    return Reading(dims, values.astype(np.float32), coords)
