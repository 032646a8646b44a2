"""What a measure may know beside the model and the data: where the run stands, and what it does next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from undergrowth.models import Model
from undergrowth.training.objectives import IntervenedRun
from undergrowth.training.state import TrainState


@runtime_checkable
class MeasuredRun(IntervenedRun, Protocol):
    """A run as a measure may look at it; a `RunSpec` is one."""

    @property
    def temperature(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Update:
    """One update in its parts, of which the weights after it are those before plus the sum.

    data, decay, clamp: what the gradient does (through the optimiser and its memory), what weight decay
    does, and what holding a norm does; each a model with changes in the place of its arrays. Decay is
    what setting weight_decay to 0 for this one update would take away: under AdamW and Muon the pull
    itself, under Adam and SGD the effect of the term in the gradient.
    batch: the examples that the gradient is of, by position among all; weights: by what each one's loss
    is multiplied in the loss that is differentiated, in sum 1 where all weigh alike.
    """

    data: Model
    decay: Model
    clamp: Model
    batch: Int[np.ndarray, " batch"]
    weights: Float[np.ndarray, " batch"]


@dataclass(frozen=True, eq=False)
class Context:
    """A step of a run as a measure sees it: after `step` updates, before the interventions there.

    rng: the chance of this step, drawn anew for each measure; state: optimiser, knobs and gates as they
    stand; update: computes the update that the run would make from here, once however often asked (at
    the last step too, which makes none). gradient: computes the gradient that this update follows, noise
    included, as the optimiser is handed it.
    """

    step: int
    rng: np.random.Generator
    spec: MeasuredRun
    state: TrainState
    update: Callable[[], Update]
    gradient: Callable[[], Model]
