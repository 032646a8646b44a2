"""Panels below one another that share training steps, one line an arm, with a band over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undergrowth.analysis import events
from undergrowth.analysis.events import EventName
from undergrowth.report import theme
from undergrowth.report.axes import (
    ZERO_ON_LOG,
    Axis,
    LogScale,
    add_axis_buttons,
    subplot_names,
    traces_of,
)
from undergrowth.report.bands import band_traces
from undergrowth.report.curves import EVENTS
from undergrowth.report.figure import Figure
from undergrowth.report.groups import RULES, Band, counted, over_seeds
from undergrowth.store import Run


@dataclass(frozen=True, eq=False)
class Arm:
    """Runs that are treated alike, and how they are drawn."""

    name: str
    runs: tuple[Run, ...]
    colour: str
    dash: str = "solid"

    @property
    def seeds(self) -> str:
        """How many there are, in words."""
        return counted(self.runs, self.name) if self.runs else f"0 seeds {self.name}"


@dataclass(frozen=True, eq=False)
class Line:
    """A mean over seeds with its band: values [run, step], or over another axis in place of steps."""

    name: str
    values: xr.DataArray
    colour: str
    dash: str = "solid"


@dataclass(frozen=True, eq=False)
class Panel:
    """Lines in one plot. label: of the y axis; title: above it; marks: step and name of events."""

    label: str
    lines: tuple[Line, ...]
    title: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    marks: tuple[tuple[float, str], ...] = ()


def event_marks(runs: Sequence[Run]) -> tuple[tuple[float, str], ...]:
    """The median step of each event, over the runs in which it happened, where that is most of them."""
    marks = []
    names: tuple[EventName, ...] = tuple(EVENTS)
    for name in names:
        first = [events(run.curves, RULES)[name].first for run in runs]
        happened = [step for step in first if step is not None]
        if 2 * len(happened) > len(first):
            marks.append((float(np.median(happened)), EVENTS[name][2]))
    return tuple(marks)


def panels_figure(
    name: str, title: str, caption: str, panels: Sequence[Panel], *, height: int | None = None
) -> Figure:
    """The panels as rows; steps log at first, one click from linear."""
    titles = [panel.title for panel in panels] if any(panel.title for panel in panels) else None
    n = len(panels)
    tall = height or 120 + 210 * n
    gap = (0.075 if titles else 0.045) * 700 / tall
    plot = make_subplots(rows=n, cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=gap)
    methods: set[str] = set()
    frames, shown = [], set()
    for row, panel in enumerate(panels, start=1):
        for line in panel.lines:
            band = _geometric(line.values) if panel.log else over_seeds(line.values)
            methods.add(band.method)
            steps = line.values["step"].values
            traces = band_traces(
                steps,
                band,
                name=line.name,
                colour=line.colour,
                dash=line.dash,
                hover=f"{line.name}<br>step %{{customdata[0]:,}}<br>{panel.label.replace('<br>', ' ')}",
                showlegend=line.name not in shown,
            )
            shown.add(line.name)
            plot.add_traces(traces, rows=row, cols=1)
            frames.append(_tidy(panel, line, steps, band))
        _scale(plot, row, panel)
    _steps_below(plot, n, tall)
    for row, panel in enumerate(panels, start=1):
        mark_events(plot, panel.marks, row)
    bands = (
        f"Band: 95% interval over seeds ({', '.join(sorted(methods))}), of the logarithm on a log axis."
    )
    caption = f"{caption} {bands} {ZERO_ON_LOG}"
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Figure(name, title, caption, plot, table)


def mark_events(plot: go.Figure, marks: Sequence[tuple[float, str]], row: int) -> None:
    """A vertical line at each event of a panel, named at its top, one name below the other."""
    axis = "" if row == 1 else str(row)
    for line, (step, name) in enumerate(marks):
        plot.add_shape(
            type="line",
            name=name,
            xref=f"x{axis}",
            yref=f"y{axis} domain",
            x0=step,
            x1=step,
            y0=0,
            y1=1,
            line={"dash": "dot", "width": 1.4, "color": theme.NEUTRAL},
            label={
                "text": "<br>" * line + name,
                "textposition": "end",
                "textangle": 0,
                "xanchor": "right" if name == "grokked" else "left",
                "yanchor": "top",
                "font": {"size": 11},
            },
        )


def _geometric(values: xr.DataArray) -> Band:
    """Over seeds of the logarithms: the geometric mean, and an interval that stays above 0."""
    band = over_seeds(xr.apply_ufunc(np.log10, values.where(values > 0)))
    return Band(10**band.mean, 10**band.low, 10**band.high, band.method)


def _scale(plot: go.Figure, row: int, panel: Panel) -> None:
    plot.update_yaxes(title_text=panel.label, row=row, col=1)
    if panel.log:
        scale = LogScale.of([], *(line.values.values for line in panel.lines))
        at, labels = scale.ticks()
        plot.update_yaxes(type="log", tickvals=at, ticktext=labels, row=row, col=1)
    if panel.limits:
        plot.update_yaxes(range=list(panel.limits), row=row, col=1)


def _steps_below(plot: go.Figure, n_rows: int, height: int) -> None:
    theme.dress(plot, height=height)
    plot.update_layout(margin_r=26)
    plot.update_xaxes(title_text="training step", row=n_rows, col=1)
    scale = LogScale.of([], *(trace.x for trace in traces_of(plot)))
    add_axis_buttons(plot, Axis(subplot_names("x", n_rows), scale, "log"))


def _tidy(panel: Panel, line: Line, steps: np.ndarray, band) -> pd.DataFrame:
    columns = {"step": steps, "mean": band.mean, "low": band.low, "high": band.high}
    what = (panel.title or panel.label).replace("<br>", " ")
    return pd.DataFrame({"panel": what, "line": line.name, **columns})
