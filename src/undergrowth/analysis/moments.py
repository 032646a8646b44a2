"""What changed in a run between the moments that a comparison over training is made between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from undergrowth.analysis.events import DEFAULT_RULES, Rules, events
from undergrowth.store import Run


def change_since_memorised(
    run: Run,
    reading: xr.DataArray,
    statistic: Callable[[xr.DataArray], float],
    rules: Rules = DEFAULT_RULES,
) -> float:
    """A statistic of a reading [step, ...] at its last step minus when the run had memorised.

    The latter is the first step of the reading at or after the event. NaN where there is nothing to
    compare: the run failed, never memorised, or did so only at the last step.
    """
    memorised = events(run.curves, rules)["memorised"].first
    steps = reading["step"].values
    if run.status != "done" or memorised is None or memorised > steps[-2]:
        return float("nan")
    early = int(np.searchsorted(steps, memorised))
    return statistic(reading.isel(step=-1)) - statistic(reading.isel(step=early))
