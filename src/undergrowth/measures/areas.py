"""Areas of the input table: parts of it that a piecewise algorithm would treat each by itself."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Int

from undergrowth.tasks import Operation, Task

AreaKind = Literal["xy_band", "sum_band", "block"]


def areas_of(
    task: Task, inputs: np.ndarray, kind: AreaKind, block: int = 8
) -> Int[np.ndarray, " example"]:
    """Which area of the p x p table each input (x, y) lies in, int32, counted from 0.

    `xy_band`: floor(x y / p), the strip on which xy mod p is the polynomial xy - mp; `sum_band`:
    floor((x + y) / p), 0 or 1; `block`: the table cut into squares of `block` x `block` cells, row by
    row (the last ones of a row or column are smaller where `block` does not divide p).

    Raises ValueError where the task has no table.

    >>> from undergrowth.tasks import Modular
    >>> areas_of(Modular(p=5), np.array([[1, 2], [3, 4]]), "xy_band").tolist()
    [0, 2]
    """
    if not isinstance(task, Operation):
        raise ValueError(f"areas are of a table, and {task.describe()} has none: take an Operation")
    p = task.n_operands
    x, y = np.asarray(inputs, np.int64).T
    if kind == "xy_band":
        area = x * y // p
    elif kind == "sum_band":
        area = (x + y) // p
    else:
        area = x // block * -(-p // block) + y // block
    return area.astype(np.int32)
