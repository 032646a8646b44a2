"""Loss and accuracy on the training and on the validation side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from undergrowth.losses import cross_entropy
from undergrowth.measures.context import Context
from undergrowth.measures.correct import correct
from undergrowth.measures.reading import Measure, Observed, Reading, scalar
from undergrowth.models import Model
from undergrowth.models.micro_batches import micro_batched, rows_that_fit


class Curves(Measure):
    """train_loss, val_loss (exact cross-entropy in nats, whatever the training loss), train_accuracy,
    val_accuracy (in [0, 1]): means over each side.
    """

    name: Literal["curves"] = "curves"

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("train_loss", "val_loss", "train_accuracy", "val_accuracy")

    @property
    def names(self) -> tuple[str, ...]:
        return self.scalars

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        rows = data.inputs, data.labels, data.is_train, data.is_val
        at_once = rows_that_fit(model)
        if len(data.labels) <= at_once:
            values = _curves(model, *rows)
        else:
            values = _of_chunks(model, rows, at_once)
        return {name: scalar(value) for name, value in values.items()}


@eqx.filter_jit
def _curves(
    model: Model, inputs: Array, labels: Array, is_train: Array, is_val: Array
) -> dict[str, Array]:
    losses, correct = _losses(model, inputs, labels)
    curves = {}
    for side, mask in (("train", is_train), ("val", is_val)):
        curves[f"{side}_loss"] = jnp.sum(jnp.where(mask, losses, 0)) / jnp.sum(mask)
        curves[f"{side}_accuracy"] = jnp.sum(correct & mask) / jnp.sum(mask)
    return curves


def _of_chunks(model: Model, rows: Sequence[Array], at_once: int) -> dict[str, float]:
    """The same of more examples than there is room for at once: their means in float64."""
    inputs, labels, is_train, is_val = rows
    found = micro_batched(partial(eqx.filter_jit(_losses), model), (inputs, labels), at_once)
    curves = {}
    for side, mask in (("train", np.asarray(is_train)), ("val", np.asarray(is_val))):
        for name, values in zip(("loss", "accuracy"), found, strict=True):
            curves[f"{side}_{name}"] = float(values[mask].mean(dtype=np.float64))
    return curves


def _losses(
    model: Model, inputs: Array, labels: Array
) -> tuple[Float[Array, " example"], Bool[Array, " example"]]:
    """Of each example its loss, and whether its label has the largest logit."""
    logits = model(inputs)
    return cross_entropy(logits, labels), correct(logits, labels)
