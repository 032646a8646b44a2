"""A reading at the moments that a comparison over training is made between."""

from __future__ import annotations

import numpy as np
import xarray as xr

from undergrowth.analysis.events import DEFAULT_RULES, Rules, events
from undergrowth.store import Run


def when_memorised(reading: xr.DataArray, run: Run, rules: Rules = DEFAULT_RULES) -> xr.DataArray:
    """The reading at its first step at or after the run had memorised; the last where it never had."""
    memorised = events(run.curves, rules)["memorised"].first
    steps = reading["step"].values
    if memorised is None or memorised > steps[-1]:
        return reading.isel(step=-1)
    return reading.isel(step=int(np.searchsorted(steps, memorised)))


def at_the_end(reading: xr.DataArray) -> xr.DataArray:
    """The reading at its last step."""
    return reading.isel(step=-1)
