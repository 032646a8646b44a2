"""Predictions: of every example by itself, how far its label is ahead and how likely it is held."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from undergrowth.gating.scores import log_prob, margin
from undergrowth.measures.context import Context
from undergrowth.measures.reading import Measure, Observed, Reading
from undergrowth.models import Model
from undergrowth.models.micro_batches import micro_batched, rows_at_once
from undergrowth.schedules import Schedule


class Predictions(Measure):
    """{prefix}_margin [example]: the correct logit minus the largest of the others, above 0 where the
    prediction is right; {prefix}_log_prob [example]: the log-probability of the correct label in nats.

    Examples in the order of the run's data (`run.spec.data()`), those of both sides; the label is the
    one that is trained on.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "margin",
        "log_prob",
    )

    name: Literal["predictions"] = "predictions"
    prefix: str = Field(default="prediction", pattern=r"^[a-z][a-z0-9_]*$")
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        scored = partial(_margin_and_log_prob, model)
        found = micro_batched(scored, (data.inputs, data.labels), rows_at_once(model))
        return {
            f"{self.prefix}_{name}": Reading(("example",), np.asarray(values, np.float32))
            for name, values in zip(("margin", "log_prob"), found, strict=True)
        }


@eqx.filter_jit
def _margin_and_log_prob(
    model: Model, inputs: Array, labels: Int[Array, " example"]
) -> tuple[Float[Array, " example"], Float[Array, " example"]]:
    logits = model(inputs)
    return margin(logits, labels), log_prob(logits, labels)
