"""Deletion: what is left without the k most salient neurons, against random, least and equal norm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from undergrowth.analysis.matching import is_matched
from undergrowth.explore.arrays import Frames
from undergrowth.explore.stills import lines
from undergrowth.explore.story import Beat, LeftOut, Scene, Story, paragraph, percent, sets
from undergrowth.store import Run

ACCURACY, SD, NORM = "deletion_accuracy", "deletion_accuracy_sd", "deletion_norm_share"
NAMES = {
    "top": "most salient",
    "random": "at random",
    "least": "least salient",
    "norm_matched": "others of equal norm",
}
COLOURS = {"top": "top", "random": "random", "least": "least", "norm_matched": "norm"}
TITLE = "Take k neurons away"


def deletion(story: Story, runs: Mapping[int, Run]) -> Iterator[Scene | LeftOut]:
    """Accuracy after closing the gates of k neurons, by how they were chosen."""
    told = {seed: run for seed, run in runs.items() if {ACCURACY, SD, NORM} <= set(run.names)}
    if not told:
        yield LeftOut(
            TITLE,
            "no neuron was deleted in the runs of this store",
            "undergrowth measure STORE --measure deletion",
        )
        return
    first = told[min(told)]
    final = accuracies(first).isel(step=-1).sel(side="val")
    yield Scene(
        "deletion",
        TITLE,
        tuple(_beats(first)),
        "Accuracy over the number of neurons deleted, a line for each way of choosing them.",
        lines(
            {NAMES[each]: (final["k"].values, final.sel(strategy=each).values) for each in NAMES},
            {NAMES[each]: f"var(--{COLOURS[each]})" for each in NAMES},
            x="neurons deleted (logarithmic)",
            y="accuracy on held-out examples, at the end",
        ),
        tuple(each for seed, run in told.items() for each in _of_run(run, seed)),
        {"names": NAMES, "colours": COLOURS},
        "As stored; random choices are means over draws. Others of equal norm are shown only where "
        "there are such others.",
    )


def accuracies(run: Run) -> xr.DataArray:
    """Accuracy [step, side, strategy, k]; NaN where no others have the norm of the top k."""
    found = run[ACCURACY].sel(strategy=list(NAMES)).transpose("step", "side", "strategy", "k")
    matched = is_matched(run[NORM])
    return found.where((found["strategy"] != "norm_matched") | matched)


def _of_run(run: Run, seed: int) -> Iterator[Frames]:
    found = accuracies(run)
    labels = (
        ("side", tuple(map(str, found["side"].values))),
        ("strategy", tuple(map(str, found["strategy"].values))),
        ("k", tuple(map(int, found["k"].values))),
    )
    values = found.values.astype(np.float32)
    axes = ("side", "strategy", "k")
    yield Frames("accuracy", run.id, seed, found["step"].values, values, axes, labels)


def _beats(run: Run) -> Iterator[Beat]:
    found = accuracies(run).sel(side="val")
    ks = [int(k) for k in found["k"].values]
    k = min(ks, key=lambda each: abs(each - 8))
    last = found.isel(step=-1)
    step = int(last["step"])
    yield paragraph(
        "Neurons are ranked by how much each is worth to the median training example, and {} are "
        "closed. At {} the whole network gets {} of the held-out examples right. Without its {} most "
        "salient neurons it gets {}; without {} at random {}, without the {} least salient {}.",
        sets(f"k = {k}", k=k),
        sets(f"step {step:,}", step=step),
        percent(float(last.sel(strategy="top", k=0))),
        k,
        percent(float(last.sel(strategy="top", k=k))),
        k,
        percent(float(last.sel(strategy="random", k=k))),
        k,
        percent(float(last.sel(strategy="least", k=k))),
        step=step,
        k=k,
    )
    matched = last.sel(strategy="norm_matched", k=k)
    yield paragraph(
        "Salient neurons may simply be the large ones. So the fourth line takes random others that "
        "together carry the same norm.{} Slide k, and scrub back to see when it starts "
        "to matter which neurons go.",
        f" At k = {k} it leaves {percent(float(matched))}." if np.isfinite(matched) else "",
        step=step,
        k=k,
    )
