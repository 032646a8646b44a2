"""What trackers of experiments show of a run: curves of single numbers, and distributions over steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from undergrowth.exports.account import readings_of
from undergrowth.store import Run
from undergrowth.store.listing import Listed

if TYPE_CHECKING:
    import xarray as xr

MOST_CURVES = 16
"""Numbers of a reading at one step up to which each has a curve of its own."""


class Curve(NamedTuple):
    """A number over steps."""

    tag: str
    steps: np.ndarray
    values: np.ndarray


class Spread(NamedTuple):
    """Many numbers at each step, values [step, number]."""

    tag: str
    steps: np.ndarray
    values: np.ndarray


def shown(run: Run, readings: Sequence[str]) -> Iterator[Curve | Spread]:
    """A run's readings: one with axes as a curve for each number, or as a distribution where there are
    more than 16. The tag of a number says where on its axes it is, such as `group_accuracy/group=3`.
    """
    for array in readings_of(run, readings):
        name, steps = str(array.name), array["step"].values
        numbers = array.values.reshape(len(steps), -1)
        if array.ndim > 1 and numbers.shape[1] > MOST_CURVES:
            yield Spread(name, steps, numbers)
            continue
        for at, place in enumerate(np.ndindex(array.shape[1:])):
            yield Curve("/".join([name, *_where(array, place)]), steps, numbers[:, at])


def _where(array: xr.DataArray, place: tuple[int, ...]) -> list[str]:
    dims = map(str, array.dims[1:])
    return [f"{dim}={array[dim].values[at]}" for dim, at in zip(dims, place, strict=True)]


def group_of(row: Listed) -> str:
    """What runs that differ in their seeds alone share: the given name or the arm."""
    return ", ".join(row.called) or "runs"


def name_of(row: Listed) -> str:
    """A run's name in a list of runs: its group, its seed and the start of its id."""
    return f"{group_of(row)}, seed {row.seed}, {row.id[:8]}"


def as_file_name(text: str) -> str:
    """The text with only what every file system takes in a name.

    >>> as_file_name("lr x10 / decay")
    'lr x10 _ decay'
    """
    return re.sub(r"[^\w .,=+-]", "_", text).strip(". ") or "_"
