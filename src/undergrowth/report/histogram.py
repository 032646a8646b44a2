"""The histogram of the neurons' saliency, with a slider over training steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis import effective_number, gini, skewness
from undergrowth.measures import SIDES
from undergrowth.report import theme
from undergrowth.report.axes import Axis, LogScale, add_axis_buttons, subplot_names
from undergrowth.report.charts import Chart, Layer, Scale
from undergrowth.report.figure import Figure
from undergrowth.report.groups import SIDE_NAMES, Group, Runs, count, groups, measured_as
from undergrowth.report.numbers import format_number, rounded
from undergrowth.report.plot import Fields, Plot
from undergrowth.report.sliders import add_slider

N_BINS = 50
RELATIVE = "saliency ÷ mean over the run’s neurons"


@dataclass(frozen=True, eq=False)
class Histogram:
    """How a reading is spread over components at each step, pooled over the runs of a group.

    edges: of bins common to all steps, sides and groups, in units of the mean over a run's
    components; the last bin holds all above it too. share: dims (step, side, bin), of all
    components. skewness, gini, effective: dims (step, side), means over runs.
    """

    group: Group
    edges: np.ndarray
    share: xr.DataArray
    skewness: xr.DataArray
    gini: xr.DataArray
    effective: xr.DataArray


def saliency_histogram(runs: Runs, reading: str = "saliency_median") -> Figure:
    """Share of neurons by saliency relative to the step's mean, with a slider over steps."""
    found = groups(runs, reading)
    edges = bin_edges([_relative(g.values(reading)) for g in found])
    histograms = [histogram(group, reading, edges) for group in found]
    steps = histograms[0].share["step"].values.tolist() if histograms else []
    plot = Plot.of_panels(len(SIDES), 1, shares_x=True, vertical_spacing=0.07)
    for row, side in enumerate(SIDES, start=1):
        for h in histograms:
            plot.add(_bars(h, side, len(steps) - 1), row, 1)
        title = {"text": f"share of neurons,<br>{SIDE_NAMES[side]}"}
        plot.update_axes("y", {"title": title}, row, 1)
        _add_summary(plot, row, histograms, side)
    theme.dress(plot, height=620, slider=True)
    plot.update(barmode="overlay", bargap=0)
    _label_x(plot, edges)
    add_axis_buttons(plot, _share_axis(histograms))
    updates = [_at(histograms, step) for step in range(len(steps))]
    labels = [f"{step:,}" for step in steps]
    active = len(steps) - 1
    if steps:
        add_slider(
            plot,
            labels=labels,
            updates=updates,
            traces=range(len(plot.data)),
            prefix="training step ",
            active=active,
        )
    title = "How salient each neuron is at each step"
    table = _table(histograms)
    last: Any = table[table["step"] == steps[-1]] if steps else table
    paper = Chart(
        last.assign(panel=last["side"].map(SIDE_NAMES)) if steps else last,
        {"": Layer("survival", "from", "share", series="labels")},
        x=Scale(RELATIVE),
        y=Scale("share of neurons"),
    )
    return Figure("saliency_histogram", title, _caption(found, reading, edges), plot, table, paper)


def histogram(group: Group, reading: str, edges: np.ndarray) -> Histogram:
    """Count a group's reading [run, step, side, component] into bins of its relative value."""
    values = group.values(reading)
    component = str(values.dims[-1])
    relative = _relative(values).clip(max=(edges[-2] + edges[-1]) / 2)
    share = xr.apply_ufunc(
        lambda a: np.histogram(a[np.isfinite(a)], edges)[0] / max(np.isfinite(a).sum(), 1),
        relative.stack(pooled=("run", component)),
        input_core_dims=[["pooled"]],
        output_core_dims=[["bin"]],
        vectorize=True,
    )
    skews, ginis, numbers = (
        xr.apply_ufunc(f, values, input_core_dims=[[component]]).mean("run")
        for f in (skewness, gini, effective_number)
    )
    return Histogram(group, edges, share, skews, ginis, numbers)


def bin_edges(relative: Sequence[xr.DataArray]) -> np.ndarray:
    """Even bins from 0, up to where 99 % of the values of every step lie, plus one for the rest."""
    if not relative:
        return np.linspace(0, 1, N_BINS + 1)
    tops = [a.quantile(0.99, dim=["run", a.dims[-1]]).max() for a in relative]
    width = _even(float(max(tops)) / N_BINS)
    n = int(np.ceil(float(max(tops)) / width))
    return np.round(np.arange(n + 2) * width, 6)


def _even(width: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    unit = 10 ** np.floor(np.log10(width))
    return float(next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= width * 0.999))


def _relative(values: xr.DataArray) -> xr.DataArray:
    mean = values.mean(str(values.dims[-1]))
    return values / mean.where(mean > 0)


def _bars(h: Histogram, side: str, step: int) -> Fields:
    ranges = [f"{a:g}–{b:g}" for a, b in zip(h.edges[:-1], h.edges[1:], strict=True)]
    ranges[-1] = f"≥ {h.edges[-2]:g}"
    common: dict[str, Any] = {
        "x": rounded(h.edges if h.group.is_control else (h.edges[:-1] + h.edges[1:]) / 2),
        "y": _heights(h, side, step),
        "customdata": ranges,
        "name": h.group.legend(side),
        "meta": {"side": side, "labels": h.group.name},
        "hovertemplate": f"{h.group.legend(side)}<br>%{{customdata}} times the mean"
        "<br>%{y:.2%} of neurons<extra></extra>",
    }
    look = h.group.look(side)
    colour = look.colour
    if h.group.is_control:
        return dict(
            type="scatter",
            **common,
            mode="lines",
            line={"shape": "hv", "color": colour, "width": 1.8, "dash": look.dash},
            legendrank=1010,
        )
    outline = {"color": colour, "width": 0.8}
    return dict(
        type="bar",
        **common,
        marker={"color": theme.faint(colour, 0.55), "line": outline},
        legendrank=1000,
    )


def _share_axis(histograms: Sequence[Histogram]) -> Axis:
    """Limits that hold at every step and leave room for the summary above the bars."""
    shares = np.concatenate([[0.01, 1.0], *(h.share.values.ravel() for h in histograms)])
    positive = shares[np.isfinite(shares) & (shares > 0)][0 if not histograms else 2 :]
    low, high = float(positive.min()), float(positive.max())
    bottom, top = np.log10(low) - 0.3, np.log10(high)
    return Axis(
        subplot_names("y", len(SIDES)),
        LogScale(low, high, has_zero=False),
        "linear",
        linear_range=(0.0, high * 1.4),
        log_range=(float(bottom), float(top + 0.4 * (top - bottom))),
    )


def _heights(h: Histogram, side: str, step: int) -> list[float | None]:
    """Shares of the bins; for a line along edges the last one twice."""
    share = rounded(h.share.sel(side=side)[step])
    return [*share, share[-1]] if h.group.is_control else share


def _add_summary(plot: Plot, row: int, histograms: Sequence[Histogram], side: str) -> None:
    axis = "" if row == 1 else row
    plot.add_annotation(
        text=_summary(histograms, side, -1),
        xref="x domain" if row == 1 else f"x{axis} domain",
        yref="y domain" if row == 1 else f"y{axis} domain",
        x=1,
        y=1,
        xanchor="right",
        yanchor="top",
        align="right",
        font={"size": 11},
        name=f"summary {side}",
    )


def _summary(histograms: Sequence[Histogram], side: str, step: int) -> str:
    """Skewness, Gini and effective number at a step, mean over seeds, a line for each group."""
    lines = []
    for h in histograms:
        skew, even, number = (float(a.sel(side=side)[step]) for a in (h.skewness, h.gini, h.effective))
        lines.append(
            f"{h.group.name}: skewness {skew:.2f}, Gini {even:.2f}, N<sub>eff</sub> "
            f"{format_number(number)}"
        )
    return "<br>".join(lines)


def _at(histograms: Sequence[Histogram], step: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the slider changes: shares of all traces, and the text of the two annotations."""
    shares = [_heights(h, side, step) for side in SIDES for h in histograms]
    texts = {f"annotations[{i}].text": _summary(histograms, side, step) for i, side in enumerate(SIDES)}
    return {"y": shares}, texts


def _label_x(plot: Plot, edges: np.ndarray) -> None:
    end = float(edges[-2])
    ticks = [float(v) for v in np.arange(0, end * 0.93, max(1.0, round(end / 8)))]
    scale = {
        "tickvals": [*ticks, end],
        "ticktext": [*(f"{v:g}" for v in ticks), f"≥ {end:g}"],
        "range": [0, float(edges[-1])],
    }
    plot.update_axes("x", scale)
    plot.update_axes("x", {"title": {"text": RELATIVE}}, len(SIDES), 1)


def _caption(found: Sequence[Group], reading: str, edges: np.ndarray) -> str:
    n = sum(1 for g in found for _ in g.runs) and found[0].values(reading).shape[-1]
    return (
        f"{n} neurons of each run, by the {reading.rsplit('_', 1)[-1]} |saliency| over the examples of "
        f"a side ({measured_as(found, reading)}), divided by its mean over the run’s neurons at that "
        "step: the scale itself grows by orders of magnitude, and neither skewness nor Gini depends on "
        f"it. Bins are the same at all steps; the last holds all values from {edges[-2]:g} up. Pooled "
        f"over {count(found)}. Skewness, Gini and the effective number (N_eff) are means over seeds. "
        "The slider sets the training step. A log axis does not show empty bins."
    )


def _table(histograms: Sequence[Histogram]) -> pd.DataFrame:
    """Columns labels, side, step, from, to, share."""
    frames = []
    for h in histograms:
        frame = h.share.rename("share").to_dataframe().reset_index()
        frame["from"], frame["to"] = h.edges[:-1][frame["bin"]], h.edges[1:][frame["bin"]]
        frame.insert(0, "labels", h.group.name)
        frame.loc[frame["bin"] == len(h.edges) - 2, "to"] = np.inf
        frames.append(frame.drop(columns="bin").round(6))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
