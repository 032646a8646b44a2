"""A figure is a value: the page, a notebook and a paper show the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from undergrowth.report.charts.description import Chart, Layer
from undergrowth.report.charts.paper import on_paper
from undergrowth.report.charts.screen import on_screen
from undergrowth.report.plot import Plot

CONFIG: dict[str, Any] = {
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,  # plotly.js 4 would offer to upload the figure
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["toImage", "select2d", "lasso2d", "autoScale2d"],
}
"""How plotly.js shows a figure, wherever it is shown."""


@dataclass(frozen=True, eq=False)
class Figure:
    """A plot with what must be known to read it.

    name: a slug, unique in a report; title: what it shows, as a sentence; caption: how to read it,
    with rules, n and units; drawn: the plot, as data; table: the numbers that it draws, tidy; chart: the
    same for paper.
    """

    name: str
    title: str
    caption: str
    drawn: Plot
    table: pd.DataFrame
    chart: Chart

    def __repr__(self) -> str:
        return f"Figure({self.name!r}: {self.title})"

    @cached_property
    def plot(self) -> go.Figure:
        """The plotly figure."""
        return self.drawn.figure

    def titled(self) -> go.Figure:
        """The plot with its title in it, for where nothing else shows the title."""
        plot = go.Figure(self.plot)
        title = {"text": self.title, "x": 0, "xref": "paper", "y": 1, "yanchor": "top"}
        layout: Any = plot.layout
        top, height = layout.margin.t or 0, layout.height or 450
        return plot.update_layout(
            title={**title, "pad": {"t": 12}, "font": {"size": 16}},
            margin={"t": top + 36},
            height=height + 36,
        )

    def show(self) -> None:
        """Show it in a notebook or a browser."""
        self.titled().show(config=CONFIG)

    def save(self, path: str | Path) -> Path:
        """Write it for a paper, as a .pdf, .svg or .png: one column wide, light, without controls.

        Title and caption are left to the paper. Of what buttons and a slider choose, what is seen first.
        Raises ValueError for another suffix, ModuleNotFoundError without matplotlib.
        """
        return on_paper(self.chart, Path(path))

    def _ipython_display_(self) -> None:
        """Show it as the last value of a notebook's cell."""
        self.show()


def chart(
    name: str,
    title: str,
    caption: str,
    table: pd.DataFrame,
    layers: Mapping[str, Layer] | Layer,
    **how: Any,
) -> Figure:
    """A figure that draws a table; how: the fields of `Chart`."""
    drawn = Chart(table, {"": layers} if isinstance(layers, Layer) else layers, **how)
    return Figure(name, title, caption, on_screen(drawn), table, drawn)
