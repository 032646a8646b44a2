"""A figure is a value: the page, a notebook and a paper show the same one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go

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
    with rules, n and units; plot: the plotly figure; table: the numbers that it draws, tidy.
    """

    name: str
    title: str
    caption: str
    plot: go.Figure
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

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

    def _ipython_display_(self) -> None:
        """Show it as the last value of a notebook's cell."""
        self.show()
