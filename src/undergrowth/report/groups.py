"""Which runs a figure compares: true labels, and the control with shuffled labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from undergrowth.report import theme
from undergrowth.report.charts import Look
from undergrowth.store import Run, Store
from undergrowth.store.events import DEFAULT_RULES
from undergrowth.store.outcomes import diverged_at
from undergrowth.store.reader import together


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that are treated alike: the same but for their seeds.

    runs: at least one; is_control: whether their labels are shuffled.
    """

    runs: tuple[Run, ...]
    is_control: bool

    @property
    def name(self) -> str:
        """What their labels are."""
        return "shuffled labels" if self.is_control else "true labels"

    def look(self, side: str, **more: Any) -> Look:
        """How a side ('train' or 'val') is drawn."""
        colours = theme.CONTROL_SIDES if self.is_control else theme.SIDES
        dash = more.pop("dash", "4px,3px" if self.is_control else "solid")
        return Look(colours[side], dash, **more)

    def legend(self, side: str) -> str:
        """A legend entry for a side."""
        return f"{SIDE_NAMES[side]}, shuffled" if self.is_control else SIDE_NAMES[side]

    def values(self, reading: str) -> xr.DataArray:
        """A reading of all runs, dims (run, step, ...)."""
        return together(self.runs, reading)


Runs = Run | Store | Sequence[Run]
"""What a figure draws: one run, some, or all of a store."""


def as_runs(runs: Runs) -> tuple[Run, ...]:
    """The runs that are meant."""
    if isinstance(runs, Run):
        return (runs,)
    return runs.runs if isinstance(runs, Store) else tuple(runs)


SIDE_NAMES = {"train": "training", "val": "validation"}
RULES = DEFAULT_RULES


def groups(runs: Runs, *readings: str) -> tuple[Group, ...]:
    """The runs that have all of the readings, true labels first; groups without runs are left out."""
    having = [run for run in as_runs(runs) if set(readings) <= set(run.names)]
    split = [(False, [r for r in having if r.spec.labels == "true"])]
    split.append((True, [r for r in having if r.spec.labels != "true"]))
    return tuple(Group(tuple(members), control) for control, members in split if members)


def alike(runs: Sequence[Run]) -> list[tuple[Run, ...]]:
    """The runs by what they have in common beside seeds and labels, the most numerous first."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.spec.replace(labels="true").without_seeds().id, []).append(run)
    return sorted((tuple(group) for group in found.values()), key=len, reverse=True)


def count(groups: Sequence[Group]) -> str:
    """How many seeds each group has, in words, and which of its runs diverged."""
    return ", ".join(counted(g.runs, f"with {g.name}") for g in groups) or "no run yet"


def counted(runs: Sequence[Run], which: str) -> str:
    """How many seeds there are, in words, where they differ in more how many runs of how many arms; and
    how many of them diverged, and so are drawn only up to there.
    """
    seeds: dict[str, set[object]] = {}
    for run in runs:
        seeds.setdefault(run.spec.without_seeds().id, set()).add(run.spec.seeds)
    sizes = sorted({len(each) for each in seeds.values()})
    if len(seeds) == 1:
        told = f"{plural(len(runs), 'seed')} {which}"
    else:
        each = plural(sizes[0], "seed") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} seeds"
        told = f"{len(runs)} runs {which} ({len(seeds)} arms of {each})"
    ends = [step for run in runs if (step := diverged_at(run)) is not None]
    if not ends:
        return told
    at = f"step {min(ends):,}" if min(ends) == max(ends) else f"steps {min(ends):,} to {max(ends):,}"
    return f"{told}, {len(ends)} of which diverged at {at}"


def plural(n: int, noun: str, nouns: str = "") -> str:
    """A number with its noun; nouns: the plural where it is not the noun with an s."""
    return f"{n} {noun}" if n == 1 else f"{n} {nouns or noun + 's'}"


def measured_as(groups: Sequence[Group], reading: str) -> str:
    """How a reading was taken, from the spec of its measure: method, score and baseline."""
    for measure in groups[0].runs[0].spec.measures if groups else ():
        parameters = dict(measure)
        if reading.startswith(f"{measure.key}_") and "method" in parameters:
            method = parameters["method"].replace("_", " ").replace(" x ", " × ")
            score = parameters["score"].replace("_", " ")
            return f"{method} of the {score}, {parameters['baseline']} baseline"
    return reading
