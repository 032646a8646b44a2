"""How the gradient, and the update that is made of it, lie to the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from undergrowth.measures.context import Context
from undergrowth.measures.reading import LossMeasure, Observed, Reading, scalar
from undergrowth.measures.training_loss import TrainingLoss, loss_and_gradient
from undergrowth.models import Model, state_dict
from undergrowth.schedules import Schedule

Arrays = Mapping[str, np.ndarray]


class Alignment(LossMeasure):
    r"""Cosines between the weights and what moves them, of all parameters together and of each.

    alignment_descent = cos(-grad L, theta), with L the loss of the whole training side: 1 where descent
    only scales the weights, the naive loss minimisation of Prieto et al. 2025 (arXiv:2501.04697).
    alignment_update = cos(D, theta) and alignment_decay = cos(D, W), where the next update is D + W (and
    what holds a norm): D what the gradient does through the optimiser, W the weight decay. -1 in the
    latter: the decay undoes what the gradient does. `Update` says how the parts are separated.

    Each in [-1, 1], also by parameter as {name}_parameter [parameter]; NaN where either vector is zero,
    such as the decay of a run without decay.
    """

    endings: ClassVar[tuple[str, ...]] = tuple(
        f"{of}{by}" for of in ("descent", "update", "decay") for by in ("", "_parameter")
    )

    name: Literal["alignment"] = "alignment"
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("alignment_descent", "alignment_update", "alignment_decay")

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        weights = model.network
        _, gradient = loss_and_gradient(TrainingLoss.of(model, data, at), weights)
        update = at.update()
        theta, rise, moved, decayed = map(state_dict, (weights, gradient, update.data, update.decay))
        descent = {name: -slope for name, slope in rise.items()}
        pairs = {"descent": (descent, theta), "update": (moved, theta), "decay": (moved, decayed)}
        readings = {}
        for name, (one, other) in pairs.items():
            readings |= _cosines(f"alignment_{name}", one, other)
        return readings


def _cosines(name: str, one: Arrays, other: Arrays) -> dict[str, Reading]:
    """The cosine of all arrays laid end to end, and of each."""
    dots, squares, other_squares = (
        np.array([np.vdot(np.float64(a[key]), np.float64(b[key])) for key in one])
        for a, b in ((one, other), (one, one), (other, other))
    )
    dots, squares, other_squares = (np.append(x, x.sum()) for x in (dots, squares, other_squares))
    lengths = np.sqrt(squares) * np.sqrt(other_squares)
    values = np.divide(dots, lengths, out=np.full_like(lengths, np.nan), where=lengths > 0)
    parameter = {"parameter": tuple(one)}
    return {
        name: scalar(values[-1]),
        f"{name}_parameter": Reading(("parameter",), values[:-1].astype(np.float32), parameter),
    }
