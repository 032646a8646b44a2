"""How a run's number changes while it groks, against runs with shuffled labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from undergrowth.analysis import Rule
from undergrowth.analysis.moments import ends
from undergrowth.report.numbers import format_number
from undergrowth.store import Run
from undergrowth.store.events import EventName
from undergrowth.studies import small_arms
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.statistic import Missing, Statistic
from undergrowth.studies.table import Table


@dataclass(frozen=True)
class Change:
    """How a number of a run changes from memorised on: what a statistic computes.

    readings: what it takes; over_steps: from the run to dims (step, ...), of whose other dims the mean
    is taken where both ends are known; since, until: events, `until` the last step by default and where
    labels are shuffled, since such a run never generalises.
    """

    readings: tuple[str, ...]
    over_steps: Callable[[Run], xr.DataArray]
    since: EventName = "memorised"
    until: EventName | None = None

    def __call__(self, run: Run) -> float | Missing:
        """The later number minus the earlier one."""
        if lacking := set(self.readings) - set(run.names):
            return Missing(f"has no {min(lacking)}")
        until = self.until if run.spec.labels == "true" else None
        found = ends(run, self.over_steps(run), self.since, until)
        if found is None:
            return Missing(f"never {self.since}" + (f", or never {until}" if until else ""))
        early, late = found
        change = float((late - early).mean())
        return change if np.isfinite(change) else Missing("nothing comparable at both ends")

    def highest(self, arm: str) -> Callable[[Table], str]:
        """A note: whether an arm's number went one way, which a change from end to end does not show."""

        def note(table: Table) -> str:
            runs = [run for run in table.of(arm) if set(self.readings) <= set(run.names)]
            curves = [self.over_steps(run) for run in runs]
            curves = [curve.mean(set(curve.dims) - {"step"}).dropna("step") for curve in curves]
            curves = [curve for curve in curves if curve.size]
            if not curves:
                return ""
            step = np.median([int(curve["step"].values[curve.values.argmax()]) for curve in curves])
            height = float(np.mean([curve.max() for curve in curves]))
            end = float(np.mean([curve[-1] for curve in curves]))
            ends = format_number(height), format_number(end)
            return f"Highest near step {step:,.0f} ({ends[0]}), {ends[1]} at the end."

        return note


def against_shuffled(
    name: str, claim: str, statistic: Statistic, arm: str, rule: Rule, *, is_primary: bool = False
) -> Endpoint:
    """A `Change` in an arm minus the mean of the arm's own control."""
    change = statistic.of
    assert isinstance(change, Change)
    return Endpoint(
        name,
        claim,
        statistic,
        arm,
        rule,
        control=small_arms.control_of(arm),
        paired=False,
        is_primary=is_primary,
        note=change.highest(arm),
    )
