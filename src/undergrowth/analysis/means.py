"""Means over seeds with their intervals, as tidy tables: a row a mean, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis.intervals import NONE, Estimate, estimate
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES, Rules, events


def over_seeds(values: xr.DataArray, *, is_log: bool = False) -> pd.DataFrame:
    """The mean along `run` for each of the other coordinates: these, then mean, low, high, n, method.

    is_log: of the logarithms, which makes it the geometric mean and keeps the interval above 0. Where a
    few seeds agree so that nothing is known of their spread, the interval is their value.
    """
    known = values.where(values > 0) if is_log else values
    seeds = known.transpose("run", ...)
    columns = seeds.values.reshape(seeds.sizes["run"], -1).T
    found = [_estimate(tuple(each)) for each in (np.log10(columns) if is_log else columns).tolist()]
    numbers = np.array([(e.effect, e.low, e.high) for e in found], float).reshape(-1, 3)
    places = pd.MultiIndex.from_product([seeds[dim].values for dim in seeds.dims[1:]])
    told = pd.DataFrame(10**numbers if is_log else numbers, places, ["mean", "low", "high"])
    told.index.names = [str(dim) for dim in seeds.dims[1:]]
    return told.assign(n=[e.n for e in found], method=[e.method for e in found]).reset_index()


@lru_cache(maxsize=1 << 16)
def _estimate(values: tuple[float, ...]) -> Estimate:
    known = [value for value in values if value == value]
    found = estimate(known)
    alike = len(known) > 1 and not found.is_bounded
    return replace(found, low=found.effect, high=found.effect) if alike else found


def methods(table: pd.DataFrame) -> str:
    """How the intervals of a table were had, in words."""
    found = set(table["method"].dropna()) - {NONE} if "method" in table else set()
    return " or ".join(sorted(found)) or "one seed: no interval"


def columns_of(estimate: Estimate) -> dict[str, object]:
    """The columns of an estimate: value, low, high, n, n_control, method; bounds only where there are
    both.
    """
    low, high = (estimate.low, estimate.high) if estimate.is_bounded else (np.nan, np.nan)
    counts = {"n": estimate.n, "n_control": estimate.n_control}
    return {"value": estimate.effect, "low": low, "high": high, **counts, "method": estimate.method}


Numbers = Sequence[tuple[Run, float]]
"""A number of each run, NaN where it has none."""


def by_arm(panels: Mapping[str, Mapping[str, Numbers]]) -> pd.DataFrame:
    """Every seed and the mean of each arm, by what is measured and by arm.

    Columns layer ('seed' or 'mean'), panel, arm, row (the arm and how many seeds have a number), run,
    seed, value, and of means low, high, n, method.
    """
    rows = []
    for panel, arms in panels.items():
        for arm, numbers in arms.items():
            mean = estimate([value for _, value in numbers if np.isfinite(value)])
            about = {"panel": panel, "arm": arm, "row": f"{arm} (n = {mean.n})"}
            for run, value in numbers:
                its = {"run": run.id, "seed": run.spec.seeds.model, "value": value}
                rows.append({"layer": "seed", **about, **its})
            rows.append({"layer": "mean", **about, **columns_of(mean)})
    return pd.DataFrame(rows)


def median_events(runs: Sequence[Run], rules: Rules = DEFAULT_RULES) -> dict[str, float]:
    """The median step of each event over the runs in which it happened, where that is most of them."""
    by_run = [events(run.curves, rules) for run in runs]
    found: dict[str, float] = {}
    for name in by_run[0] if by_run else ():
        steps = [each[name].first for each in by_run]
        happened = [step for step in steps if step is not None]
        if 2 * len(happened) > len(steps):
            found[name] = float(np.median(happened))
    return found
