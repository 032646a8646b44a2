"""What is measured of a run with spikes: how many, with what, and what changes across them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis import (
    against_matched,
    coincidence,
    effective_number,
    events,
    matched_windows,
    separated,
    spikes,
)
from undergrowth.analysis.leaked import beyond_leak
from undergrowth.analysis.verdicts import Several
from undergrowth.report.spikes import finite_beginning
from undergrowth.store import Run
from undergrowth.studies.spikes.arms import kicked_at
from undergrowth.studies.statistic import Missing, Statistic, points, unit

VAL_HEIGHT = 0.1
"""Nats of the log by which a spike of the validation loss must rise: it moves far less than training."""

BESIDE = 30
"""Steps within which a validation spike coincides with one of training."""

EXCESS = (
    "The change across a spike minus the mean change across up to 10 windows of the same run, of equal "
    "length, without a spike, and starting at most a factor of 1.25 earlier or later, as a share of the "
    "reading's range since the run memorised. Spikes without a reading between them count as one."
)
NO_SPIKE = Missing("no spike after memorisation")
UNMEASURED = Missing("no readings on both sides of a spike and of a matched window")


@lru_cache(maxsize=1024)
def spikes_of(run: Run) -> pd.DataFrame:
    """The spikes of the loss of its updates after it memorised, as far as that is finite."""
    found = spikes(finite_beginning(run["update_loss"]))
    return found.loc[found["left"] >= memorised(run)].reset_index(drop=True)


@lru_cache(maxsize=1024)
def memorised(run: Run) -> int:
    """When; 0 where it never did."""
    return events(run.curves)["memorised"].first or 0


@lru_cache(maxsize=1024)
def onset(run: Run) -> float:
    """When, beyond what the split leaks; infinite without an onset."""
    first = events(run.curves, beyond_leak(run))["onset"].first
    return np.inf if first is None else first


def early(run: Run, *, late: bool = False) -> pd.DataFrame:
    """Its spikes before the onset, all where there is none; or the others."""
    found = spikes_of(run)
    return found.loc[(found["peak"] < onset(run)) != late]


def last(run: Run) -> int:
    """Its last update."""
    return int(run["update_loss"]["step"][-1])


def rate(run: Run) -> float:
    """Spikes per 1,000 steps from memorised to the end; 0 for a run without any."""
    return 1000 * len(spikes_of(run)) / max(1, last(run) + 1 - memorised(run))


def coincide(run: Run) -> float | Missing:
    """The share of its spikes with a validation spike beside them, minus that of shifted ones."""
    peaks = spikes_of(run)["peak"].to_numpy()
    if not len(peaks):
        return NO_SPIKE
    steps = memorised(run), last(run)
    validation = spikes(finite_beginning(run["val_loss"]), height=VAL_HEIGHT)["peak"].to_numpy()
    validation = validation[(validation >= steps[0]) & (validation <= steps[1])]
    found = coincidence(peaks, validation, steps=steps, within=BESIDE)
    return found.rate - found.expected


COINCIDE = Statistic(
    f"share of train spikes with a validation spike within {BESIDE} steps, minus that when shifted",
    "Shifted: the same share when the train spikes are moved circularly by every number of steps from "
    f"memorised to the end. Validation spikes rise by {VAL_HEIGHT} nats of the log or more.",
    coincide,
    range=(-1.0, 1.0),
    says=points("of the spikes"),
    takes_failed=True,
)
PERSIST = Statistic(
    "spikes per 1,000 steps, minus half those of the float32 run",
    "By seed, from memorised to the end; a run without a spike counts as 0. Above 0, most spikes "
    "remain; below, most are gone.",
    lambda run, rounded: rate(run) - rate(rounded) / 2,
    says=unit("spikes per 1,000 steps more than half"),
    takes_failed=True,
)


@dataclass(frozen=True)
class Structure:
    """A number of a run at each step that rises where many shallow circuits become few general ones."""

    name: str
    says: str
    of: Callable[[Run], xr.DataArray]


def _generality(run: Run) -> xr.DataArray:
    return run["generality_group_sufficient"].sel(side="train").mean("group")


def _concentration(run: Run) -> xr.DataArray:
    salient = run["saliency_median"].sel(side="train")
    return xr.DataArray(-np.log2(effective_number(salient)), {"step": salient["step"]}, ["step"])


def _one_frequency(run: Run) -> xr.DataArray:
    return run["fourier_neuron_share"].mean("neuron")


SINGLE = (
    Structure(
        "generality", "share of training examples that a tenth of the neurons suffices for", _generality
    ),
    Structure("concentration", "-log2 of the effective number of salient neurons", _concentration),
    Structure(
        "Fourier share",
        "share of a neuron's variance at one frequency, mean over neurons",
        _one_frequency,
    ),
)


def _all(run: Run) -> xr.DataArray:
    one, two, three = (scaled(run, each) for each in SINGLE)
    return (one + two + three) / 3


STRUCTURE = Structure(
    "structure", "mean of " + "; ".join(f"{each.name} ({each.says})" for each in SINGLE), _all
)
"""All three that the claim names, so that none of them is chosen."""
STRUCTURES = (STRUCTURE, *SINGLE)


@lru_cache(maxsize=4096)
def scaled(run: Run, structure: Structure) -> xr.DataArray:
    """A reading in shares of its range since the run memorised; 0 throughout where it never changes."""
    reading = structure.of(run).astype(np.float64)
    if structure is STRUCTURE:
        return reading
    since = reading.sel(step=slice(memorised(run), None)).values
    least, most = np.nanmin(since), np.nanmax(since)
    return (reading - least) / (most - least if most > least else 1.0)


def gain(run: Run, structure: Structure) -> float:
    """A run's total gain, from memorised to its end."""
    reading = scaled(run, structure)
    return float(reading[-1]) - float(reading.sel(step=memorised(run), method="nearest"))


def excess(run: Run, structure: Structure, windows: pd.DataFrame) -> np.ndarray:
    """What `changes` says of the windows that could be measured."""
    found = changes(run, structure, windows)
    return found[np.isfinite(found)]


def changes(run: Run, structure: Structure, windows: pd.DataFrame) -> np.ndarray:
    """For each window that readings separate from the others: the change across it minus the mean across
    windows of its length and phase, which touch neither one of these nor a spike; NaN where that could
    not be measured.
    """
    reading = scaled(run, structure)
    windows = separated(windows, reading["step"].values)
    sides = [each[["left", "right"]] for each in (windows, spikes_of(run))]
    taken: pd.DataFrame = pd.concat(sides, ignore_index=True)  # pyright: ignore[reportAssignmentType]
    rng = np.random.default_rng(run.spec.seeds.model)
    within = int(np.diff(reading["step"].values).max())
    matched = matched_windows(taken, steps=(memorised(run), last(run)), rng=rng, within=within)
    return against_matched(reading, taken, matched, within=within)["excess"].values[: len(windows)]


def kicks_of(kicked: Run, run: Run) -> pd.DataFrame:
    """Windows from each kick on, as long as the spikes of the run that was not kicked in the median."""
    found, at = spikes_of(run), np.array(kicked_at(kicked.spec))
    length = round(float(np.median(found["right"] - found["left"]))) if len(found) else 0
    return pd.DataFrame({"left": at, "right": at + length})


@lru_cache(maxsize=4096)
def across_spikes(run: Run, structure: Structure) -> np.ndarray:
    """The excess change across each spike."""
    return excess(run, structure, spikes_of(run))


def beyond_kicks(run: Run, kicked: Run, structure: Structure) -> np.ndarray:
    """The same minus its mean across the kicks; of none where no kick could be measured."""
    pushed = excess(kicked, structure, kicks_of(kicked, run))
    return across_spikes(run, structure) - pushed.mean() if len(pushed) else np.empty(0)


def of_each_spike(each: Callable[..., np.ndarray]) -> Callable[..., Several | Missing]:
    """A value for each spike of a run."""

    def of(run: Run, *control: Run) -> Several | Missing:
        if not len(spikes_of(run)):
            return NO_SPIKE
        values = each(run, *control)
        return Several(tuple(map(float, values))) if len(values) else UNMEASURED

    return of


def gained_early(run: Run, structure: Structure) -> float | Missing:
    """What it gains across all of its early spikes."""
    found = early(run)
    if not len(found):
        return Missing("no spike between memorised and the onset") if len(spikes_of(run)) else NO_SPIKE
    values = changes(run, structure, found)
    return float(np.nanmean(values)) * len(values) if np.isfinite(values).any() else UNMEASURED
