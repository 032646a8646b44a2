"""What remains after deleting k neurons: over k, with a slider over steps, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undergrowth.analysis.matching import MATCHED_WITHIN, is_matched
from undergrowth.report import theme
from undergrowth.report.axes import (
    ZERO_ON_LOG,
    Axis,
    LogScale,
    add_axis_buttons,
    add_buttons,
    subplot_names,
    traces_of,
)
from undergrowth.report.bands import band_traces, interval_data
from undergrowth.report.figure import Figure
from undergrowth.report.groups import Band, Group, Runs, count, groups, measured_as, over_seeds
from undergrowth.report.numbers import rounded
from undergrowth.report.sliders import add_slider

Along = Literal["k", "step"]

METRICS = {"accuracy": "accuracy", "log_prob": "correct log-probability<br>(nats)"}
STRATEGIES = {
    "top": ("k most salient", "solid", "circle"),
    "random": ("k at random", "6px,3px", "square"),
    "least": ("k least salient", "2px,3px", "diamond"),
    "norm_matched": ("others of equal norm", "8px,3px,2px,3px", "triangle-up"),
}
"""Of each strategy: its legend entry, dash and symbol."""


@dataclass(frozen=True, eq=False)
class _View:
    """What the figure can be switched to: a group's readings on a side."""

    label: str
    group: Group
    side: str


@dataclass(frozen=True, eq=False)
class _Series:
    """One line with its band: dims (step, k)."""

    view: _View
    metric: str
    strategy: str
    band: Band
    steps: np.ndarray
    ks: np.ndarray

    def along(self, dim: Along, at: int) -> Band:
        """The line over `dim`, at a position of the other one."""
        pick = (at, slice(None)) if dim == "k" else (slice(None), at)
        return Band(self.band.mean[pick], self.band.low[pick], self.band.high[pick], self.band.method)


def deletion_by_k_figure(runs: Runs, prefix: str = "deletion") -> Figure:
    """Accuracy and correct log-probability over k for each strategy, with a slider over steps."""
    series, found = _series(runs, prefix)
    plot = _plot(series, "k", len(series[0].steps) - 1 if series else 0)
    title = "What the network still does without k of its neurons"
    return Figure("deletion_by_k", title, _caption(found, prefix), plot, _table(series))


def deletion_over_steps_figure(
    runs: Runs, k: int = 32, prefix: str = "deletion", *, relative: bool = False
) -> Figure:
    """The same over training steps, with a slider over k that starts at the k nearest to `k`.

    relative: show the change that the deletion makes, taken within each run, so that the interval
    is not widened by runs that generalise at different times.
    """
    series, found = _series(runs, prefix, relative=relative)
    at = int(np.abs(series[0].ks - k).argmin()) if series else 0
    plot = _plot(series, "step", at, relative=relative)
    if relative:
        name, title = "deletion_change", "How much deleting k neurons hurts, as training goes on"
        how = "Shown is the value after deletion minus that of the whole network, within each run. "
    else:
        name = "deletion_over_steps"
        title = "What the network still does without k neurons, as training goes on"
        how = "Grey: the whole network. "
    return Figure(name, title, how + _caption(found, prefix), plot, _table(series))


def _series(
    runs: Runs, prefix: str, *, relative: bool = False
) -> tuple[list[_Series], tuple[Group, ...]]:
    found = groups(runs, *(f"{prefix}_{metric}" for metric in METRICS), f"{prefix}_norm_share")
    views = [
        _View("validation" if side == "val" else "training", group, side)
        for group in found
        for side in ("val", "train")
        if not group.is_control
    ]
    views += [_View("shuffled labels", group, "train") for group in found if group.is_control]
    return [s for view in views for s in _of_view(view, prefix, relative)], found


def _of_view(view: _View, prefix: str, relative: bool) -> list[_Series]:
    matched = is_matched(view.group.values(f"{prefix}_norm_share")).transpose("run", "step", "k")
    found = []
    for metric, strategy in product(METRICS, STRATEGIES):
        values = view.group.values(f"{prefix}_{metric}").sel(side=view.side, strategy=strategy)
        values = values.transpose("run", "step", "k")
        if relative:
            values = values - values.sel(k=0)
        if strategy == "norm_matched":
            values = values.where(matched)
        band = over_seeds(values)
        steps, ks = values["step"].values, values["k"].values
        found.append(_Series(view, metric, strategy, band, steps, ks))
    return found


def _plot(series: Sequence[_Series], along: Along, at: int, *, relative: bool = False) -> go.Figure:
    plot = make_subplots(rows=len(METRICS), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for s in series:
        traces = _traces(s, along, at, visible=s.view is series[0].view)
        plot.add_traces(traces, rows=list(METRICS).index(s.metric) + 1, cols=1)
    moving = range(len(traces_of(plot)))
    if along == "step" and not relative:
        _add_whole(plot, series)
    theme.dress(plot, height=700, controls=2, slider=True)
    for row, label in enumerate(METRICS.values(), start=1):
        plot.update_yaxes(title_text=f"change in<br>{label}" if relative else label, row=row, col=1)
    if not relative:
        plot.update_yaxes(range=[-0.03, 1.03], row=1, col=1)
    x_title = "k, neurons deleted" if along == "k" else "training step"
    plot.update_xaxes(title_text=x_title, row=len(METRICS), col=1)
    x = LogScale.of([], *(trace.x for trace in traces_of(plot)))
    if along == "k" and series:
        x = replace(x, marks=tuple(series[0].ks.tolist()))
    add_axis_buttons(plot, Axis(subplot_names("x", len(METRICS)), x, "log"))
    _add_view_buttons(plot, series)
    if series:
        _add_slider(plot, series, along, at, moving)
    return plot


def _add_whole(plot: go.Figure, series: Sequence[_Series]) -> None:
    """The network with nothing deleted, a line in each panel and view."""
    for s in series:
        if s.strategy == "top":
            whole = go.Scatter(
                x=s.steps.tolist(),
                y=rounded(s.band.mean[:, list(s.ks).index(0)]),
                customdata=s.steps.tolist(),
                mode="lines",
                line={"color": theme.NEUTRAL, "width": 3},
                opacity=0.6,
                name="nothing deleted",
                legendgroup="nothing deleted",
                showlegend=s.metric == "accuracy",
                visible=s.view is series[0].view,
                meta={"view": s.view.label, "metric": s.metric, "strategy": "none", "kind": "mean"},
                hovertemplate="nothing deleted<br>step %{customdata:,}<br>%{y:.3g}<extra></extra>",
            )
            plot.add_trace(whole, row=list(METRICS).index(s.metric) + 1, col=1)


def _traces(s: _Series, along: Along, at: int, *, visible: bool) -> list[go.Scatter]:
    name, dash, symbol = STRATEGIES[s.strategy]
    x = s.ks if along == "k" else s.steps
    unit = "k" if along == "k" else "step"
    traces = band_traces(
        x,
        s.along(along, at),
        name=name,
        colour=theme.STRATEGIES[s.strategy],
        dash=dash,
        symbol=symbol,
        visible=visible,
        showlegend=s.metric == "accuracy",
        hover=f"{name}<br>{unit} %{{customdata[0]:,}}<br>{s.metric.replace('_', '-')}",
    )
    for trace in traces:
        trace.meta = {
            **cast(dict, trace.meta),
            "view": s.view.label,
            "metric": s.metric,
            "strategy": s.strategy,
        }
    return traces


def _add_view_buttons(plot: go.Figure, series: Sequence[_Series]) -> None:
    labels = list(dict.fromkeys(s.view.label for s in series))
    buttons = [
        {
            "label": label,
            "method": "restyle",
            "args": [{"visible": [trace.meta["view"] == label for trace in traces_of(plot)]}],
        }
        for label in labels
    ]
    if buttons:
        add_buttons(plot, buttons, row=1)


def _add_slider(
    plot: go.Figure, series: Sequence[_Series], along: Along, at: int, traces: Sequence[int]
) -> None:
    first = series[0]
    stops = first.steps if along == "k" else first.ks
    positions = [i for i, stop in enumerate(stops) if along == "k" or stop > 0]
    add_slider(
        plot,
        labels=[f"{stops[i]:,}" for i in positions],
        updates=[(_at(series, along, i), {}) for i in positions],
        traces=traces,
        prefix="training step " if along == "k" else "k = ",
        active=positions.index(at),
        rows=2,
    )


def _at(series: Sequence[_Series], along: Along, at: int) -> dict[str, Any]:
    """Bounds and means of all lines at a position of the slider, and their hover texts."""
    y, custom = [], []
    for s in series:
        band = s.along(along, at)
        y += [rounded(band.low), rounded(band.high), rounded(band.mean)]
        custom += [None, None, interval_data(s.ks if along == "k" else s.steps, band)]
    return {"y": y, "customdata": custom}


def _caption(found: Sequence[Group], prefix: str) -> str:
    return (
        f"Mean over {count(found)}, with 95% intervals. A neuron is deleted by closing its gate; "
        f"neurons are ranked on the training examples ({measured_as(found, prefix + '_accuracy')}). "
        "‘Others of equal norm’: as many neurons from outside the top k, at random, as carry the same "
        "summed squared logit norm; drawn only where there are such sets (within "
        f"{MATCHED_WITHIN:.0%}). Buttons choose the examples on which the network is tested: "
        f"validation, training, or the training examples of the runs with shuffled labels. {ZERO_ON_LOG}"
    )


def _table(series: Sequence[_Series]) -> pd.DataFrame:
    """Columns labels, side, metric, strategy, step, k, mean, low, high."""
    frames = []
    for s in series:
        step, k = (a.ravel() for a in np.meshgrid(s.steps, s.ks, indexing="ij"))
        numbers = {name: rounded(getattr(s.band, name).ravel()) for name in ("mean", "low", "high")}
        who = {"labels": s.view.group.name, "side": s.view.side}
        what = {"metric": s.metric, "strategy": s.strategy}
        frames.append(pd.DataFrame({**who, **what, "step": step, "k": k, **numbers}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
