"""A reading at an event of its run, and from one event to the next."""

from __future__ import annotations

import numpy as np
import xarray as xr

from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES, EventName, Rules, events


def at_event(
    run: Run, reading: xr.DataArray, event: EventName, rules: Rules = DEFAULT_RULES
) -> xr.DataArray | None:
    """A reading [step, ...] at its first step at or after the event; None where there is none."""
    at = events(run.curves, rules)[event].first
    if at is None or run.status != "done":
        return None
    place = int(np.searchsorted(reading["step"].values, at))
    return reading.isel(step=place) if place < reading.sizes["step"] else None


def between_events(
    run: Run,
    reading: xr.DataArray,
    start: EventName,
    end: EventName | None,
    rules: Rules = DEFAULT_RULES,
) -> xr.DataArray | None:
    """A reading [step, ...] from its first step at or after `start` to its last before `end`.

    To the run's last step where `end` is None or is censored. None where the run failed, `start` is
    censored, or fewer than two steps are left.
    """
    times = events(run.curves, rules)
    first, stop = times[start].first, times[end].first if end else None
    if first is None or run.status != "done":
        return None
    steps = reading["step"].values
    end_place = None if stop is None else int(np.searchsorted(steps, stop))
    within = reading.isel(step=slice(int(np.searchsorted(steps, first)), end_place))
    return within if within.sizes["step"] >= 2 else None
