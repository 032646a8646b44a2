"""The level at which a curve dwells before it rises: that of its flattest stretch."""

from __future__ import annotations

import numpy as np
import xarray as xr

LENGTH = 1.25
"""A stretch ends at so many times the step at which it begins: a tenth of a decade of steps."""
RISEN = 0.9
"""A curve that has come to this has left its plateau, if it had one."""
LEAST_EVALUATIONS = 3

RULE = (
    "the median over the flattest stretch (the least difference between its highest and its lowest "
    f"value) of all that end at {LENGTH:g} times the step at which they begin, before it is first at "
    f"{RISEN:.0%}"
)


def plateau(curve: xr.DataArray) -> float | None:
    """The level of a curve over `step`, a share without gaps, on its plateau; of one evaluation or more.

    Where the curve never comes to `RISEN` stretches end by its last step. None where no stretch has
    `LEAST_EVALUATIONS` of the curve's evaluations: it rose at once, or was looked at too rarely. A
    curve that rises evenly has a value all the same: that of the part of its rise that is slowest.
    """
    steps, values = (np.asarray(array, np.float64) for array in (curve["step"], curve))
    n = int(np.argmax(np.append(values >= RISEN, True)))  # evaluations before it has risen
    ends = np.searchsorted(steps[:n], LENGTH * steps[:n], side="right")
    is_whole = LENGTH * steps[:n] <= steps[min(n, len(steps) - 1)]
    stretches = [
        values[begin:end]
        for begin, end in enumerate(ends)
        if is_whole[begin] and end - begin >= LEAST_EVALUATIONS
    ]
    return float(np.median(min(stretches, key=np.ptp))) if stretches else None
