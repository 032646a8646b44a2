"""The loss of every update with its spikes, over the validation loss of the same run; by arm too."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis import spikes
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import Runs, as_runs, plural
from undergrowth.store import Run

POINTS = 4000
"""Most points of a line: of a longer curve the lowest and the highest of each of many stretches."""
LOOKS = {
    "training, each update": Look(theme.SIDES["train"], width=1.2),
    "validation": Look(theme.SIDES["val"], width=2.2),
    "spike": Look(theme.STRATEGIES["top"], symbol="triangle-down", size=11),
}
LAYERS = {
    "curve": Layer("lines", "step", "loss", tell=("seed",)),
    "spike": Layer("dots", "step", "loss", tell=("base", "left", "right", "seed")),
}
LOSS = Scale("loss", "log", is_switchable=True)
STEPS = Scale("training step", is_switchable=True)


def spikes_figure(run: Runs, found: pd.DataFrame | None = None) -> Figure:
    """Loss of every update and validation loss of one run over steps, log and linear, spikes marked.

    found: the spikes to mark; by default `analysis.spikes` of `update_loss` up to where it is finite.
    Raises ValueError for several runs.
    """
    of = as_runs(run)
    if len(of) != 1:
        raise ValueError(f"spikes_figure draws 1 run, but got {len(of)}: pass one, such as runs[0]")
    run = of[0]
    updates = len(run["update_loss"])
    found = spikes(finite_beginning(run["update_loss"])) if found is None else found
    thin = f"Of {updates:,} updates, the lowest and highest of each short stretch are drawn. "
    return chart(
        "spikes",
        "Loss of every update with its spikes, and validation loss",
        f"One run, seed {run.spec.seeds.model}: {plural(len(found), 'spike')}. Training: the mean loss "
        f"of each update's batch, as trained on ({run.spec.loss}); validation: exact cross-entropy in "
        f"nats. {thin if updates > POINTS else ''}{ZERO_ON_LOG}",
        _table(run, found, POINTS),
        LAYERS,
        x=STEPS,
        y=LOSS,
        looks=LOOKS,
        tall=340,
    )


def spikes_by_arm_figure(
    runs: Mapping[str, Run], found: Mapping[str, pd.DataFrame], note: str = ""
) -> Figure:
    """The same for one run of each arm, below one another; `found` has the spikes of each."""
    titles = {arm: f"{arm}: {plural(len(found[arm]), 'spike')}" for arm in runs}
    tables = [
        _table(run, found[arm], POINTS // 2).assign(arm=arm, panel=titles[arm])
        for arm, run in runs.items()
    ]
    seeds = sorted({run.spec.seeds.model for run in runs.values()})
    return chart(
        "spikes-by-arm",
        "The loss of every update by arm, spikes marked",
        f"One run per arm, the first of each (seed {', '.join(map(str, seeds))}). Training: the mean "
        "loss of each update's batch, as trained on; validation: exact cross-entropy in nats. Of each "
        f"line, the lowest and highest of each short stretch are drawn. {note} {ZERO_ON_LOG}",
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(),
        LAYERS,
        x=STEPS,
        y=LOSS,
        looks=LOOKS,
        tall=120,
    )


def _table(run: Run, found: pd.DataFrame, points: int) -> pd.DataFrame:
    """Columns layer, series, step, loss, base, left, right, run, seed."""
    frames = []
    for name, series in zip(("update_loss", "val_loss"), LOOKS, strict=False):
        curve = thinned(run[name], points)
        columns = {"step": curve["step"].values, "loss": curve.values}
        frames.append(pd.DataFrame({"layer": "curve", "series": series, **columns}))
    marked = found.rename(columns={"peak": "step", "value": "loss"})
    frames += [marked.assign(layer="spike", series="spike")] if len(marked) else []
    table = pd.concat(frames, ignore_index=True)
    return table.assign(run=run.id, seed=run.spec.seeds.model)


def thinned(curve: xr.DataArray, points: int = POINTS) -> xr.DataArray:
    """A curve, dim (step), of at most so many values: the lowest and the highest of each stretch.

    Stretches are even in steps and in log-steps at once, so none is wide on either axis.
    """
    n = len(curve)
    if n <= points:
        return curve
    each = points // 4
    even, log = np.linspace(0, n, each), np.geomspace(1, n, each)
    edges = np.unique(np.concatenate([even, log]).astype(int))
    kept = set()
    for first, below in pairwise(edges.tolist()):
        part = curve.values[first:below]
        kept |= {first + int(part.argmin()), first + int(part.argmax())}
    return curve.isel(step=sorted(kept))


def finite_beginning(curve: xr.DataArray) -> xr.DataArray:
    """A curve up to where it is no longer finite, as that of a run that diverged."""
    is_wrong = ~np.isfinite(curve.values)
    return curve[: int(is_wrong.argmax())] if is_wrong.any() else curve
