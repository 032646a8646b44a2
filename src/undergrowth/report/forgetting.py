"""What is kept of classes of examples as the weights move away: a grid of plots over the distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undergrowth.report import theme
from undergrowth.report.bands import band_traces
from undergrowth.report.figure import Figure
from undergrowth.report.groups import over_seeds
from undergrowth.report.panels import Line


@dataclass(frozen=True, eq=False)
class Cell:
    """One plot: its column and row by their titles, and the classes in it.

    lines: a class of examples each, values [run, distance], NaN where a run has none.
    """

    column: str
    row: str
    lines: tuple[Line, ...]


def kept_figure(
    name: str, title: str, caption: str, label: str, cells: Sequence[Cell], limits: tuple[float, float]
) -> Figure:
    """The cells as a grid, columns and rows in the order in which they first come."""
    columns = list(dict.fromkeys(cell.column for cell in cells))
    rows = list(dict.fromkeys(cell.row for cell in cells))
    by_place = {(cell.row, cell.column): cell for cell in cells}
    titles = [_title(by_place.get((row, column))) for row in rows for column in columns]
    tall = 130 + 250 * len(rows)
    plot = make_subplots(
        max(1, len(rows)),
        max(1, len(columns)),
        shared_yaxes=True,
        subplot_titles=titles or None,
        horizontal_spacing=0.04,
        vertical_spacing=90 / tall,
    )
    shown: set[str] = set()
    frames, methods = [], set()
    for cell in cells:
        row, col = rows.index(cell.row) + 1, columns.index(cell.column) + 1
        for line in cell.lines:
            distance, band = line.values["distance"].values, over_seeds(line.values)
            methods.add(band.method)
            traces = band_traces(
                distance,
                band,
                name=line.name,
                colour=line.colour,
                dash=line.dash,
                hover=f"{line.name}<br>distance %{{customdata[0]:.2f}}<br>{label}",
                showlegend=line.name not in shown,
            )
            shown.add(line.name)
            plot.add_traces(traces, rows=row, cols=col)
            frames.append(_tidy(cell, line, distance, band))
        plot.update_yaxes(range=list(limits), row=row, col=col)
        if col == 1:
            plot.update_yaxes(title_text=label, row=row, col=col)
        if row == len(rows):
            plot.update_xaxes(title_text="distance", row=row, col=col)
    theme.dress(plot, height=tall, controls=0)
    _look(plot)
    told = (
        f"{caption} Distance: how far the weights have moved, as a share of their norm at the fork. "
        f"Band: 95 % interval over seeds ({', '.join(sorted(methods)) or 'none'})."
    )
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Figure(name, title, told, plot, table)


def _title(cell: Cell | None) -> str:
    return "" if cell is None else f"{cell.row}<br>{cell.column}"


def _look(plot: go.Figure) -> None:
    plot.update_xaxes(tickformat=None, tickvals=[0, 0.2, 0.4, 0.6])
    plot.update_annotations(font_size=11)
    plot.update_layout(margin_t=58)


def _tidy(cell: Cell, line: Line, distance: np.ndarray, band) -> pd.DataFrame:
    columns = {"distance": distance, "mean": band.mean, "low": band.low, "high": band.high}
    n = int(line.values.sizes["run"])
    return pd.DataFrame({"row": cell.row, "column": cell.column, "class": line.name, "n": n, **columns})
