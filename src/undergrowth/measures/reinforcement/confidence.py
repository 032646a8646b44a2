"""Confidence: how sure the model is of each correct label, and who still pushes once it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from undergrowth.losses import LossName, cross_entropy
from undergrowth.measures.context import Context
from undergrowth.measures.reading import SIDES, LossMeasure, Observed, Reading, scalar
from undergrowth.measures.reinforcement.entries import effective_examples, ratio
from undergrowth.measures.reinforcement.example_gradients import (
    Chunk,
    example_gradients,
    in_chunks,
    slices,
)
from undergrowth.measures.reinforcement.gradient_groups import WHOLE, groupings
from undergrowth.measures.training_loss import TrainingLoss, loss_and_gradient
from undergrowth.models import Model
from undergrowth.schedules import Schedule
from undergrowth.training.optimisers.adam import InitialWeights
from undergrowth.training.optimisers.state import hyperparams

EDGES = np.arange(-38, 0.1, 0.25)
"""Of the bins of log10(1 - p): from the least that float32 holds to p = 0."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEVELS = (0.5, 0.9, 0.95, 0.99, 0.999)
TOP = (0.01, 0.1, 0.5)


class Confidence(LossMeasure):
    r"""The probability of each correct label, and the gradient that remains, against weight decay.

    p is the softmax probability of the correct label at the run's temperature. 1 - p = -expm1(-l) with l
    the exact cross-entropy, so it is exact however close p is to 1. {prefix}_error_probability [side,
    quantile]: quantiles over examples of log10(1 - p). {prefix}_histogram [side, bin]: the share of the
    examples in bins of log10(1 - p) of width 0.25, `bin` their lower edges (values below -38 are in the
    first). {prefix}_above [side, level]: the share of the examples with p > level.

    g_i is the gradient of example i's own loss with respect to all weights.
    {prefix}_effective_examples_{side}: (sum |g_i|)^2 / sum |g_i|^2, how many examples still push;
    {prefix}_top [side, share]: the part of sum |g_i| due to the top `share` of the examples (rounded up
    to whole examples).

    With L the training loss over the training side, {prefix}_gradient_norm = |grad L|;
    {prefix}_pull_norm = |weight_decay (w - w_end)|, the optimiser's own (for Muon that of its hidden
    matrices, taken for all); {prefix}_pull_cosine = cos(grad L, w - w_end): -1 where descent and decay
    oppose each other, 0 without decay. For the next update, {prefix}_data_norm and {prefix}_decay_norm
    (see `Update`; their cosine is `alignment_decay`).
    """

    endings: ClassVar[tuple[str, ...]] = (
        *("error_probability", "histogram", "above", "top"),
        *(
            "effective_examples_train",
            "effective_examples_val",
            "gradient_norm",
            "pull_norm",
            "pull_cosine",
        ),
        *("data_norm", "decay_norm"),
    )

    name: Literal["confidence"] = "confidence"
    prefix: str = Field(default="confidence", pattern=r"^[a-z][a-z0-9_]*$")
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    @property
    def scalars(self) -> tuple[str, ...]:
        of_sides = (f"effective_examples_{side}" for side in SIDES)
        of_pulls = ("gradient_norm", "pull_norm", "pull_cosine", "data_norm", "decay_norm")
        return tuple(f"{self.prefix}_{name}" for name in (*of_sides, *of_pulls))

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        of_all = confidence(
            model, data, loss=at.spec.loss, temperature=float(at.state.knobs["temperature"])
        )
        by_side = [Certainty(*(values[side] for values in of_all)) for side in data.sides()]
        readings = {**_of_probabilities(by_side), **_of_norms(by_side), **_of_pulls(model, data, at)}
        return {f"{self.prefix}_{name}": reading for name, reading in readings.items()}


class Certainty(NamedTuple):
    """Of each example log10(1 - p) of its correct label, and the norm of its loss's gradient."""

    error_probability: Float[np.ndarray, " example"]
    gradient_norm: Float[np.ndarray, " example"]


def confidence(
    model: Model, data: Observed, *, loss: LossName = "cross_entropy", temperature: float = 1.0
) -> Certainty:
    """How sure the model is of each example's label, and how much that example still pushes.

    Float64; the error_probability is -inf where 1 - p is below the least number of float32, 1e-38.
    """
    found = []
    for chunk in in_chunks(data, np.arange(len(data.labels))):
        of_chunk = _certainty(model, chunk, jnp.asarray(temperature), loss)
        found.append([np.asarray(values, np.float64) for values in of_chunk])
    in_nats, unit, norm = (np.concatenate(each)[: len(data.labels)] for each in zip(*found, strict=True))
    with np.errstate(divide="ignore"):
        return Certainty(np.log10(-np.expm1(-in_nats)), unit * norm)


@eqx.filter_jit
def _certainty(
    model: Model, chunk: Chunk, temperature: Array, loss: LossName
) -> tuple[Array, Array, Array]:
    """Of each example the cross-entropy, the unit of its gradient and the norm of that in the unit."""
    gradients = example_gradients(model, chunk.inputs, chunk.labels, loss, temperature)
    squares = {each: gradients.factors(each).squares() for each in slices(model)}
    norm = jnp.sqrt(groupings(model, {})[WHOLE].summed(squares))[:, 0]
    in_nats = cross_entropy(model(chunk.inputs) / temperature, chunk.labels)
    return in_nats, gradients.unit, norm


def _of_probabilities(by_side: list[Certainty]) -> dict[str, Reading]:
    error_probabilities = [np.maximum(side.error_probability, EDGES[0]) for side in by_side]
    shares = [
        np.histogram(error_probability, [*EDGES[:-1], np.inf])[0] / len(error_probability)
        for error_probability in error_probabilities
    ]
    values = {
        "error_probability": (
            "quantile",
            QUANTILES,
            [np.quantile(error_probability, QUANTILES) for error_probability in error_probabilities],
        ),
        "histogram": ("bin", EDGES[:-1], shares),
        "above": (
            "level",
            LEVELS,
            [[_share_above(level, d) for level in LEVELS] for d in error_probabilities],
        ),
    }
    return {name: _by_side(axis, labels, of) for name, (axis, labels, of) in values.items()}


def _share_above(level: float, error_probability: np.ndarray) -> float:
    return float(np.mean(error_probability < np.log10(1 - level)))


def _of_norms(by_side: list[Certainty]) -> dict[str, Reading]:
    norms = [side.gradient_norm for side in by_side]
    top = [[_held_by_top(share, norm) for share in TOP] for norm in norms]
    of_sides = {
        f"effective_examples_{side}": scalar(float(effective_examples(norm[:, None])[0]))
        for side, norm in zip(SIDES, norms, strict=True)
    }
    return {"top": _by_side("share", TOP, top), **of_sides}


def _held_by_top(share: float, norm: np.ndarray) -> float:
    k = int(np.ceil(share * len(norm)))
    return float(ratio(np.sort(norm)[::-1][:k].sum(), norm.sum()))


def _of_pulls(model: Model, data: Observed, at: Context) -> dict[str, Reading]:
    weights, update = model.network, at.update()
    _, gradient = loss_and_gradient(TrainingLoss.of(model, data, at), weights)
    pull = _pull(weights, at.state.opt_state)
    slope, pulled, moved, decayed = (_flat(tree) for tree in (gradient, pull, update.data, update.decay))
    lengths = float(np.linalg.norm(slope) * np.linalg.norm(pulled))
    values = {
        "gradient_norm": np.linalg.norm(slope),
        "pull_norm": np.linalg.norm(pulled),
        "pull_cosine": ratio(slope @ pulled, lengths),
        "data_norm": np.linalg.norm(moved),
        "decay_norm": np.linalg.norm(decayed),
    }
    return {name: scalar(float(value)) for name, value in values.items()}


def _pull(weights: Model, opt_state: Any) -> Model:
    """weight_decay times the way from where the weights are pulled to, as the optimiser has it now."""
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, InitialWeights))
    ends = [node.initial for node in nodes if isinstance(node, InitialWeights)]
    rate = hyperparams(opt_state)["weight_decay"]
    end = ends[0] if ends else jax.tree.map(jnp.zeros_like, weights)
    return jax.tree.map(lambda w, w_end: rate * (w - w_end), weights, end)


def _flat(tree: Model) -> Float[np.ndarray, " weight"]:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def _by_side(axis: str, labels: Any, values: Any) -> Reading:
    coords = {"side": SIDES, axis: tuple(f"{label:g}" for label in labels)}
    return Reading(("side", axis), np.asarray(values, np.float32), coords)
