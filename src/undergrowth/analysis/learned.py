"""When each cell of the table was learned, read from the stored maps of a run; and area by area."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr


def first_learned(correct: xr.DataArray) -> xr.Dataset:
    """The steps at which cells were learned, from `table_correct`, dims (step, x, y).

    `first`: the first step of the map at which a cell was right; `stable`: the first from which on it
    was right at every one to the end. inf where that had not happened by the last step (censored, so
    medians are right as long as less than half is); NaN where there is no cell.
    """
    right = correct.values == 1
    steps = correct["step"].values
    later = np.append(steps, np.inf)
    first = np.where(right.any(axis=0), right.argmax(axis=0), len(steps))
    wrong = ~right[::-1]
    stable = np.where(wrong.any(axis=0), len(steps) - wrong.argmax(axis=0), 0)
    is_cell = ~np.isnan(correct.values[0])
    return xr.Dataset(
        {
            name: (("x", "y"), np.where(is_cell, later[index], np.nan))
            for name, index in (("first", first), ("stable", stable))
        }
    )


def learned_by_step(correct: xr.DataArray) -> np.ndarray:
    """The share of the cells that are right from a step of the map on, to the end: float64 [step]."""
    stable = first_learned(correct)["stable"].values
    stable = stable[~np.isnan(stable)]
    return (stable <= correct["step"].values[:, None]).mean(axis=1)


def learned_by_area(learned: xr.DataArray, area: np.ndarray) -> pd.DataFrame:
    """How soon each area was learned: a row an area, with columns n_cells, share, median.

    learned: `first` or `stable`; area: int [x, y], as `measures.areas_of` gives it for all cells; a
    cell without one is -1. share: of its cells that were ever learned; median: the step by which half
    of them were, inf where that did not happen.
    """
    steps, area = learned.values.ravel(), np.asarray(area).ravel()
    counts = ~np.isnan(steps) & (area >= 0)
    cells = pd.DataFrame({"area": area[counts], "step": steps[counts]}).groupby("area")["step"]
    return pd.DataFrame(
        {
            "n_cells": cells.size(),
            "share": cells.agg(lambda steps: np.isfinite(steps).mean()),
            "median": cells.agg(lambda steps: np.sort(steps)[(len(steps) - 1) // 2]),
        }
    )
