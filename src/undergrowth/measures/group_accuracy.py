"""Accuracy by group: how many examples of each of the task's groups a network gets right."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Int
from pydantic import Field

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.correct import correct
from undergrowth.measures.reading import SIDES, Measure, Observed, Reading
from undergrowth.models import Model
from undergrowth.models.micro_batches import micro_batched, rows_at_once
from undergrowth.schedules import Schedule


class GroupAccuracy(Measure):
    """{prefix}_train, {prefix}_val [group]: accuracy on each side over the examples of each group, in
    [0, 1]; NaN where a group has none on that side.

    Groups are those of the task (`Task.groups`): subtasks of `multitask_parity`, goals of a gridworld,
    blocks of a text.
    """

    endings: ClassVar[tuple[str, ...]] = SIDES

    name: Literal["group_accuracy"] = "group_accuracy"
    prefix: str = Field(default="group_accuracy", pattern=r"^[a-z][a-z0-9_]*$")
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the task has no groups."""
        groups = run.task.groups()
        if len(np.unique(groups)) == len(groups):
            raise ValueError(
                f"measure {self.key!r}: {run.task.describe()} has no groups of examples: use a task "
                "that has, such as multitask_parity, or predictions, which is of every example by itself"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        is_right = micro_batched(
            partial(_is_right, model), (data.inputs, data.labels), rows_at_once(model)
        )
        groups = at.spec.task.groups()
        counted = partial(np.bincount, groups, minlength=groups.max() + 1)
        readings = {}
        for side, mask in zip(SIDES, data.sides(), strict=True):
            with np.errstate(invalid="ignore"):
                share = counted(is_right & mask) / counted(mask)
            readings[f"{self.prefix}_{side}"] = Reading(("group",), share.astype(np.float32))
        return readings


@eqx.filter_jit
def _is_right(model: Model, inputs: Array, labels: Int[Array, " example"]) -> Bool[Array, " example"]:
    return correct(model(inputs), labels)
