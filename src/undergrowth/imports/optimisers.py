"""PyTorch's optimisers' states: hyper-parameters, and moments by the names of the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.foreign import number


@dataclass(frozen=True, eq=False)
class TorchAdam:
    """The state of an Adam or AdamW: moments by the file's names of the parameters, and the fields of
    the optimiser.
    """

    means: Mapping[str, np.ndarray]
    squares: Mapping[str, np.ndarray]
    count: int
    fields: Mapping[str, Any]


def torch_adam(state: Any, parameters: Mapping[str, np.ndarray]) -> TorchAdam:
    """The state dict of a PyTorch AdamW over the parameters, which it numbers in their order.

    Raises ForeignFileError where it is of another optimiser, or not of these parameters.
    """
    try:
        groups, by_number = state["param_groups"], state["state"]
        order = [number for group in groups for number in group["params"]]
        mine = [by_number[number] for number in order]
        means, squares = ([np.asarray(one[key]) for one in mine] for key in ("exp_avg", "exp_avg_sq"))
        counts = {number(one["step"]) for one in mine}
    except (KeyError, TypeError, ValueError) as error:
        raise ForeignFileError(
            f"the optimiser's state lacks {str(error)[:40]}: only that of Adam and AdamW goes on"
        ) from None
    shapes = [array.shape for array in parameters.values()]
    if [a.shape for a in means] != shapes or [a.shape for a in squares] != shapes or len(counts) != 1:
        raise ForeignFileError(
            "the optimiser's state is not of these parameters: import the weights alone"
        )
    if any(group.get("amsgrad") or group.get("maximize") for group in groups) or not _alike(groups):
        raise ForeignFileError(
            "the optimiser is an amsgrad, or differs between parameters: it cannot go on"
        )
    (count,) = counts
    return TorchAdam(
        dict(zip(parameters, means, strict=True)),
        dict(zip(parameters, squares, strict=True)),
        int(count or 0),
        adamw_fields(groups[0]),
    )


def adamw_fields(told: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of our AdamW in the words of PyTorch; those that are not told are left out."""
    numbers = {key: number(told.get(key)) for key in ("lr", "eps", "weight_decay")}
    found: dict[str, Any] = {key: value for key, value in numbers.items() if value is not None}
    betas = told.get("betas")
    if isinstance(betas, list | tuple) and len(betas) == 2:
        found["betas"] = tuple(float(beta) for beta in betas)
    return {"name": "adamw", "warmup_steps": 0, **found}


def _alike(groups: Sequence[Mapping[str, Any]]) -> bool:
    told = [adamw_fields(group) for group in groups]
    return all(each == told[0] for each in told)
