"""The marks as plotly's traces: plain dicts, which it checks once, when they are added to a figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from undergrowth.report import theme
from undergrowth.report.charts.description import Mark, Piece
from undergrowth.report.numbers import rounded

Trace = dict[str, Any]
Traces = list[Trace]


def lines(piece: Piece) -> Traces:
    """The bounds of the band, where there are some, and the line."""
    bounds = piece.interval
    band = (
        [] if bounds is None else [_bound(piece, bounds[0], None), _bound(piece, bounds[1], "tonexty")]
    )
    line = dict(
        type="scatter",
        **_common(piece),
        x=rounded(piece.x, 7),
        y=rounded(piece.y),
        customdata=_numbers(piece, bounds),
        mode="lines",
        line={"color": piece.look.colour, "width": piece.look.width, "dash": piece.look.dash},
        opacity=piece.look.opacity,
        hovertemplate=_template(piece, bounds is not None),
    )
    return [*band, line]


def _bound(piece: Piece, values: np.ndarray, fill: str | None) -> Trace:
    return {
        "type": "scatter",
        "x": rounded(piece.x, 7),
        "y": rounded(values),
        "mode": "lines",
        "line": {
            "width": 0 if piece.look.fill else 1,
            "color": piece.look.colour,
            "dash": piece.look.dash,
        },
        "fill": fill if piece.look.fill else None,
        "fillcolor": theme.faint(piece.look.colour, piece.look.fill),
        "legendgroup": piece.series,
        "showlegend": False,
        "hoverinfo": "skip",
        "meta": {"bound": "low" if fill is None else "high"},
    }


def _numbers(piece: Piece, bounds: tuple[np.ndarray, np.ndarray] | None) -> list[list[Any]]:
    """What the hover text of a line says: the true x and y, the bounds."""
    columns = [rounded(piece.x, 7), *(rounded(each) for each in (piece.y, *(bounds or ())))]
    return [list(row) for row in zip(*columns, strict=True)]


def _template(piece: Piece, has_bounds: bool) -> str:
    layer = piece.layer
    told = [f"{column.replace('_', ' ')} {piece.rows[column].iloc[0]}" for column in layer.tell]
    names = [name for name in (piece.panel, piece.series) if name]
    is_whole = piece.x.size and np.array_equal(piece.x, np.round(piece.x))
    x = f"{layer.x.replace('_', ' ')} %{{customdata[0]:{',' if is_whole else '.3g'}}}"
    y = f"{layer.y.replace('_', ' ')} %{{customdata[1]:.4g}}"
    interval = " [%{customdata[2]:.3g}, %{customdata[3]:.3g}]" if has_bounds else ""
    head = ", ".join([*names, *told]).replace("<br>", " ")
    return f"{head}<br>{x}<br>{y}{interval}<extra></extra>"


def intervals(piece: Piece) -> Traces:
    """A symbol with its bar; joined where they stand along x."""
    at = piece.along
    value, bounds = getattr(piece, at), piece.interval
    low, high = (np.nan_to_num(each, nan=0.0, posinf=0.0, neginf=0.0) for each in _arms(value, bounds))
    bars = {"type": "data", "symmetric": False, "array": high, "arrayminus": low, "thickness": 1.6}
    return [
        dict(
            type="scatter",
            **_common(piece),
            x=rounded(piece.x),
            y=rounded(piece.y),
            mode="markers" if at == "x" else "lines+markers",
            line={"color": piece.look.colour, "width": 1.5, "dash": piece.look.dash},
            marker={"symbol": piece.look.symbol, "size": 9, "color": piece.look.colour},
            **{f"error_{at}": {**bars, "color": piece.look.colour, "width": 3}},
            **_texts(piece),
        )
    ]


def _arms(
    value: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    return (0 * value, 0 * value) if bounds is None else (value - bounds[0], bounds[1] - value)


def dots(piece: Piece) -> Traces:
    """A symbol a row, with its label above it."""
    look, labels = piece.look, piece.texts(piece.layer.label)
    is_open = look.symbol.endswith("-open")
    edge = {"width": 1.6} if is_open else {"width": 1.2 if look.opacity == 1 else 0, "color": "#ffffff"}
    found: Traces = [
        dict(
            type="scatter",
            **_common(piece),
            x=rounded(piece.x, 7),
            y=rounded(piece.y),
            mode="markers",
            marker={
                "symbol": look.symbol,
                "size": look.size,
                "color": theme.faint(look.colour, look.opacity),
                "line": edge,
            },
            **_texts(piece),
        )
    ]
    if any(labels):
        found.append(
            {
                "type": "scatter",
                "x": rounded(piece.x, 7),
                "y": rounded(piece.y),
                "text": labels,
                "mode": "text",
                "textposition": "top center",
                "textfont": {"size": 10, "color": theme.NEUTRAL},
                "legendgroup": piece.series,
                "showlegend": False,
                "hoverinfo": "skip",
                "cliponaxis": False,
                "meta": {"of": "labels"},
            }
        )
    return found


def cells(piece: Piece) -> Traces:
    """A heat map; what the table has no row for is a gap."""
    colours, layer = piece.chart.colours, piece.layer
    assert colours is not None, "cells need the colours of their chart"
    columns, lines = np.unique(piece.x), np.unique(piece.y)
    place = np.searchsorted(lines, piece.y), np.searchsorted(columns, piece.x)

    def grid(values: Any, empty: Any) -> np.ndarray:
        found = np.full((len(lines), len(columns)), empty, object)
        found[place] = values
        return found

    shade = grid(piece.rows[layer.shade].to_numpy(float), np.nan).astype(float)
    labels = piece.texts(layer.label)
    gap = {"xgap": 3, "ygap": 3} if labels else {}
    return [
        dict(
            type="heatmap",
            x=columns.tolist(),
            y=lines.tolist(),
            z=rounded(shade),
            text=grid(labels, "").tolist() if labels else None,
            texttemplate="%{text}" if labels else None,
            textfont={"color": theme.CELL_INK, "size": 12},
            hovertext=grid(piece.hover(), "").tolist(),
            hovertemplate="%{hovertext}<extra></extra>",
            hoverongaps=False,
            colorscale=[list(stop) for stop in colours.scale],
            zmin=colours.ends[0],
            zmax=colours.ends[1],
            showscale=colours.has_bar and piece.panel == piece.chart.panels[0],
            colorbar=_bar(piece),
            **gap,
        )
    ]


def _bar(piece: Piece) -> dict[str, Any]:
    colours = piece.chart.colours
    if colours is None:
        return {}
    ticks = colours.ticks or {}
    written = {"tickvals": list(ticks), "ticktext": list(ticks.values())} if ticks else {}
    look = {
        "len": 220,
        "lenmode": "pixels",
        "y": 1,
        "yanchor": "top",
        "thickness": 12,
        "outlinewidth": 0,
    }
    return {"title": {"text": colours.title, "side": "top"}, **written, **look}


def survival(piece: Piece) -> Traces:
    """A staircase from one share to the next, and a cross where a run left unseen (`censored` > 0)."""
    unseen = piece.unseen
    stairs = dict(
        type="scatter",
        **_common(piece),
        x=rounded(piece.x, 7),
        y=rounded(piece.y),
        mode="lines",
        line={
            "shape": "hv",
            "color": piece.look.colour,
            "dash": piece.look.dash,
            "width": piece.look.width,
        },
        **_texts(piece),
    )
    crosses = {
        "type": "scatter",
        "x": rounded(piece.x[unseen], 7),
        "y": rounded(piece.y[unseen]),
        "mode": "markers",
        "marker": {
            "symbol": "cross-thin",
            "size": 9,
            "line": {"color": piece.look.colour, "width": 2},
        },
        "legendgroup": piece.series,
        "showlegend": False,
        "hoverinfo": "skip",
        "meta": {"of": "censored"},
    }
    return [stairs, crosses]


MARKS: dict[Mark, Callable[[Piece], Traces]] = {
    "lines": lines,
    "intervals": intervals,
    "dots": dots,
    "cells": cells,
    "survival": survival,
}


def traces(piece: Piece) -> Traces:
    """What draws a piece, each trace with what it is of; nothing of rules, which are shapes."""
    about = {"layer": piece.kind, "panel": piece.panel, "choice": piece.choice, "series": piece.series}
    if piece.layer.each in piece.rows and piece.layer.mark == "lines":
        about["each"] = piece.rows[piece.layer.each].iloc[0]
    found = MARKS[piece.layer.mark](piece) if piece.layer.mark in MARKS else []
    for trace in found:
        trace["meta"] = {**about, **({**trace["meta"], "series": ""} if "meta" in trace else {})}
    return found


def _common(piece: Piece) -> dict[str, Any]:
    return {
        "name": piece.series,
        "legendgroup": piece.series,
        "legendrank": 1000 + [*piece.chart.shown_series, ""].index(piece.series),
    }


def _texts(piece: Piece) -> dict[str, Any]:
    return {"text": piece.hover(), "hovertemplate": "%{text}<extra></extra>"}
