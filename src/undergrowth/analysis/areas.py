"""How far the area of the table decides what a network gets right, and which components carry it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import xarray as xr

from undergrowth.measures import areas_of, renamed_operands
from undergrowth.measures.areas import AreaKind
from undergrowth.store import Run

Score = Literal["correct", "margin"]
MIDWAY = (0.2, 0.8)
"""Validation accuracies between which a network is midway through grokking."""
N_RENAMINGS = 100


def share_between(values: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """The share of the variance over examples that lies between areas: eta squared, in [0, 1].

    values: [row, example]; areas: int [draw, example], from 0; returns [draw, row]. 1 where the area
    decides the value; NaN where all values are equal. Examples dealt out at random have
    (areas - 1) / (examples - 1) in mean.

    >>> share_between(np.array([[0, 0, 1, 1], [0, 1, 0, 1]]), np.array([[0, 0, 1, 1]])).tolist()
    [[1.0, 0.0]]
    """
    centred = np.asarray(values, np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    draws, n_areas = len(areas), int(areas.max()) + 1
    place = (areas + n_areas * np.arange(draws)[:, None]).ravel()
    sizes = np.bincount(place, minlength=draws * n_areas)
    between = []
    for row in centred:
        sums = np.bincount(place, weights=np.tile(row, draws), minlength=draws * n_areas)
        between.append((sums**2 / np.maximum(sizes, 1)).reshape(draws, n_areas).sum(axis=1))
    total = (centred**2).sum(axis=1)
    share = np.full((draws, len(centred)), np.nan)
    return np.divide(np.transpose(between), total, out=share, where=total > 1e-12)


@lru_cache(maxsize=4096)
def area_share(run: Run, kind: AreaKind, score: Score = "correct") -> xr.Dataset:
    """How far areas decide which validation cells of the stored maps are right, dim (step).

    `share`: see `share_between`; `chance`, `chance_sd`: its mean and standard deviation over
    `N_RENAMINGS` renamings of the operands; `beyond`: (share - chance) / (1 - chance), 0 by chance and
    1 where the area decides. Cells with an operand 0 are left out: a network answers them without
    computing, and they all lie in the first bands.
    """
    cells = validation_cells(run)
    maps = run[f"table_{score}"]
    values = maps.values[:, *cells.T]
    rng, n = np.random.default_rng(0), maps.sizes["x"]
    by_chance = [renamed_operands(cells, n, rng) for _ in range(N_RENAMINGS)]
    areas = np.stack([areas_of(run.spec.task, named, kind) for named in (cells, *by_chance)])
    share, *drawn = share_between(values, areas)
    chance, sd = np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1)
    found = {
        "share": share,
        "chance": chance,
        "chance_sd": sd,
        "beyond": (share - chance) / (1 - chance),
    }
    return xr.Dataset({name: ("step", v) for name, v in found.items()}, {"step": maps["step"].values})


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


def mean_midway(run: Run, reading: xr.DataArray) -> float:
    """The mean of a reading [step] over the steps midway; NaN where there is none."""
    found = reading.sel(step=midway(run, reading["step"].values)).values
    return float(np.mean(found)) if len(found) else float("nan")
