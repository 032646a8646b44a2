"""Who won: what a general circuit gained beside the look-ups of the same examples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from undergrowth.analysis import Value
from undergrowth.analysis.rivals import crossing, exponent
from undergrowth.store import Run
from undergrowth.studies.endpoint import Endpoint, Measured, aggregate, values_of
from undergrowth.studies.rivalry.theory import planted, rivals_of
from undergrowth.studies.statistic import Missing, Statistic, lost, points, times, times_predicted, unit
from undergrowth.studies.table import Table

NO_STRENGTHS = Missing("has no strengths")
NOTHING_GAINED = Missing("the look-ups gained nothing, so there is no ratio")
NOTHING_IS_LEFT = Missing("decay has left nothing of the general circuit: no logarithm of the ratio")


def strengths(run: Run) -> xr.DataArray | None:
    """Of every block at every step, dims (step, block); None where they were not measured. That of a
    general circuit of several layers is the product of its factors.
    """
    if "strength" not in run.names:
        return None
    found = run["strength"].sel(parameter="strength")
    factors = run["strength"].drop_sel(parameter="strength").isel(block=-1).prod("parameter")
    is_general = np.arange(found.sizes["block"]) == found.sizes["block"] - 1
    return found * xr.where(xr.DataArray(is_general, dims="block"), factors, 1.0)


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
    """At the last step; above 0, for its logarithm is taken."""
    found = _ratio_at_the_end(run)
    return found if isinstance(found, Missing) or found > 0 else NOTHING_IS_LEFT


def share(run: Run) -> float | Missing:
    """The general circuit's part of what both gained, in [0, 1]; 0 where decay left nothing of it."""
    found = _ratio_at_the_end(run)
    return found if isinstance(found, Missing) else found / (1 + found)


def _ratio_at_the_end(run: Run) -> float | Missing:
    found = ratio_over_steps(run)
    if found is None:
        return NO_STRENGTHS
    last = float(found[-1])
    is_known = last >= 0 if rivals_of(run.spec).has_decay else last > 0
    return last if is_known and np.isfinite(last) else NOTHING_GAINED


def of_share(of: Callable[[float], float]) -> Callable[[Run], float | Missing]:
    """A function of the share."""

    def value(run: Run) -> float | Missing:
        found = share(run)
        return found if isinstance(found, Missing) else of(found)

    return value


def overtakes(run: Run) -> float | tuple[float, float] | Missing:
    """log10 of the step at which the general circuit's strength reaches that of the look-ups of training
    examples, the mean over them; after the last step where it does not.
    """
    found = strengths(run)
    if found is None:
        return NO_STRENGTHS
    s, v = found.isel(block=-1), found.isel(block=np.flatnonzero(run.spec.data().is_train)).mean("block")
    if s[0] >= v[0]:
        return Missing("the general circuit does not begin behind")
    at = crossing(found["step"].values.tolist(), s.values, v.values)
    last = float(found["step"][-1])
    return (math.log10(last), math.inf) if at is None else math.log10(at)


def share_of_logit(run: Run) -> float | Missing:
    """The general circuit's part of what all blocks came to add to the logit of a training label."""
    if "part_mean" not in run.names:
        return Missing("what blocks add was not measured")
    part = run["part_mean"].sel(side="train")
    gained = part[-1] - part[0]
    general, shallow = float(gained[-1]), float(gained[:-1].sum())
    return general / (general + shallow) if general + shallow > 0 else Missing("nothing was gained")


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
    ratios or of steps, or the difference of exponents.
    """
    name, beside = PREDICTED[endpoint.statistic.name]
    said = table.predicts(endpoint.arm, name)
    missing: Counter[str] = Counter()
    values = values_of(table, endpoint.arm, endpoint.statistic, missing)
    if said is None and values:
        missing["no number was predicted before the runs"] += len(values)
    found = {} if said is None else {seed: beside(value, said) for seed, value in values.items()}
    return Measured(aggregate(list(found.values())), found, missing=missing)


def _over(value: Any, said: float) -> float:
    return math.log10(value / said)


def _minus(value: Any, said: float) -> float:
    return value - said


def _steps_over(decades: Any, said: float) -> Value:
    minus = math.log10(said)
    if isinstance(decades, tuple):
        low, high = decades
        return low - minus, high - minus
    return decades - minus


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
    lost(share),
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
OVERTAKES = Statistic(
    "log10 of the step at which the general circuit overtakes, over that predicted",
    "The first step at which its strength is that of the look-ups of training examples, the mean over "
    "them, between two evaluations; after the last step where it never is.",
    overtakes,
    says=times("later than predicted", "sooner than predicted"),
)
TAKEN_OF_LOGIT = Statistic(
    "share of the general circuit with its full push, minus the share with what was changed",
    "Of what all blocks came to add to the centred logit of a training label, |slope times activation| "
    "of each block, the mean over training examples, at the last step minus the first.",
    lost(share_of_logit),
    range=(-1.0, 1.0),
    says=points("of what both gained"),
)
PREDICTED: dict[str, tuple[str, Callable[[Any, float], Value]]] = {
    RATIO.name: ("ratio", _over),
    EXPONENT.name: ("exponent", _minus),
    OVERTAKES.name: ("crosses", _steps_over),
}
"""By statistic, the name of what was predicted, and how the two are held against each other."""
