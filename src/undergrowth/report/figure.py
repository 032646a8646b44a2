"""A figure is a value: the page, a notebook and a paper show the same one."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class Figure:
    """A plot with what must be known to read it.

    name: a slug, unique in a report; title: what it shows, as a sentence; caption: how to read it,
    with rules, n and units; plot: the plotly figure.
    """

    name: str
    title: str
    caption: str
    plot: go.Figure

    def show(self) -> None:
        """Show it in a notebook or a browser."""
        self.plot.show()
