"""A chart for a screen: plotly's figure, with hover texts, a legend, buttons and a slider."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from undergrowth.report import theme
from undergrowth.report.axes import (
    Axis,
    add_axis_buttons,
    add_buttons,
    subplot_names,
)
from undergrowth.report.charts.description import Chart, Piece, Scale
from undergrowth.report.charts.marks import Trace, traces
from undergrowth.report.numbers import said
from undergrowth.report.plot import Plot
from undergrowth.report.sliders import add_slider

ROW, PANEL = 30, 170
"""Pixels of a row, and of a panel without rows."""
LETTERS, COLUMN, TITLE = 22, 10, 44
"""Of a row's name, a column's and a panel's title in a line, so that a telephone has room for them."""


def on_screen(chart: Chart) -> Plot:
    """The chart as it is first seen: the first choice, the slider at its start."""
    heights, gap = _heights(chart), _gap(chart)
    lines = len(heights)
    tall = sum(heights) + gap * (lines - 1)
    plot = Plot.of_panels(
        lines,
        chart.across,
        row_heights=heights,
        shares_x=_shares_x(chart),
        shares_y=chart.across > 1,
        vertical_spacing=min(gap / tall, 1 / lines),
        horizontal_spacing=0.06,
        titles=[_wrapped(name, TITLE) for name in chart.panels],
    )
    pieces = list(chart.pieces(chart.start))
    _draw(plot, chart, pieces)
    controls = _controls(chart)
    theme.dress(plot, height=int(tall) + 104 + 20 * _legend_lines(chart), controls=controls)
    left = (
        {"x": 0, "xanchor": "left", "xshift": -_names_wide(chart), "align": "left"}
        if chart.across == 1
        else {}
    )
    plot.update_annotations(font={"size": 12}, **left)
    for place, panel in enumerate(chart.panels):
        _scale(plot, chart, panel, place)
    _add_controls(plot, chart, pieces)
    if any(chart.panels):
        _make_room(plot, 4 + 16 * _title_lines(chart))
    if chart.is_square:
        plot.update(yaxis={"scaleanchor": "x", "constrain": "domain"}, xaxis={"constrain": "domain"})
    return plot


def _draw(plot: Plot, chart: Chart, pieces: Sequence[Piece]) -> None:
    shown: set[tuple[str, str]] = set()
    first = next((piece.choice for piece in pieces), "")
    drawn: list[Trace] = []
    places: list[tuple[int, int]] = []
    for piece in pieces:
        for trace in traces(piece):
            if trace["type"] == "scatter":
                name = trace.get("name", "")
                trace["showlegend"] = bool(name) and (piece.choice, name) not in shown
                shown |= {(piece.choice, name)} if trace["showlegend"] else set()
            drawn.append({**trace, "visible": piece.choice == first})
            places.append(_place(chart, piece.panel))
    for trace, (row, col) in zip(drawn, places, strict=True):
        plot.add(trace, row, col)
    for piece in pieces:
        if piece.layer.mark == "rules":
            _rules(plot, chart, piece)


def _place(chart: Chart, panel: str) -> tuple[int, int]:
    row, col = divmod(chart.panels.index(panel), chart.across)
    return row + 1, col + 1


def _heights(chart: Chart) -> list[float]:
    """Pixels of each line of panels."""
    layers = [layer for layer in chart.layers.values() if layer.mark == "intervals"]
    marks = max((len(chart.beside(layer)) for layer in layers), default=1)
    found = []
    for panels in chart.lines:
        rows = chart.rows_of(panels)
        written = [_wrapped(str(name), LETTERS).count("<br>") + 1 for names in rows for name in names]
        each = chart.tall or max(ROW, 14 * marks, 8 + 13 * max(written, default=1))
        found.append(float(max(20 + each * max(map(len, rows)), 60) if rows else chart.tall or PANEL))
    return found


def _gap(chart: Chart) -> int:
    """Pixels between panels: for a title, for the ticks of the one above, for the title of its axis."""
    titled = 8 + 16 * _title_lines(chart) if any(chart.panels) else 0
    scales = [chart.scale("x", panel) for panel in chart.panels]
    return titled + (8 if _shares_x(chart) else 30 + 18 * any(scale.title for scale in scales))


def _names_wide(chart: Chart) -> int:
    """Pixels that the names of rows take, left of which titles begin."""
    lines = [
        line
        for names in chart.rows_of(chart.panels)
        for name in names
        for line in _wrapped(str(name), LETTERS).split("<br>")
    ]
    return 6 * max(map(len, lines), default=0)


def _title_lines(chart: Chart) -> int:
    return max(_wrapped(panel, TITLE).count("<br>") + 1 for panel in chart.panels)


def _shares_x(chart: Chart) -> bool:
    return isinstance(chart.x, Scale) and chart.x.kind != "rows"


def _legend_lines(chart: Chart) -> int:
    return ceil(sum(9 + len(name) for name in chart.shown_series) / 90)


def _scale(plot: Plot, chart: Chart, panel: str, place: int) -> None:
    row, col = _place(chart, panel)
    is_last = place >= len(chart.panels) - chart.across
    for letter in "xy":
        scale = chart.scale(letter, panel)
        titled = (is_last or not _shares_x(chart)) if letter == "x" else col == 1
        plot.update_axes(letter, _axis(chart, scale, letter, panel), row, col)
        if scale.title and titled:
            title = {"text": _wrapped(scale.title, 34 if letter == "y" else 70)}
            plot.update_axes(letter, {"title": title}, row, col)
        for at in scale.lines:
            line = {"dash": "dot", "width": 1.2, "color": theme.NEUTRAL}
            plot.add_line(letter, at, line, row, col)


def _axis(chart: Chart, scale: Scale, letter: str, panel: str) -> dict[str, Any]:
    """Fields of plotly's axis."""
    if scale.kind == "rows":
        names = chart.order(letter, panel)
        ends = [len(names) - 0.5, -0.5] if letter == "y" else [-0.5, len(names) - 0.5]
        text = [_wrapped(str(name), LETTERS if letter == "y" else COLUMN) for name in names]
        return {
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": text,
            "range": ends,
            "showgrid": False,
            "tickformat": None,
        }
    found: dict[str, Any] = {"tickformat": None} if letter == "x" and scale.kind == "linear" else {}
    if scale.limits and not scale.is_switchable:
        found["range"] = list(np.log10(scale.limits)) if scale.kind == "log" else list(scale.limits)
    if scale.ticks is not None:
        found |= {"tickvals": list(scale.ticks), "ticktext": list(scale.ticks.values())}
    elif scale.kind == "log" and not scale.is_switchable:
        at, labels = chart.log_scale(letter, panel).ticks()
        found |= {"type": "log", "tickvals": at, "ticktext": labels}
    return found


def _controls(chart: Chart) -> int:
    """Rows of buttons."""
    switches = any(_switchable(chart, letter) for letter in "xy")
    return (switches or chart.other_x is not None) + bool(chart.choose and chart.positions(chart.choose))


def _axis_names(chart: Chart, letter: str) -> tuple[str, ...]:
    """plotly's names of all axes, those of empty places of the last line too."""
    return subplot_names(letter, len(chart.lines) * chart.across)


def _switchable(chart: Chart, letter: str) -> Scale | None:
    found = chart.x if letter == "x" else chart.y
    return found if isinstance(found, Scale) and found.is_switchable else None


def _add_controls(plot: Plot, chart: Chart, pieces: Sequence[Piece]) -> None:
    moving = range(len(plot.data))
    axes = []
    for letter in "xy":
        if scale := _switchable(chart, letter):
            start = "log" if scale.kind == "log" else "linear"
            ends = scale.log_limits
            limits = ends and (float(np.log10(ends[0])), float(np.log10(ends[1])))
            axes.append(
                Axis(_axis_names(chart, letter), chart.log_scale(letter), start, scale.limits, limits)
            )
    add_axis_buttons(plot, *axes)
    if chart.other_x is not None:
        _add_other_x(plot, chart, pieces)
    row = bool(axes) or chart.other_x is not None
    if chart.choose and (choices := chart.positions(chart.choose)):
        add_buttons(plot, [_choice(plot, str(choice)) for choice in choices], row=int(row))
    if chart.slide and (stops := chart.positions(chart.slide)):
        add_slider(
            plot,
            labels=[said(stop) for stop in stops],
            updates=[(_moved(chart, stop), {}) for stop in stops],
            traces=moving,
            prefix=chart.slide_title,
            active=stops.index(chart.start),
            rows=_controls(chart),
        )
        plot.update(margin={"t": 28 + 40 * _controls(chart) + 74}, height=plot.layout["height"] + 74)


def _choice(plot: Plot, choice: str) -> dict[str, Any]:
    visible = [trace["meta"]["choice"] == choice for trace in plot.data]
    return {"label": choice, "method": "restyle", "args": [{"visible": visible}]}


def _moved(chart: Chart, stop: Any) -> dict[str, Any]:
    """What the slider changes: the values of every trace and what they say."""
    found = [trace for piece in chart.pieces(stop) for trace in traces(piece)]
    return {key: [trace.get(key) for trace in found] for key in ("y", "customdata")}


def _add_other_x(plot: Plot, chart: Chart, pieces: Sequence[Piece]) -> None:
    """Buttons that put another column in the place of x."""
    assert chart.other_x is not None
    assert isinstance(chart.x, Scale)
    column, title = chart.other_x
    xs: dict[str, list[Any]] = {"x": [], column: []}
    for piece in pieces:
        n = len(traces(piece))
        xs["x"] += [piece.x.tolist()] * n
        xs[column] += [piece.rows[column].to_numpy(float).tolist()] * n
    names = _axis_names(chart, "x")
    buttons = [
        {
            "label": label,
            "method": "update",
            "args": [
                {"x": xs[key]},
                {f"{names[-1]}.title.text": label, **{f"{name}.autorange": True for name in names}},
            ],
        }
        for key, label in (("x", chart.x.title), (column, title))
    ]
    add_buttons(plot, buttons)


def _rules(plot: Plot, chart: Chart, piece: Piece) -> None:
    """Lines from edge to edge of their panel: upright at x, level at y; names below one another."""
    n = plot.number(*_place(chart, piece.panel))
    axis = {letter: f"{letter}{n}" for letter in "xy"}
    upright = bool(piece.layer.x)
    along, across = ("x", "y") if upright else ("y", "x")
    values = getattr(piece, along)
    for line, (at, name) in enumerate(zip(values, piece.texts(piece.layer.label), strict=True)):
        place = {"textposition": "end", "textangle": 0, "yanchor": "top"}
        if not upright:
            place = {"textposition": "start", "yanchor": "bottom"}
        is_late = upright and at == max(values) and len(values) > 1
        plot.add_shape(
            type="line",
            name=name,
            **{f"{along}ref": axis[along], f"{across}ref": f"{axis[across]} domain"},
            **{f"{along}0": at, f"{along}1": at, f"{across}0": 0, f"{across}1": 1},
            line={"dash": "dot", "width": 1.4, "color": theme.NEUTRAL},
            label={
                "text": "<br>" * line * upright + name,
                "font": {"size": 11},
                "xanchor": "right" if is_late else "left",
                **place,
            },
        )


def _make_room(plot: Plot, pixels: int) -> None:
    """Lift the controls above the title of the first panel."""
    layout = plot.layout
    for control in (*layout.get("updatemenus", ()), *layout.get("sliders", ())):
        control["pad"]["b"] += pixels
    plot.update(margin={"t": layout["margin"]["t"] + pixels}, height=layout["height"] + pixels)


def _wrapped(text: str, letters: int) -> str:
    return "<br>".join("<br>".join(textwrap.wrap(line, letters)) for line in text.split("<br>"))
