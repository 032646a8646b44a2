"""A number of each run by arm: every seed as a dot, and the mean over seeds with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undergrowth.analysis import Estimate, estimate
from undergrowth.report import theme
from undergrowth.report.bands import faint
from undergrowth.report.figure import Figure
from undergrowth.report.numbers import format_number, rounded


@dataclass(frozen=True)
class Panel:
    """A number: what it is, with its unit, and its values over seeds by arm; NaN where there is none."""

    label: str
    values: Mapping[str, Sequence[float]]


def by_arm_figure(name: str, title: str, panels: Sequence[Panel], caption: str) -> Figure:
    """Panels below one another, a row an arm, from top to bottom in the order given."""
    rows = [len(panel.values) for panel in panels]
    plot = make_subplots(
        len(panels), 1, row_heights=[max(1, n) for n in rows], vertical_spacing=_gap(rows)
    )
    tables = []
    for at, panel in enumerate(panels, start=1):
        estimates = {arm: estimate(_known(values)) for arm, values in panel.values.items()}
        for trace in _traces(panel, estimates, first=at == 1):
            plot.add_trace(trace, row=at, col=1)
        plot.update_xaxes(title_text=panel.label, zeroline=True, zerolinecolor=theme.NEUTRAL, row=at)
        plot.update_yaxes(autorange="reversed", categoryorder="array", row=at)
        plot.update_yaxes(categoryarray=[f"{arm} (n = {e.n})" for arm, e in estimates.items()], row=at)
        tables.append(_table(panel, estimates))
    theme.dress(plot, height=140 + 70 * len(panels) + 34 * sum(rows), controls=0)
    plot.update_xaxes(tickformat=None)
    told = (
        "Dots are seeds, the diamond their mean with its 95 % interval (Student's t, corrected for "
        "skewness; none of one seed, nor of fewer than six that are all equal); n: how many seeds "
        f"there are to draw. {caption}"
    )
    return Figure(name, title, told, plot, pd.concat(tables, ignore_index=True))


def _gap(rows: Sequence[int]) -> float:
    """Room for an axis title between panels, as a share of the plot."""
    return min(0.2, 70 / (70 * len(rows) + 34 * sum(rows)))


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def _traces(panel: Panel, estimates: Mapping[str, Estimate], *, first: bool) -> list[go.Scatter]:
    rows = {arm: f"{arm} (n = {found.n})" for arm, found in estimates.items()}
    dots = [(v, rows[arm]) for arm, values in panel.values.items() for v in _known(values)]
    means = list(estimates.values())
    common: dict[str, Any] = {"mode": "markers", "showlegend": first}
    return [
        go.Scatter(
            **common,
            x=rounded([v for v, _ in dots]),
            y=[arm for _, arm in dots],
            name="one seed",
            legendgroup="seed",
            marker={"size": 9, "color": faint(theme.SIDES["train"], 0.6), "line": {"width": 0}},
            meta={"kind": "seed"},
            hovertemplate="%{y}<br>%{x:.3g}<extra></extra>",
        ),
        go.Scatter(
            **common,
            x=rounded([e.effect for e in means]),
            y=list(rows.values()),
            name="mean and interval",
            legendgroup="mean",
            marker={"size": 11, "symbol": "diamond", "color": theme.STRATEGIES["top"]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [e.high - e.effect if e.is_bounded else 0 for e in means],
                "arrayminus": [e.effect - e.low if e.is_bounded else 0 for e in means],
                "color": theme.STRATEGIES["top"],
            },
            text=[_told(arm, e) for arm, e in estimates.items()],
            meta={"kind": "mean"},
            hovertemplate="%{text}<extra></extra>",
        ),
    ]


def _told(arm: str, e: Estimate) -> str:
    interval = (
        f"<br>[{format_number(e.low)}, {format_number(e.high)}], {e.method}" if e.is_bounded else ""
    )
    return f"{arm}: {format_number(e.effect)}{interval}<br>{e.seeds}"


def _table(panel: Panel, estimates: Mapping[str, Estimate]) -> pd.DataFrame:
    """Columns quantity, arm, value (a row a seed), and mean, low, high, n of the arm."""
    rows = [
        {
            "quantity": panel.label,
            "arm": arm,
            "value": value,
            "mean": estimates[arm].effect,
            "low": estimates[arm].low,
            "high": estimates[arm].high,
            "n": estimates[arm].n,
        }
        for arm, values in panel.values.items()
        for value in values or [float("nan")]
    ]
    return pd.DataFrame(rows)
