"""What interventions and measures know of a run's spec, which is made of them and comes after them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from undergrowth.losses import LossName
from undergrowth.models import AnyModel, Model
from undergrowth.rng import Seeds
from undergrowth.tasks import AnySplit, AnyTask, AnyWeights, Labels
from undergrowth.training.batches import AnyBatch
from undergrowth.training.optimisers import AnyOptimiser


@runtime_checkable
class Setup(Protocol):
    """A run as an action, a trigger or a measure may look at it; a `RunSpec` is one.

    The fields are those of `RunSpec`. scalars: names of its readings without axes, which a trigger can
    wait for; fork: None where it leaves no other run.
    """

    @property
    def task(self) -> AnyTask: ...
    @property
    def split(self) -> AnySplit: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def label_noise(self) -> float: ...
    @property
    def weights(self) -> AnyWeights: ...
    @property
    def model(self) -> AnyModel: ...
    @property
    def loss(self) -> LossName: ...
    @property
    def optimiser(self) -> AnyOptimiser: ...
    @property
    def batch(self) -> AnyBatch: ...
    @property
    def steps(self) -> int: ...
    @property
    def seeds(self) -> Seeds: ...
    @property
    def scalars(self) -> Collection[str]: ...
    @property
    def fork(self) -> object | None: ...

    def blank_model(self) -> Model:
        """The model's shape: its tree with shapes and types in the place of arrays."""
        ...
