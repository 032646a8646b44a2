"""What a run trains on, put on the device, and the batches and updates that come of it."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from undergrowth.engine.step import STRETCH, gradient_followed, update_in_parts
from undergrowth.measures import Observed, Update
from undergrowth.models import Model
from undergrowth.precision import products_in
from undergrowth.spec import RunSpec
from undergrowth.training.objectives import OBJECTIVES, TrainSet
from undergrowth.training.state import Regime, TrainState


@dataclass(frozen=True, eq=False)
class TrainingSide:
    """A regime of a run on the device.

    observed: all examples, for measures; train_set: the training side, for steps; drawn_by: the weights
    by which its examples are drawn, where they are.
    """

    spec: RunSpec
    regime: Regime
    observed: Observed
    train_set: TrainSet
    drawn_by: np.ndarray | None

    @classmethod
    def of(cls, spec: RunSpec, regime: Regime) -> TrainingSide:
        """Put what is trained on there."""
        data, by = regime.data, getattr(spec.weights, "by", None)
        side = np.flatnonzero(data.is_train)
        weights = data.weights[side]
        inputs, labels, of_loss = jax.device_put(
            (data.inputs[side], data.labels[side], weights if by == "loss" else None)
        )
        world = OBJECTIVES[spec.loss].world(spec.task, data.is_train)
        noise_seed = jax.device_put(np.uint32(spec.seeds.noise))
        asks = any(intervention.action.takes_examples for intervention in spec.interventions)
        place = jax.device_put(side.astype(np.int32)) if asks else None
        train_set = TrainSet(inputs, labels, of_loss, noise_seed, jax.device_put(world), place)
        drawn_by = weights if by == "sampling" else None
        return cls(spec, regime, Observed.of(data), train_set, drawn_by)

    def batches(self, start: int, until: int) -> np.ndarray | None:
        """The batches of a stretch, filled up to the longest stretch so that it compiles once."""
        n_train, seed = len(self.train_set.labels), self.spec.seeds.noise
        batches = self.regime.batch.indices(n_train, seed, start, until - start, self.drawn_by)
        return None if batches is None else np.pad(batches, [(0, STRETCH - len(batches)), (0, 0)])

    def update(self, state: TrainState, step: int) -> Update:
        """The update that is made from a state at a step, in its parts."""
        batches = self.batches(step, step + 1)
        chosen = self._chosen(batches)
        how = {"optimiser": self.spec.optimiser.skeleton(), "loss": self.spec.loss}
        with products_in(self.spec.precision):
            parts = update_in_parts(state, chosen, step, **how)
        side = np.flatnonzero(self.regime.data.is_train)
        batch = side if batches is None else side[batches[0]]
        of_mean_one = np.ones(len(batch)) if chosen.weights is None else np.asarray(chosen.weights)
        there = np.ones(len(batch), bool) if batches is None else batches[0] >= 0
        data, decay, clamp = parts
        return Update(data, decay, clamp, batch[there], of_mean_one[there] / len(batch))

    def gradient(self, state: TrainState, step: int) -> Model:
        """The gradient that the update from a state at a step follows."""
        with products_in(self.spec.precision):
            chosen = self._chosen(self.batches(step, step + 1))
            return gradient_followed(state, chosen, step, loss=self.spec.loss)

    def _chosen(self, batches: np.ndarray | None) -> TrainSet:
        """The examples of the first batch of a stretch."""
        if batches is None:
            return self.train_set
        return self.train_set.of(jax.device_put(batches[0]), has_gaps=self.regime.batch.has_gaps)
