"""A number of each run, of those with true labels against those of the shuffled-label control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from undergrowth.analysis import Estimate, difference
from undergrowth.store import Run

CONTROL_RULE = (
    "Supported if the interval of the difference to the shuffled-label control lies above 0; "
    "contradicted if below."
)


@dataclass(frozen=True)
class Compared:
    """The difference of the means, and in words what each side did and which seeds are missing."""

    estimate: Estimate
    note: str


def against_control(runs: Sequence[Run], number: Callable[[Run], float]) -> Compared:
    """Compare a number over seeds; seeds for which it is NaN are left out, and said to be."""
    found: dict[str, list[float]] = {"true": [], "shuffled": []}
    missing = 0
    for run in runs:
        value = number(run)
        if np.isfinite(value):
            found[run.spec.labels].append(value)
        else:
            missing += 1
    told = f"Change {_mean(found['true'])} with true labels, {_mean(found['shuffled'])} in the control."
    if missing:
        told += f" {missing} of {len(runs)} runs failed, never memorised, or had nothing to compare."
    return Compared(difference(found["true"], found["shuffled"]), told)


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "unknown"
    return f"{np.mean(values):+.3g} ({len(values)} seed{'' if len(values) == 1 else 's'})"
