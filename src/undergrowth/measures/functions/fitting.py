"""The functions that fit a training side, and how often networks computed each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.reading import Measure, Observed, Reading, scalar
from undergrowth.models import Model
from undergrowth.schedules import Schedule

MOST_EXAMPLES = 1024


class Fits(NamedTuple):
    """Networks that answer all training examples rightly.

    network: which they are, counted from 0 in the order in which they were drawn; lead: by what label 1
    is ahead of label 0 on every example; updates: how many each took.
    """

    network: Int[np.ndarray, " fit"]
    lead: Float[np.ndarray, "fit example"]
    updates: Int[np.ndarray, " fit"]


class FittingFunctions(Measure):
    """What functions networks compute that fit the training side: a label for every example of the task.

    Read at step 0 alone, and of fresh networks, whatever the run's own has become. The task has two
    labels and at most 1,024 examples. A final subclass says which networks; what they are drawn from is
    the run's own initialisation.

    {key}_table [function, byte]: the labels of all examples in the order of the run's data, eight to a
    byte, the first the highest bit (`numpy.unpackbits`); the functions with most networks come first.
    {key}_count [half, function]: networks that computed it, of those drawn as 1st, 3rd, 5th ... and of
    the others. {key}_margin [function]: the least that the right label is ahead on a training example,
    as a share of the root mean square of the lead over all examples, mean over its networks; 0 for one
    that says 0 everywhere, which counts as label 0.
    {key}_tried: networks drawn; {key}_share: of those, the share that fitted.
    """

    endings: ClassVar[tuple[str, ...]] = ("table", "count", "margin", "tried", "share")

    n_networks: int = Field(default=10_000, ge=1, le=2**24)
    schedule: Schedule = Schedule(every=1, until=1, per_decade=1)

    @property
    def scalars(self) -> tuple[str, ...]:
        return (f"{self.key}_tried", f"{self.key}_share")

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where a run's examples do not make a function of two labels."""
        super().check(run)
        if run.task.n_labels != 2:
            raise ValueError(
                f"measure {self.key!r} counts functions of two labels, and {run.task.describe()} has "
                f"{run.task.n_labels}: use a task of two, such as {{ name = 'boolean_function' }}"
            )
        if (n := len(run.task.examples())) > MOST_EXAMPLES:
            raise ValueError(
                f"measure {self.key!r} takes the whole table of a function, at most {MOST_EXAMPLES} "
                f"examples, and {run.task.describe()} has {n}: use fewer bits"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        if at.step > 0:
            return {}
        fits = self.found(data, at)
        if not len(fits.network):
            raise ValueError(self.without_fit(int(np.asarray(data.is_train).sum())))
        return self.read(fits, data)

    def read(self, fits: Fits, data: Observed) -> Mapping[str, Reading]:
        """What is told of the networks that fit."""
        is_train, labels = np.asarray(data.is_train), np.asarray(data.labels)
        ahead = np.where(labels[is_train] == 1, 1, -1) * fits.lead[:, is_train]
        size = np.sqrt(np.mean(np.square(fits.lead, dtype=np.float64), axis=1))
        margin = ahead.min(axis=1) / np.where(size > 0, size, 1)
        return {
            **tallied(self.key, fits.lead > 0, margin, fits.network),
            f"{self.key}_tried": scalar(float(self.n_networks)),
            f"{self.key}_share": scalar(len(fits.network) / self.n_networks),
        }

    @abstractmethod
    def found(self, data: Observed, at: Context) -> Fits:
        """The networks that fit."""

    @abstractmethod
    def without_fit(self, n_train: int) -> str:
        """What is wrong where there is none, and what to change, in one line."""


def tallied(
    key: str,
    tables: Bool[np.ndarray, "fit example"],
    margins: Float[np.ndarray, " fit"],
    network: Int[np.ndarray, " fit"],
) -> dict[str, Reading]:
    """The readings `table`, `count` and `margin` of some networks."""
    packed, of = np.unique(np.packbits(tables, axis=1), axis=0, return_inverse=True)
    count = np.zeros((2, len(packed)))
    np.add.at(count, (network % 2, of), 1)
    total = count.sum(axis=0)
    margin = np.bincount(of, margins, len(packed)) / total
    order = np.argsort(-total, kind="stable")
    return {
        f"{key}_table": Reading(("function", "byte"), packed[order].astype(np.float32)),
        f"{key}_count": Reading(("half", "function"), count[:, order].astype(np.float32)),
        f"{key}_margin": Reading(("function",), margin[order].astype(np.float32)),
    }
