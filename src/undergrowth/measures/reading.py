"""What a measure returns: named arrays with named axes; and what it is given to look at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, get_args

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.models import Component, Inputs, Model
from undergrowth.schedules import Schedule
from undergrowth.tasks import Data
from undergrowth.training.objectives import OBJECTIVES
from undergrowth.values import Value

SIDES = ("train", "val")
COMPONENTS: tuple[Component, ...] = get_args(Component)
"""The axes that count a site's components; see `models.Site`."""
Coordinate = tuple[str, ...] | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """A named-axis array; a scalar has no axes.

    dims: axis names; values: array of as many axes; coords: labels of axes that are not 0, 1, 2, ...
    """

    dims: tuple[str, ...]
    values: np.ndarray
    coords: Mapping[str, Coordinate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.dims) != self.values.ndim:
            raise ValueError(f"axes {self.dims} do not fit an array of shape {self.values.shape}")

    def __repr__(self) -> str:
        if not self.dims:
            return f"Reading({self.values.item():.6g})"
        axes = [f"{dim}: {n}" for dim, n in zip(self.dims, self.values.shape, strict=True)]
        return f"Reading({', '.join(axes)}, {self.values.dtype})"


@dataclass(frozen=True, eq=False)
class Observed:
    """All examples of a run on the device, with the side that each is on (or on neither).

    weights: of mean 1 over the training side, where examples count or are drawn unequally (`Data`).
    """

    inputs: Inputs
    labels: Int[Array, " example"]
    is_train: Bool[Array, " example"]
    is_val: Bool[Array, " example"]
    weights: Float[Array, " example"]

    @classmethod
    def of(cls, data: Data) -> Observed:
        """Put a task's data on the device."""
        arrays = data.inputs, data.labels, data.is_train, data.is_val, data.weights
        return cls(*jax.device_put(arrays))

    def train_inputs(self) -> Inputs:
        """The inputs of the training side."""
        return self.inputs[np.asarray(self.is_train)]

    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """bool [example] for train and for val, in the order of `SIDES`."""
        return np.asarray(self.is_train), np.asarray(self.is_val)


class Measure(Value):
    """An observation of a model at scheduled steps. It never trains, plots, logs or stores.

    A final subclass is one measure: its parameters, its `key`, its `endings` and `observe`. Measuring
    leaves the model as it is and is a pure function of (model, data, context).

    endings: what follows the key in the names of its readings, "" where that is the key itself; empty
    where it does not say, as a measure of one's own may leave it.
    """

    endings: ClassVar[tuple[str, ...]] = ()

    schedule: Schedule = Schedule()

    @property
    def key(self) -> str:
        """How its readings' names begin: its prefix where it has one, else its name.

        Two measures of a run must differ in it.
        """
        fields = dict(self)
        return fields.get("prefix", fields["name"])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all readings that it may return, whatever the model; empty where it does not say.

        No two measures of a run may have one in common.
        """
        return tuple(f"{self.key}_{ending}" if ending else self.key for ending in self.endings)

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of its readings without axes: what a trigger can wait for."""
        return ()

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError, in one line, where it does not fit a run; it names the measure that does."""

    @abstractmethod
    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        """Readings of this model by name."""


class LossMeasure(Measure):
    """A measure of the losses of single examples, or of their mean, as the run trains on them."""

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the run's loss is none of single examples."""
        objective = OBJECTIVES[run.loss]
        if objective.of_example is None:
            raise ValueError(
                f"measure {self.key!r} needs losses of examples, but loss = {run.loss!r} is one of "
                f"{objective.unit}: remove the measure, or use another loss"
            )


def scalar(value: Array | float) -> Reading:
    """A reading without axes."""
    return Reading((), np.asarray(value, np.float32))


OF_THE_ENGINE = ("update_loss", "step", *COMPONENTS, "parameter")
"""Names that no measure may take: the loss of every update, and the axes of readings."""


def check_names(measures: Iterable[Measure]) -> None:
    """Raise ValueError, in one line, where a reading would have the name that is taken already."""
    taken = dict.fromkeys(OF_THE_ENGINE, "the laboratory itself")
    for measure in measures:
        for name in measure.names:
            if name in taken:
                raise ValueError(clash(measure, name, taken[name]))
        taken |= dict.fromkeys(measure.names, f"measure {measure.key!r}")


def clash(measure: Measure, name: str, owner: str) -> str:
    """What is wrong with a measure that reads `name`, which is its owner's, and what to do."""
    remedy = (
        "give it another prefix"
        if "prefix" in type(measure).model_fields
        else f"give it names of its own, such as {measure.key}_{name}"
        if not measure.names
        else "give the other another prefix"
    )
    return f"measure {measure.key!r} reads {name!r}, a name that {owner} has: {remedy}"
