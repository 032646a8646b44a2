"""Curves of many runs as columns of one file, and back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # curves are read without JAX
    import xarray as xr

    from undergrowth.store import Run

SIDES_OF_RUNS = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")
"""The readings that every published run has."""


def as_columns(runs: Sequence[Run], names: Sequence[str], most_steps: int | None) -> bytes:
    """Curves of runs below one another in one compressed .npz: `run` (its place), `step`, and a column
    for each reading, NaN where a run has none at that step.

    most_steps: of each run so many steps at most, evenly spread over the logarithm, its first and its
    last among them; None for all.
    """
    place, step, columns = [], [], {name: [] for name in names}
    for i, run in enumerate(runs):
        curves = run.curves
        kept = _spread(curves["step"].values, most_steps)
        place.append(np.full(len(kept), i, np.uint16))
        step.append(curves["step"].values[kept].astype(np.uint32))
        for name in names:
            values = curves[name].values[kept] if name in curves else np.full(len(kept), np.nan)
            columns[name].append(values.astype(np.float32))
    out = io.BytesIO()
    together: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
    np.savez_compressed(out, run=np.concatenate(place), step=np.concatenate(step), **together)
    return out.getvalue()


def _spread(steps: np.ndarray, most: int | None) -> np.ndarray:
    """The places of at most so many steps, evenly spread over log(1 + step)."""
    if most is None or len(steps) <= most:
        return np.arange(len(steps))
    wanted = np.linspace(np.log1p(steps[0]), np.log1p(steps[-1]), most)
    return np.unique(np.clip(np.searchsorted(np.log1p(steps), wanted - 1e-9), 0, len(steps) - 1))


def columns_of(data: bytes) -> dict[str, np.ndarray]:
    """The columns by name."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def from_columns(data: bytes) -> list[xr.Dataset]:
    """The curves of each run, dim (step), in the order in which they were written."""
    import xarray as xr

    columns = columns_of(data)
    place, step = columns.pop("run"), columns.pop("step").astype(np.int64)
    bounds = np.searchsorted(place, np.arange(int(place[-1]) + 2)) if len(place) else [0]
    found = []
    for first, end in pairwise(bounds):
        its = {name: values[first:end] for name, values in columns.items()}
        had = {n: ("step", v) for n, v in its.items() if not np.isnan(v).all()}
        found.append(xr.Dataset(had, {"step": step[first:end]}))
    return found


def readings_of(runs: Iterable[Run]) -> list[str]:
    """The names of all curves of some runs: what every run has first, the others by the alphabet."""
    names = {str(name) for run in runs for name in run.curves.data_vars}
    return [*(n for n in SIDES_OF_RUNS if n in names), *sorted(names - set(SIDES_OF_RUNS))]
