"""What changed in a run between the moments that a comparison over training is made between."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from undergrowth.analysis.events import DEFAULT_RULES, Rules
from undergrowth.analysis.stages import at_event
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
    early, late = at_event(run, reading, "memorised", rules), reading.isel(step=-1)
    if early is None or early["step"] == late["step"]:
        return float("nan")
    return statistic(late) - statistic(early)
