"""Norms of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from undergrowth.measures.context import Context
from undergrowth.measures.reading import Measure, Observed, Reading, scalar
from undergrowth.models import Model, state_dict


class Norms(Measure):
    """weight_norm: L2 norm of all parameters; parameter_norm [parameter]: of each by its name."""

    name: Literal["norms"] = "norms"

    @property
    def key(self) -> str:
        return "norms"

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("weight_norm",)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        norms = {name: float(np.linalg.norm(w)) for name, w in state_dict(model).items()}
        values = np.array(list(norms.values()), np.float32)
        return {
            "weight_norm": scalar(float(np.linalg.norm(values))),
            "parameter_norm": Reading(("parameter",), values, {"parameter": tuple(norms)}),
        }
