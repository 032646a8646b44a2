"""Loss and accuracy on the training and on the validation side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from undergrowth.measures.context import Context
from undergrowth.measures.reading import Measure, Observed, Reading, scalar
from undergrowth.models import Model
from undergrowth.training.losses import cross_entropy


class Curves(Measure):
    """train_loss, val_loss (exact cross-entropy in nats, whatever loss is trained on), train_accuracy,
    val_accuracy (in [0, 1]): means over each side.
    """

    name: Literal["curves"] = "curves"

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("train_loss", "val_loss", "train_accuracy", "val_accuracy")

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        values = _curves(model, data.inputs, data.labels, data.is_train, data.is_val)
        return {name: scalar(value) for name, value in values.items()}


@eqx.filter_jit
def _curves(
    model: Model, inputs: Array, labels: Array, is_train: Array, is_val: Array
) -> dict[str, Array]:
    logits = model(inputs)
    losses = cross_entropy(logits, labels)
    correct = jnp.argmax(logits, axis=1) == labels
    curves = {}
    for side, mask in (("train", is_train), ("val", is_val)):
        curves[f"{side}_loss"] = jnp.sum(jnp.where(mask, losses, 0)) / jnp.sum(mask)
        curves[f"{side}_accuracy"] = jnp.sum(correct & mask) / jnp.sum(mask)
    return curves
