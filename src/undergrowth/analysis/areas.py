"""How far the area of the table decides what a network gets right, and which components carry it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int

from undergrowth.measures import areas_of, renamed_operands
from undergrowth.measures.areas import AreaKind
from undergrowth.store import Run
from undergrowth.tasks import Operation, Task

Score = Literal["correct", "centred_logit"]
MIDWAY = (0.2, 0.8)
"""Validation accuracies between which a network is midway through grokking."""
N_RENAMINGS, N_HALVINGS = 100, 20
SOME = 0.05
"""Share of the cells that must be right, and wrong, for areas to be compared outside of midway."""
N_GROUPS = 4
"""Groups of rows, and of columns, into which co-clustering parts the table."""

AreaTable = Int[np.ndarray, "x y"]
"""The area of each cell of the table, from 0."""


def held_out_share(
    values: Float[np.ndarray, "row example"],
    areas: Int[np.ndarray, "draw example"],
    half: Bool[np.ndarray, "draw example"],
) -> Float[np.ndarray, "draw row"]:
    """The variance between areas that both halves of the examples agree on, as a share of all variance.

    sum_a n_a d_a e_a / sum_a n_a over the variance of the values, where d_a and e_a are an area's mean
    in either half less the mean of that half, over the areas with examples in both. 1 where the area
    decides the value, up to how the halves happened to fall; in mean 0 where it says nothing, whatever
    the number of areas; NaN where all values are equal.
    """
    values = np.asarray(values, np.float64)
    draws, n_areas = len(areas), int(areas.max()) + 1
    place = ((2 * np.arange(draws)[:, None] + half) * n_areas + areas).ravel()
    shape = (draws, 2, n_areas)
    sizes = np.bincount(place, minlength=draws * 2 * n_areas).reshape(shape)
    weights = np.where((sizes > 0).all(axis=1), sizes.sum(axis=1), 0)
    share = np.full((draws, len(values)), np.nan)
    for i, row in enumerate(values):
        if np.ptp(row) < 1e-12:
            continue
        sums = np.bincount(place, np.tile(row, draws), draws * 2 * n_areas).reshape(shape)
        means = sums / np.maximum(sizes, 1) - (sums.sum(axis=2) / sizes.sum(axis=2))[..., None]
        agreed = (weights * means.prod(axis=1)).sum(axis=1)
        share[:, i] = agreed / np.maximum(weights.sum(axis=1), 1) / row.var()
    return share


def beyond_renamed(
    maps: xr.DataArray, cells: Int[np.ndarray, "cell 2"], area: AreaTable
) -> xr.DataArray:
    """`held_out_share` of some cells of maps [step, x, y], set so that 0 is chance, dim (step).

    Chance is the mean share of the same areas after `N_RENAMINGS` random renamings of the operands,
    which keeps what rows and columns have in common. (x, y) and (y, x) are in one half.
    """
    rng, n = np.random.default_rng(0), maps.sizes["x"]
    named = [cells] * N_HALVINGS + [renamed_operands(cells, n, rng) for _ in range(N_RENAMINGS)]
    areas = np.stack([area[*each.T] for each in named])
    _, pair = np.unique(np.sort(cells, axis=1) @ (n, 1), return_inverse=True)
    half = rng.random((len(areas), pair.max() + 1))[:, pair] < 0.5
    found = held_out_share(maps.values[:, *cells.T], areas, half)
    share, chance = found[:N_HALVINGS].mean(axis=0), found[N_HALVINGS:].mean(axis=0)
    return xr.DataArray((share - chance) / (1 - chance), {"step": maps["step"].values}, ("step",))


@lru_cache(maxsize=4096)
def area_share(run: Run, kind: AreaKind, score: Score = "correct") -> xr.DataArray:
    """How far areas decide which validation cells of the stored maps are right: `beyond_renamed`.

    Cells with an operand 0 are left out: a network answers them without computing, and they all lie in
    the first bands.
    """
    return beyond_renamed(run[f"table_{score}"], validation_cells(run), area_table(run.spec.task, kind))


def area_table(task: Task, kind: AreaKind) -> AreaTable:
    """The area of every cell of a task's table."""
    assert isinstance(task, Operation)
    n = task.n_operands
    return areas_of(task, np.argwhere(np.ones((n, n), bool)), kind).reshape(n, n)


def co_clustered(runs: Sequence[Run]) -> AreaTable | None:
    """Areas that are right at other times than the rest in these runs: spectral co-clusters of how often
    validation cells are right midway (Kluger et al. 2003), `N_GROUPS` of rows by as many of columns.

    None where no run has such a map. Operand 0 is in area 0, of which nothing is asked.
    """
    from sklearn.cluster import SpectralBiclustering
    from threadpoolctl import threadpool_limits

    n = runs[0]["table_correct"].sizes["x"]
    sums, counts = np.zeros((2, n, n))
    for run in runs:
        x, y = validation_cells(run).T
        maps = _midway(run, run["table_correct"]).values[:, x, y]
        if len(maps):
            sums[x, y] += maps.mean(axis=0)
            counts[x, y] += 1
    if not counts.any():
        return None
    mean = sums.sum() / counts.sum()
    often = np.where(counts > 0, sums / np.maximum(counts, 1), mean)[1:, 1:] + 0.05
    with threadpool_limits(1):  # a table is so small that threads only wait for one another
        found = SpectralBiclustering(N_GROUPS, random_state=0).fit(often)
    area = np.zeros((n, n), int)
    row, column = np.asarray(found.row_labels_), np.asarray(found.column_labels_)
    area[1:, 1:] = N_GROUPS * row[:, None] + column
    return area


def where_some_are_right(run: Run, share: xr.DataArray) -> xr.DataArray:
    """A share [step] of a run where it is no noise: some cells are right, and some are not."""
    right = run["table_correct"].values[:, *validation_cells(run).T].mean(axis=1)
    return share.where((right >= SOME) & (right <= 1 - SOME))


def accuracy_by_area(
    runs: Sequence[Run], kind: AreaKind, draw: int | None = None
) -> Float[np.ndarray, "step area"]:
    """The share of each area's validation cells that are right, mean over runs; NaN where it has none.

    draw: with the operands renamed at random, by that seed.
    """
    area, found = area_table(runs[0].spec.task, kind), []
    for run in runs:
        cells = validation_cells(run)
        renamed = (
            cells if draw is None else renamed_operands(cells, len(area), np.random.default_rng(draw))
        )
        member = area[*renamed.T][:, None] == np.arange(area.max() + 1)
        sums = _right(run) @ member.astype(float)
        found.append(np.where(member.any(axis=0), sums / np.maximum(member.sum(axis=0), 1), np.nan))
    known = np.isfinite(found).sum(axis=0)
    return np.where(known > 0, np.nansum(found, axis=0) / np.maximum(known, 1), np.nan)


@lru_cache(maxsize=64)
def _right(run: Run) -> Float[np.ndarray, "step cell"]:
    """Which of a run's `validation_cells` are right."""
    return run["table_correct"].values[:, *validation_cells(run).T].astype(float)


def renamed_accuracy(runs: Sequence[Run], kind: AreaKind) -> pd.DataFrame:
    """Accuracies of areas of renamed operands at each kept step: their median, and where 95 % lie.

    Columns accuracy, low, high; over areas and `N_RENAMINGS` renamings.
    """
    drawn = [accuracy_by_area(runs, kind, draw) for draw in range(N_RENAMINGS)]
    found = np.nanpercentile(drawn, [50, 2.5, 97.5], axis=(0, 2))
    return pd.DataFrame(found.T, columns=["accuracy", "low", "high"])


@lru_cache(maxsize=4096)
def validation_cells(run: Run) -> np.ndarray:
    """The validation inputs (x, y) of a run in which neither is 0, int [cell, 2]."""
    data = run.spec.data()
    return data.inputs[data.is_val & (data.inputs > 0).all(axis=1)]


def shared_carriers(run: Run, prefix: str, side: str) -> xr.DataArray:
    """The overlap of two examples' carriers beyond that of random sets, dims (step, pair).

    (overlap - null) / (1 - null): 0 for random sets of their sizes, 1 where one set lies in the other.
    """
    overlap, null = (run[f"{prefix}_{name}"].sel(side=side) for name in ("overlap", "overlap_null"))
    return (overlap - null) / (1 - null)


def separation(run: Run, prefix: str, side: str) -> xr.DataArray:
    """How much more carriers two examples of one area share than two of different ones, dim (step).

    Within minus across, minus the same with renamed operands, for near examples also share operands.
    """
    shared = shared_carriers(run, prefix, side)
    within, across, *renamed = (
        shared.sel(pair=pair, drop=True)
        for pair in ("within", "across", "within_renamed", "across_renamed")
    )
    return within - across - (renamed[0] - renamed[1])


def midway(run: Run, steps: np.ndarray) -> np.ndarray:
    """Those of the steps at which validation accuracy is within `MIDWAY`."""
    accuracy = run["val_accuracy"].dropna("step").sel(step=steps, method="nearest").values
    return steps[(accuracy >= MIDWAY[0]) & (accuracy <= MIDWAY[1])]


def median_passing(runs: Sequence[Run], level: float) -> float:
    """The median step at which validation accuracy first comes to a level, inf where it does not."""
    first = []
    for run in runs:
        curve = run["val_accuracy"].dropna("step")
        above = curve["step"].values[curve.values >= level]
        first.append(above[0] if len(above) else np.inf)
    return float(np.median(first))


def _midway(run: Run, reading: xr.DataArray) -> xr.DataArray:
    """A reading [step, ...] at the steps midway."""
    return reading.sel(step=midway(run, reading["step"].values))


def mean_midway(run: Run, reading: xr.DataArray) -> float:
    """The mean of a reading [step] over the steps midway; NaN where there is none."""
    found = _midway(run, reading).values
    return float(np.mean(found)) if len(found) else float("nan")


def share_midway(run: Run, area: AreaTable) -> float:
    """`beyond_renamed` of what is right midway, of areas found elsewhere; NaN with no midway."""
    maps = _midway(run, run["table_correct"])
    return float(beyond_renamed(maps, validation_cells(run), area).mean()) if len(maps) else float("nan")
