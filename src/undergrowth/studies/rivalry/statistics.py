"""Who won: what a general circuit gained beside the look-ups of the same examples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import xarray as xr

from undergrowth.analysis.rivals import exponent
from undergrowth.store import Run
from undergrowth.studies.endpoint import Endpoint, Measured, aggregate, values_of
from undergrowth.studies.rivalry.theory import planted, rivals_of
from undergrowth.studies.statistic import Missing, Statistic, points, times_predicted, unit
from undergrowth.studies.table import Table

NO_STRENGTHS = Missing("has no strengths")
NOTHING_GAINED = Missing("the look-ups gained nothing, so there is no ratio")


def strengths(run: Run) -> xr.DataArray | None:
    """Of every block at every step, dims (step, block); None where they were not measured."""
    if "strength" not in run.names:
        return None
    return run["strength"].sel(parameter="strength")


def ratio_over_steps(run: Run) -> xr.DataArray | None:
    """General to shallow: of gains, or of strengths under decay; the shallow one is the mean over the
    look-ups of training examples.
    """
    found = strengths(run)
    if found is None:
        return None
    trained = np.flatnonzero(run.spec.data().is_train)
    s, v = found.isel(block=-1), found.isel(block=trained).mean("block")
    ratio = rivals_of(run.spec).ratio(s.values.astype(float), v.values.astype(float))
    return xr.DataArray(ratio, {"step": found["step"]}, ("step",))


def ratio(run: Run) -> float | Missing:
    """At the last step."""
    found = ratio_over_steps(run)
    if found is None:
        return NO_STRENGTHS
    last = float(found[-1])
    return last if np.isfinite(last) and last > 0 else NOTHING_GAINED


def share(run: Run) -> float | Missing:
    """The general circuit's part of what both gained, in [0, 1]."""
    found = ratio(run)
    return found if isinstance(found, Missing) else found / (1 + found)


def of_share(of: Callable[[float], float]) -> Callable[[Run], float | Missing]:
    """A function of the share."""

    def value(run: Run) -> float | Missing:
        found = share(run)
        return found if isinstance(found, Missing) else of(found)

    return value


def difference_of_shares(run: Run, control: Run) -> float | Missing:
    """What the control's general circuit has more: what was done to this one took that away."""
    mine, its = share(run), share(control)
    if isinstance(mine, Missing):
        return mine
    return its if isinstance(its, Missing) else its - mine


def observed_exponent(run: Run) -> float | Missing:
    """The slope of log gain on log count of the training examples that a strip serves."""
    found = strengths(run)
    if found is None:
        return NO_STRENGTHS
    data, model = run.spec.data(), planted(run.spec)
    served = np.array([data.is_train[list(cells)].sum() for cells in model.circuits.cells])
    gained = (found[-1] - found[0]).values
    has = (served > 0) & (gained > 0)
    if has.sum() < 3:
        return Missing("fewer than three strips gained anything")
    return exponent(served[has].tolist(), gained[has].tolist())


def beside_predicted(table: Table, endpoint: Endpoint) -> Measured:
    """The statistic of each seed beside the number that was stated before: log10 of the ratio of
    ratios, or the difference of exponents.
    """
    is_exponent = endpoint.statistic is EXPONENT
    said = table.predicts(endpoint.arm, "exponent" if is_exponent else "ratio")
    missing: Counter[str] = Counter()
    values = values_of(table, endpoint.arm, endpoint.statistic, missing)
    if said is None and values:
        missing["no number was predicted before the runs"] += len(values)
        values = {}
    how = (lambda x: x - said) if is_exponent else (lambda x: math.log10(x / said))
    beside = {seed: how(float(value)) for seed, value in values.items()}  # pyright: ignore[reportArgumentType]
    return Measured(aggregate(list(beside.values())), beside, missing=missing)


HOW = (
    "The general circuit's gain over that of a look-up, the mean over training examples; under decay of "
    "their strengths, at the last step."
)
SHARE_HOW = f"r / (1 + r) with r: {HOW}"
IS_AHEAD = Statistic(
    "share of what both gained that is the general circuit's, minus one half",
    SHARE_HOW,
    of_share(lambda value: value - 0.5),
    range=(-0.5, 0.5),
    says=points("of what both gained"),
)
TAKEN = Statistic(
    "share of the general circuit with its full push, minus the share with what was changed",
    SHARE_HOW,
    difference_of_shares,
    range=(-1.0, 1.0),
    says=points("of what both gained"),
)
RATIO = Statistic("log10 of general to shallow, minus that predicted", HOW, ratio, says=times_predicted)
EXPONENT = Statistic(
    "exponent of growth on the examples served, minus that predicted",
    "The least-squares slope of log gain on log count of training examples over strips of 1, 2, 4 … 256 "
    "cells, whose residuals do not change.",
    observed_exponent,
    says=unit("more than predicted"),
)
