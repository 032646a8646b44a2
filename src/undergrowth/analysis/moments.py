"""What changed in a run between the moments that a comparison over training is made between."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from undergrowth.analysis.stages import at_event
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES, EventName, Rules


def ends(
    run: Run,
    reading: xr.DataArray,
    since: EventName = "memorised",
    until: EventName | None = None,
    rules: Rules = DEFAULT_RULES,
) -> tuple[xr.DataArray, xr.DataArray] | None:
    """A reading [step, ...] at its first step at or after an event, and at its last step, or its first
    at or after another event. None where the run failed, an event never came, or both are one step.
    """
    early = at_event(run, reading, since, rules)
    late = reading.isel(step=-1) if until is None else at_event(run, reading, until, rules)
    if early is None or late is None or late["step"] <= early["step"]:
        return None
    return early, late


def change_since_memorised(
    run: Run,
    reading: xr.DataArray,
    statistic: Callable[[xr.DataArray], float],
    rules: Rules = DEFAULT_RULES,
) -> float:
    """A statistic of a reading [step, ...] at its last step minus when the run had memorised; NaN where
    there is nothing to compare: see `ends`.
    """
    found = ends(run, reading, rules=rules)
    return statistic(found[1]) - statistic(found[0]) if found else float("nan")
