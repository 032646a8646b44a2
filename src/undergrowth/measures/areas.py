"""Areas of the input table: what is learned where, against chance, the swap, and cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from pydantic import Field

from undergrowth.gating.scores import centred_logit
from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.correct import correct
from undergrowth.measures.reading import SIDES, Measure, Observed, Reading, scalar
from undergrowth.models import Model
from undergrowth.models.micro_batches import micro_batched, rows_at_once
from undergrowth.models.room import CACHED
from undergrowth.schedules import Schedule
from undergrowth.tasks import CommutationSafe, Operation, Task
from undergrowth.tasks.swaps import swap_is_in_train

AreaKind = Literal["xy_band", "sum_band", "block"]
SCORED = ("accuracy", "centred_logit")
SPARSE = Schedule(every=100, until=100, per_decade=12)


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
    p = _with_table(task, "areas").n_operands
    x, y = np.asarray(inputs, np.int64).T
    if kind == "xy_band":
        area = x * y // p
    elif kind == "sum_band":
        area = (x + y) // p
    else:
        area = x // block * -(-p // block) + y // block
    return area.astype(np.int32)


def renamed_operands(inputs: np.ndarray, n_operands: int, rng: np.random.Generator) -> np.ndarray:
    """The inputs (x, y) with all operands but 0 renamed at random, int [example, 2].

    A network whose embeddings start at random knows no order of its operands. So areas of renamed
    inputs are the control for areas of the inputs: their shapes and sizes in the table are the same, and
    swaps, rows and columns stay together, but the numbers mean nothing.
    """
    names = np.append(0, 1 + rng.permutation(n_operands - 1))
    return names[np.asarray(inputs)]


class Areas(Measure):
    """Accuracy and centred logit in each area of the table, and whether areas differ by more than
    chance.

    kind, block: see `areas_of`. {prefix}_accuracy, {prefix}_centred_logit [side, area]: means over the
    area's examples of a side; NaN where it has none there. {prefix}_variance [side, score]: the variance
    between areas, sum_a (n_a / n) (mean_a - mean)^2; {prefix}_chance, {prefix}_chance_sd [side, score]:
    its mean and standard deviation over `draws` random assignments of the side's examples to areas of
    the same sizes.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "centred_logit",
        "variance",
        "chance",
        "chance_sd",
    )

    name: Literal["areas"] = "areas"
    prefix: str = Field(default="areas", pattern=r"^[a-z][a-z0-9_]*$")
    kind: AreaKind = "xy_band"
    block: int = Field(default=8, ge=1)
    draws: int = Field(default=32, ge=2)
    schedule: Schedule = SPARSE

    def check(self, run: MeasuredRun) -> None:
        _with_table(run.task, self.name)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        area = areas_of(at.spec.task, np.asarray(data.inputs), self.kind, self.block)
        n_areas, scores = int(area.max()) + 1, np.stack(_scored(model, data))
        means, variances = [], []
        for side in data.sides():
            here, of_side = area[side], scores[:, side]
            means.append(_means(of_side, here, n_areas))
            drawn = [at.rng.permutation(here) for _ in range(self.draws)]
            chance = np.stack([_between(of_side, areas, n_areas) for areas in drawn])
            observed = _between(of_side, here, n_areas)
            variances.append((observed, chance.mean(axis=0), chance.std(axis=0, ddof=1)))
        by_area = np.array(means, np.float32)  # [side, score, area]
        by_score = np.array(variances, np.float32)  # [side, of, score]
        sides, scored = {"side": SIDES}, {"side": SIDES, "score": SCORED}
        return {
            f"{self.prefix}_accuracy": Reading(("side", "area"), by_area[:, 0], sides),
            f"{self.prefix}_centred_logit": Reading(("side", "area"), by_area[:, 1], sides),
            f"{self.prefix}_variance": Reading(("side", "score"), by_score[:, 0], scored),
            f"{self.prefix}_chance": Reading(("side", "score"), by_score[:, 1], scored),
            f"{self.prefix}_chance_sd": Reading(("side", "score"), by_score[:, 2], scored),
        }


class Swaps(Measure):
    """Validation pairs (x, y) whose swap (y, x) is trained on with the same label, apart from the rest.

    swap_in_train_accuracy, swap_in_train_centred_logit: means over the former, which commutativity
    answers; unseen_accuracy, unseen_centred_logit: over the rest, which only the operation itself
    answers. A class without examples has no readings.
    """

    name: Literal["swaps"] = "swaps"
    schedule: Schedule = SPARSE

    @property
    def scalars(self) -> tuple[str, ...]:
        return tuple(f"{group}_{score}" for group in ("swap_in_train", "unseen") for score in SCORED)

    @property
    def names(self) -> tuple[str, ...]:
        return self.scalars

    def check(self, run: MeasuredRun) -> None:
        table = _with_table(run.task, self.name).table()
        if not (np.triu(table == table.T, 1) & (table >= 0)).any():
            raise ValueError(
                f"measure 'swaps': {run.task.describe()} commutes nowhere, so no swap has an equal "
                "label: take 'areas'"
            )
        if isinstance(run.split, CommutationSafe):
            raise ValueError(
                "measure 'swaps': split.name = 'commutation_safe' keeps each swap on the side of its "
                "pair: use split.name = 'leaky_random', or measure 'areas'"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        accuracy_and_centred_logit = _scored(model, data)
        is_train, is_val = data.sides()
        swapped = swap_is_in_train(np.asarray(data.inputs), np.asarray(data.labels), is_train)
        readings = {}
        for group, members in (("swap_in_train", is_val & swapped), ("unseen", is_val & ~swapped)):
            for score, values in zip(SCORED, accuracy_and_centred_logit, strict=True):
                if members.any():
                    readings[f"{group}_{score}"] = scalar(float(values[members].mean()))
        return readings


class TableMap(Measure):
    """The whole table, cell by cell: table_centred_logit, table_correct (1 or 0) [x, y].

    NaN where the operation is undefined. `analysis.first_learned` computes from the stored maps when
    each cell was learned.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "centred_logit",
        "correct",
    )

    name: Literal["table_map"] = "table_map"
    schedule: Schedule = SPARSE

    @property
    def key(self) -> str:
        return "table"

    def check(self, run: MeasuredRun) -> None:
        _with_table(run.task, self.name)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        n = _with_table(at.spec.task, self.name).n_operands
        x, y = np.asarray(data.inputs).T
        readings = {}
        for name, values in zip(("correct", "centred_logit"), _scored(model, data), strict=True):
            cells = np.full((n, n), np.nan, np.float32)
            cells[x, y] = values
            readings[f"table_{name}"] = Reading(("x", "y"), cells)
        return readings


def _with_table(task: Task, measure: str) -> Operation:
    if not isinstance(task, Operation):
        raise ValueError(
            f"measure {measure!r} needs a table of two operands, and {task.describe()} has none: take "
            "'curves'"
        )
    return task


def _scored(model: Model, data: Observed) -> tuple[np.ndarray, np.ndarray]:
    """Whether each example is right (1 or 0) and its centred logit, float64 [example]."""
    scored, n_labels = partial(_right_and_centred_logit, model), int(data.labels.max()) + 1
    at_once = max(1, min(rows_at_once(model), 4 * CACHED // n_labels))  # as the logits have it
    found = micro_batched(scored, (data.inputs, data.labels), at_once)
    right, centred_logits = (values.astype(np.float64) for values in found)
    return right, centred_logits


@eqx.filter_jit
def _right_and_centred_logit(
    model: Model, inputs: Array, labels: Int[Array, " example"]
) -> tuple[Bool[Array, " example"], Float[Array, " example"]]:
    logits = model(inputs)
    return correct(logits, labels), centred_logit(logits, labels)


def _means(
    scores: Float[np.ndarray, "score example"], area: np.ndarray, n_areas: int
) -> Float[np.ndarray, "score area"]:
    sizes = np.bincount(area, minlength=n_areas)
    sums = np.stack([np.bincount(area, values, n_areas) for values in scores])
    return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)


def _between(
    scores: Float[np.ndarray, "score example"], area: np.ndarray, n_areas: int
) -> Float[np.ndarray, " score"]:
    """The variance of the areas' means around the mean of all, areas weighted by their size."""
    deviation = _means(scores, area, n_areas)[:, area] - scores.mean(axis=1, keepdims=True)
    return (deviation**2).mean(axis=1)
