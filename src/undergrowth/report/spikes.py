"""The loss of every update with its spikes, over the validation loss of the same run; by arm too."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undergrowth.analysis import spikes
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG, Axis, LogScale, add_axis_buttons, traces_of
from undergrowth.report.figure import Figure
from undergrowth.report.groups import Runs, as_runs, plural
from undergrowth.report.numbers import rounded
from undergrowth.store import Run

POINTS = 4000
"""Most points of a line: of a longer curve the lowest and the highest of each of many stretches."""


LINES = {"update": "train", "val": "val"}


def spikes_figure(run: Runs, found: pd.DataFrame | None = None) -> Figure:
    """Loss of every update and validation loss of one run over steps, log and linear, spikes marked.

    found: the spikes to mark; by default `analysis.spikes` of `update_loss` up to where it is finite.
    The figure's table holds them. Raises ValueError for several runs.
    """
    of = as_runs(run)
    if len(of) != 1:
        raise ValueError(f"spikes_figure draws 1 run, and these are {len(of)}: pass one, as in runs[0]")
    run = of[0]
    train, val = run["update_loss"], run["val_loss"]
    found = spikes(finite_beginning(train)) if found is None else found
    plot = go.Figure([_line(train, "train"), _line(val, "val"), _markers(found)])
    theme.dress(plot, height=480)
    plot.update_xaxes(title_text="training step")
    plot.update_yaxes(title_text="loss")
    scales = {letter: LogScale.of(*(trace[letter] for trace in traces_of(plot))) for letter in "xy"}
    add_axis_buttons(plot, Axis(("xaxis",), scales["x"], "linear"), Axis(("yaxis",), scales["y"], "log"))
    title = "Loss of every update with its spikes, and validation loss"
    table = found.assign(run=run.id, seed=run.spec.seeds.model)
    return Figure("spikes", title, _caption(run, train, found), plot, table)


def spikes_by_arm_figure(
    runs: Mapping[str, Run], found: Mapping[str, pd.DataFrame], note: str = ""
) -> Figure:
    """The same for one run of each arm, below one another; `found` has the spikes of each."""
    titles = [f"{arm}: {plural(len(found[arm]), 'spike')}" for arm in runs]
    n = max(1, len(runs))
    plot = make_subplots(
        n, 1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.2 / n if n > 1 else 0
    )
    shown: set[str] = set()
    for at, (arm, run) in enumerate(runs.items(), start=1):
        lines = [_line(run[f"{of}_loss"], side, POINTS // 2) for of, side in LINES.items()]
        for trace in (*lines, _markers(found[arm])):
            drawn: Any = trace
            is_new = drawn.name not in shown and bool(drawn.x)
            drawn.update(legendgroup=drawn.name, showlegend=is_new)
            shown |= {drawn.name} if is_new else set()
            plot.add_trace(drawn, row=at, col=1)
    theme.dress(plot, height=150 + 150 * n)
    plot.update_layout(margin_t=96)
    plot.update_annotations(x=0, xanchor="left", font={"size": 12})
    plot.update_xaxes(title_text="training step", row=n)
    plot.update_yaxes(title_text="loss", row=(n + 1) // 2)
    scales = {letter: LogScale.of([], *(trace[letter] for trace in traces_of(plot))) for letter in "xy"}
    names = {letter: tuple(f"{letter}axis{i or ''}" for i in (0, *range(2, n + 1))) for letter in "xy"}
    add_axis_buttons(plot, Axis(names["x"], scales["x"], "linear"), Axis(names["y"], scales["y"], "log"))
    layout: Any = plot.layout
    for menu in layout.updatemenus:  # above the title of the first panel
        menu.pad.b += 18
    seeds = sorted({run.spec.seeds.model for run in runs.values()})
    told = ", ".join(str(seed) for seed in seeds)
    caption = (
        f"One run an arm, the first of each (seed {told}). Training: the mean loss of each update's "
        "batch, as trained on; validation: exact cross-entropy in nats. Of each line the lowest and "
        f"the highest of each short stretch are drawn. {note} {ZERO_ON_LOG}"
    )
    tables = [each.assign(arm=arm, run=runs[arm].id) for arm, each in found.items() if len(each)]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return Figure(
        "spikes-by-arm", "The loss of every update by arm, spikes marked", caption, plot, table
    )


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


def _line(curve: xr.DataArray, side: str, points: int = POINTS) -> go.Scatter:
    drawn = thinned(curve, points)
    steps, values = drawn["step"].values.tolist(), rounded(drawn.values)
    name = {"train": "training, each update", "val": "validation"}[side]
    return go.Scatter(
        x=steps,
        y=values,
        customdata=[list(pair) for pair in zip(steps, values, strict=True)],
        mode="lines",
        name=name,
        line={"color": theme.SIDES[side], "width": {"train": 1.2, "val": 2.2}[side]},
        meta={"kind": "curve", "side": side},
        hovertemplate=f"{name}<br>step %{{customdata[0]:,}}"
        "<br>loss %{customdata[1]:.4g}<extra></extra>",
    )


def _markers(found: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=found["peak"].tolist(),
        y=rounded(found["value"]),
        mode="markers",
        name="spike",
        marker={
            "symbol": "triangle-down",
            "size": 11,
            "color": theme.STRATEGIES["top"],
            "line": {"color": "#ffffff", "width": 1.2},
        },
        text=[
            f"spike at step {spike['peak']:,}<br>loss {spike['value']:.3g}, from {spike['base']:.3g}"
            f"<br>from step {spike['left']:,} to {spike['right']:,}"
            for spike in found.to_dict("records")
        ],
        meta={"kind": "spike"},
        hovertemplate="%{text}<extra></extra>",
    )


def _caption(run: Run, train: xr.DataArray, found: pd.DataFrame) -> str:
    thin = (
        f"Of {len(train):,} updates the lowest and the highest of each short stretch are drawn. "
        if len(train) > POINTS
        else ""
    )
    return (
        f"One run, seed {run.spec.seeds.model}: {plural(len(found), 'spike')}. Training: the mean loss "
        f"of each update's batch, as trained on ({run.spec.loss}); validation: exact cross-entropy in "
        f"nats. {thin}{ZERO_ON_LOG}"
    )
