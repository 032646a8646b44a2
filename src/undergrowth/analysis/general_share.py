"""How much of the training centred logit comes from parts that serve unseen examples too."""

from __future__ import annotations

import numpy as np
import xarray as xr

from undergrowth.analysis.areas import MIDWAY
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES, events

LEAST_WAY = 0.2
"""A rise by less, in shares or accuracy, is none."""


def general_share(mean: xr.DataArray) -> xr.DataArray:
    """The share of the training centred logit that components carry for unseen examples as well, dim
    (step).

    mean: what each component adds to the mean centred logit of either side, dims (step, side,
    component), as `shapley` stores it. The general part of a component is what it adds on validation
    examples, at most what it adds on training ones, at least 0; those that lower the training centred
    logit do not count. 1 where unseen examples get as much from each, 0 where they get nothing; NaN
    where nothing is added.

    >>> added = [[[3.0, 1.0], [3.0, -1.0]]]
    >>> coords = {"step": [0], "side": ["train", "val"]}
    >>> general_share(xr.DataArray(added, coords, ("step", "side", "neuron"))).values.tolist()
    [0.75]
    """
    component = str(mean.dims[-1])
    train, val = (mean.sel(side=side, drop=True) for side in ("train", "val"))
    carried = train.clip(min=0)
    whole = carried.sum(component)
    general = xr.where(val < carried, val.clip(min=0), carried)
    return general.sum(component) / whole.where(whole > 0)


def least_of_both_midway(run: Run, share: xr.DataArray) -> float:
    """min(share, 1 - share) at each step midway, their mean; NaN where there is no such step.

    Midway: the run has memorised, and validation accuracy has gone a part of the way from chance to 1
    that lies within `MIDWAY`. 0 where one of the two has it all at every step, also if that changes
    from one step to the next.
    """
    memorised = events(run.curves, DEFAULT_RULES)["memorised"].first
    if memorised is None:
        return float("nan")
    accuracy = run["val_accuracy"].dropna("step").sel(step=share["step"].values, method="nearest")
    chance = 1 / run.spec.task.n_labels
    way = (accuracy.values - chance) / (1 - chance)
    is_midway = (way >= MIDWAY[0]) & (way <= MIDWAY[1]) & (share["step"].values >= memorised)
    found = share.where(share < 0.5, 1 - share).values[is_midway]
    return float(found.mean()) if len(found) else float("nan")


def wider_rise(run: Run, share: xr.DataArray) -> tuple[float, float] | None:
    """Bounds of log10(steps of the share's rise / steps of validation accuracy's), equal where known.

    Both at the share's steps from when the run had memorised, by `rise`. Where the
    accuracy alone rises, at most as wide; None where it does not, or the run never memorised.
    """
    memorised = events(run.curves, DEFAULT_RULES)["memorised"].first
    if memorised is None:
        return None
    share = share.dropna("step")
    steps = share["step"].values[share["step"].values >= memorised]
    accuracy = run["val_accuracy"].dropna("step").sel(step=steps, method="nearest").values
    mine, its = (
        rise(steps, values, least=LEAST_WAY) for values in (share.sel(step=steps).values, accuracy)
    )
    if its is None:
        return None
    if mine is None:
        return -np.inf, 0.0
    ratio = float(np.log10((mine[1] - mine[0]) / (its[1] - its[0])))
    return ratio, ratio


def rise(
    x: np.ndarray, y: np.ndarray, *, least: float, share: float = 0.1
) -> tuple[float, float] | None:
    """Where a curve has made a share of its way up, and where all but that share, between its points.

    The way is from its first value to its last; each place is the first crossing, on a straight line
    from point to point. None where the way is shorter than `least`.

    >>> rise(np.array([0.0, 10.0, 20.0]), np.array([0.0, 0.0, 1.0]), least=0.2)
    (11.0, 19.0)
    """
    if not len(x) or not y[-1] - y[0] >= least:
        return None
    start, end = (_first_crossing(x, y, y[0] + part * (y[-1] - y[0])) for part in (share, 1 - share))
    return start, end


def _first_crossing(x: np.ndarray, y: np.ndarray, level: float) -> float:
    at = int(np.argmax(y >= level))
    if at == 0:
        return float(x[0])
    return float(np.interp(level, y[at - 1 : at + 1], x[at - 1 : at + 1]))
