"""How sure a model is of its training examples step by step, and what still pushes its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undergrowth.report import theme
from undergrowth.report.axes import Axis, LogScale, add_axis_buttons, subplot_names
from undergrowth.report.bands import faint
from undergrowth.report.figure import Figure
from undergrowth.report.numbers import rounded
from undergrowth.report.panels import Arm, Line, Panel, event_marks, mark_events, panels_figure
from undergrowth.store import Run
from undergrowth.store.reader import together

LEVELS = {0.95: "p = 0.95", 0.99: "p = 0.99"}
LOWEST = -10
"""Bins of log10(1 - p) below are drawn with this one: there p differs from 1 by less than 1e-10."""


def error_probability_figure(arms: Sequence[Arm], side: str = "train") -> Figure:
    """The distribution over examples of 1 - p at every step, a panel an arm, pooled over seeds."""
    titles = [arm.name for arm in arms]
    n = max(len(arms), 1)
    plot = make_subplots(
        rows=n, cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.16 / n
    )
    frames = []
    for row, arm in enumerate(arms, start=1):
        share = together(arm.runs, "confidence_histogram").sel(side=side).mean("run")
        shown = _folded(share.sel(step=share["step"].values > 0))
        plot.add_trace(_heatmap(shown, row == 1), row=row, col=1)
        for level, name in LEVELS.items():
            _level(plot, level, name, row)
        ends = shown["bin"].values
        plot.update_yaxes(
            title_text="1 − p",
            range=[float(ends.min()), 0],
            tickvals=list(range(int(ends.min()), 1, 2)),
            ticktext=[f"10<sup>−{-k}</sup>" if k else "1" for k in range(int(ends.min()), 1, 2)],
            row=row,
            col=1,
        )
        frame = share.rename("share").to_dataframe().reset_index()
        frame.insert(0, "arm", arm.name)
        frames.append(frame[frame["share"] > 0])
    theme.dress(plot, height=110 + 230 * n)
    plot.update_xaxes(title_text="training step", row=n, col=1)
    edges = [_edges(together(arm.runs, "confidence_histogram")["step"].values) for arm in arms]
    scale = LogScale.of([], *edges)
    add_axis_buttons(plot, Axis(subplot_names("x", n), scale, "log"))
    for row, arm in enumerate(arms, start=1):
        mark_events(plot, event_marks(arm.runs), row)
    caption = (
        "Share of the training examples whose correct label lacks 1 − p of probability 1, in bins a "
        "quarter of a decade high; darker is more. Mean over seeds: "
        f"{', '.join(arm.seeds for arm in arms)}. Dotted: the median step of each event over the "
        "seeds in which it happened, if most. What is below 1e-10 stands in the lowest bin; step 0 is "
        "left out."
    )
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    title = "How near to 1 the probability of each memorised label comes"
    return Figure("error_probability", title, caption, plot, table)


def _folded(share: xr.DataArray) -> xr.DataArray:
    """Bins below `LOWEST` added to the lowest drawn one; from there to the lowest that is not empty."""
    edges = share["bin"].values.astype(float)
    share = share.assign_coords(bin=edges)
    low = share.sel(bin=edges < LOWEST).sum("bin")
    kept = share.sel(bin=edges >= LOWEST).copy()
    kept[{"bin": 0}] = kept[{"bin": 0}] + low
    holds = np.flatnonzero((kept.values > 0).any(axis=kept.get_axis_num("step")))
    lowest = np.floor(kept["bin"].values[holds[0]] / 2) * 2 if len(holds) else -2
    return kept.sel(bin=kept["bin"].values >= lowest)


def _heatmap(share: xr.DataArray, scale: bool) -> go.Heatmap:
    """Its cells, white where there is no example; a square root brings out small shares."""
    values = share.transpose("bin", "step").values
    colour = theme.SIDES["train"]
    lower = share["bin"].values
    return go.Heatmap(
        x=_edges(share["step"].values).tolist(),
        y=[*lower.tolist(), 0.0],
        z=rounded(np.where(values > 0, np.sqrt(values), np.nan)),
        customdata=np.stack(
            [np.broadcast_to(share["step"].values, values.shape), values], axis=-1
        ).tolist(),
        colorscale=[[0, faint(colour, 0.12)], [1, faint(colour, 1)]],
        zmin=0,
        zmax=1,
        showscale=scale,
        colorbar={
            "title": {"text": "share", "side": "top"},
            "tickvals": [0.1, 0.5**0.5 / 5**0.5, 0.5, 0.5**0.5, 1],
            "ticktext": ["1 %", "10 %", "25 %", "50 %", "100 %"],
            "len": 220,
            "lenmode": "pixels",
            "y": 1,
            "yanchor": "top",
            "thickness": 12,
        },
        hovertemplate="step %{customdata[0]:,}<br>1 − p from 10^%{y:.2f}"
        "<br>%{customdata[1]:.2%} of examples<extra></extra>",
    )


def _edges(steps: np.ndarray) -> np.ndarray:
    """Where the cell of each step above 0 begins and ends on a log axis."""
    at = np.log10(steps[steps > 0].astype(float))
    if len(at) == 1:
        return 10 ** np.array([at[0] - 0.1, at[0] + 0.1])
    between = (at[1:] + at[:-1]) / 2
    return 10 ** np.concatenate([[at[0]], between, [at[-1]]])


def _level(plot: go.Figure, level: float, name: str, row: int) -> None:
    axis = "" if row == 1 else str(row)
    at = float(np.log10(1 - level))
    plot.add_shape(
        type="line",
        name=name,
        xref=f"x{axis} domain",
        yref=f"y{axis}",
        x0=0,
        x1=1,
        y0=at,
        y1=at,
        line={"width": 1, "dash": "4px,3px", "color": theme.NEUTRAL},
        label={"text": name, "textposition": "start", "yanchor": "bottom", "font": {"size": 10}},
    )


def push_figure(arms: Sequence[Arm]) -> Figure:
    """The loss gradient, the two parts of the update and how many examples push, a line an arm."""

    def lines(value: Callable[[Run], xr.DataArray], suffix: str = "") -> tuple[Line, ...]:
        drawn = []
        for arm in arms:
            values = _over_runs(arm.runs, value)
            if np.isfinite(values.values).any():
                drawn.append(Line(arm.name + suffix, values, arm.colour, arm.dash))
        return tuple(drawn)

    marks = event_marks(arms[0].runs) if arms else ()
    panels = (
        Panel("norm of the<br>loss gradient", lines(lambda r: r["confidence_gradient_norm"]), log=True),
        Panel("gradient’s part<br>of the update", lines(lambda r: r["confidence_data_norm"]), log=True),
        Panel(
            "gradient’s part ÷<br>decay’s part",
            lines(lambda r: _ratio(r["confidence_data_norm"], r["confidence_decay_norm"])),
            log=True,
        ),
        Panel("cosine of gradient<br>and decay pull", lines(_cosine), limits=(-1.03, 0.53)),
        Panel("share of examples<br>that push", lines(_effective_examples), limits=(0, 1.03)),
    )
    panels = tuple(
        Panel(panel.label, panel.lines, log=panel.log, limits=panel.limits, marks=marks)
        for panel in panels
        if panel.lines
    )
    caption = (
        f"Mean over seeds: {', '.join(arm.seeds for arm in arms)}. From above: the norm of the gradient "
        "of the training loss; of the next update the norm of what the gradient does (through the "
        "optimiser), and that over the norm of what decay does; the cosine of the gradient with the "
        "weights that decay pulls on, −1 where the two hold each other; and the effective "
        "share of the training examples that push, (Σ|g|)² / (n Σ|g|²), with g the gradient of an "
        f"example’s own loss. Dotted: median event over the seeds {arms[0].name if arms else ''}. "
        "Without decay there is no ratio and no cosine."
    )
    title = "What still pushes the weights once the labels are memorised"
    return panels_figure("push", title, caption, panels)


def _over_runs(runs: Sequence[Run], value: Callable[[Run], xr.DataArray]) -> xr.DataArray:
    return xr.concat(
        [value(run) for run in runs], dim="run", join="outer", coords="minimal", compat="override"
    )


def _ratio(above: xr.DataArray, below: xr.DataArray) -> xr.DataArray:
    return above / below.where(below > 1e-6 * above)


def _cosine(run: Run) -> xr.DataArray:
    return run["confidence_pull_cosine"].where(run["confidence_pull_norm"] > 0)


def _effective_examples(run: Run) -> xr.DataArray:
    return run["confidence_effective_examples_train"] / run.spec.data().n_train
