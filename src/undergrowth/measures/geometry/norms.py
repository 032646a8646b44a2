"""Norms of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from undergrowth.gating.attribution import site_of
from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.reading import Measure, Observed, Reading, scalar
from undergrowth.models import Component, Model, state_dict
from undergrowth.schedules import Schedule


class Norms(Measure):
    """weight_norm: L2 norm of all parameters; parameter_norm [parameter]: of each by its name."""

    name: Literal["norms"] = "norms"

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("weight_norm",)

    @property
    def names(self) -> tuple[str, ...]:
        return ("weight_norm", "parameter_norm")

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        norms = {name: float(np.linalg.norm(w)) for name, w in state_dict(model.network).items()}
        values = np.array(list(norms.values()), np.float32)
        return {
            "weight_norm": scalar(float(np.linalg.norm(values))),
            "parameter_norm": Reading(("parameter",), values, {"parameter": tuple(norms)}),
        }


class ComponentNorms(Measure):
    """{prefix} [parameter, component]: L2 norm of each component's slice of each parameter it has a
    slice of, those that it reads with and those that it writes with (`Model.slices`).

    A neuron's are its column of W_in, its bias and its row of W_out; a head's are W_Q, W_K, W_V, W_O.
    layer: counted from 0, or from the end with -1, among the layers that have such components.
    """

    endings: ClassVar[tuple[str, ...]] = ("",)

    name: Literal["component_norms"] = "component_norms"
    prefix: str = Field(default="component_norm", pattern=r"^[a-z][a-z0-9_]*$")
    component: Component = "neuron"
    layer: int = -1
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the run's model has no such components, or none in such a layer."""
        try:
            site_of(run.blank_model(), self.component, self.layer)
        except ValueError as error:
            raise ValueError(f"measure {self.key!r}: {error}") from None

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        weights = state_dict(model.network)
        axes = model.slices(site_of(model, self.component, self.layer))
        norms = [_along(weights[name], axis) for name, axis in axes.items()]
        dims = ("parameter", self.component)
        return {self.prefix: Reading(dims, np.stack(norms), {"parameter": tuple(axes)})}


def _along(array: np.ndarray, axis: int) -> np.ndarray:
    """The L2 norm of every slice along an axis."""
    return np.linalg.norm(np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1), axis=1)
