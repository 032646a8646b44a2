"""A chart for a paper: matplotlib's, as a file, drawn from the description that the screen shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from undergrowth.report import theme
from undergrowth.report.axes import LogScale
from undergrowth.report.charts.description import Chart, Mark, Piece, Scale
from undergrowth.report.numbers import SUPERSCRIPT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".svg", ".png")
WIDTH, PANEL, ROW, MARGIN = 5.5, 1.5, 0.22, 0.6
"""Inches: of the text of a paper in one column, of a panel and of a row, of what is around them."""
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.edgecolor": theme.PAPER["light"]["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": theme.PAPER["light"]["grid"],
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text, to be searched and edited
    "svg.hashsalt": "undergrowth",  # the same chart is the same file
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
}
SYMBOLS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-right": ">",
    "triangle-left": "<",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
    "star": "*",
}
"""matplotlib's names of plotly's symbols."""


def on_paper(chart: Chart, path: Path) -> Path:
    """Write the chart as it is first seen; see `Figure.save`."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"cannot save a figure as {path.name!r}: the suffix says the format, one of "
            f"{', '.join(SUFFIXES)}; call it {path.with_suffix('.pdf').name!r}"
        )
    try:
        from matplotlib import rc_context
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "figures for paper are drawn by matplotlib, which is not installed: "
            "pip install 'undergrowth[figures]'"
        ) from missing
    with rc_context(STYLE):
        dated = {".pdf": "CreationDate", ".svg": "Date"}.get(path.suffix.lower())
        undated: Any = {dated: None} if dated else {}
        drawn(chart).savefig(path, metadata=undated)
    return path


def drawn(chart: Chart) -> Figure:
    """matplotlib's figure of the chart, within no global state."""
    from matplotlib.figure import Figure

    heights = [_height(chart, panels) for panels in chart.lines]
    figure = Figure(figsize=(WIDTH, sum(heights) + MARGIN), layout="constrained")
    share = "col" if isinstance(chart.x, Scale) and chart.x.kind != "rows" else "none"
    grid = figure.subplots(
        len(heights),
        chart.across,
        squeeze=False,
        sharex=share,
        sharey="row" if chart.across > 1 else "none",
        height_ratios=heights,
    )
    axes = dict(zip(chart.panels, grid.flat, strict=False))
    for empty in grid.flat[len(axes) :]:
        empty.set_visible(False)
    pieces = list(chart.pieces(chart.start))
    first = next((piece.choice for piece in pieces), "")
    for piece in pieces:
        if piece.choice == first or not piece.choice:
            MARKS[piece.layer.mark](axes[piece.panel], _placed(piece))
    for panel, its in axes.items():
        _finish(its, chart, panel, is_last=panel in chart.panels[-chart.across :])
    _legend(figure, chart, axes)
    return figure


def _log_scale(chart: Chart, letter: str, panel: str) -> LogScale:
    is_shared = letter == "x" and isinstance(chart.x, Scale)
    return chart.log_scale(letter, None if is_shared else panel)


def _placed(piece: Piece) -> Piece:
    """With zeros where they stand on a log axis, as on the screen."""
    for letter in "xy":
        at = getattr(piece, letter)
        if piece.chart.scale(letter, piece.panel).kind == "log" and (at == 0).any():
            zero = _log_scale(piece.chart, letter, piece.panel).zero
            piece = replace(piece, **{letter: np.where(at == 0, zero, at)})
    return piece


def _height(chart: Chart, panels: Sequence[str]) -> float:
    """Inches of a line of panels."""
    if chart.is_square:
        return WIDTH * 0.8
    rows = chart.rows_of(panels)
    return 0.5 + ROW * max(map(len, rows)) if rows else max(PANEL, chart.tall / 120)


def _lines(axes: Axes, piece: Piece) -> None:
    look = piece.look
    if bounds := piece.interval:
        if look.fill:
            axes.fill_between(piece.x, *bounds, color=look.colour, alpha=look.fill, linewidth=0)
        else:
            for bound in bounds:
                axes.plot(piece.x, bound, color=look.colour, linewidth=0.5, linestyle=_dash(look.dash))
    width = 0.6 * look.width
    dash = _dash(look.dash)
    axes.plot(piece.x, piece.y, color=look.colour, lw=width, ls=dash, label=piece.series)


def _intervals(axes: Axes, piece: Piece) -> None:
    value = getattr(piece, piece.along)
    bars: Any = None
    if bounds := piece.interval:
        ends = np.nan_to_num([value - bounds[0], bounds[1] - value], posinf=0, neginf=0)
        bars = np.maximum(ends, 0)
    axes.errorbar(
        piece.x,
        piece.y,
        **{f"{piece.along}err": bars},
        fmt=_symbol(piece),
        linestyle="none" if piece.along == "x" else _dash(piece.look.dash),
        color=piece.look.colour,
        markersize=4,
        linewidth=0.9,
        label=piece.series,
    )


def _dots(axes: Axes, piece: Piece) -> None:
    look = piece.look
    is_open = look.symbol.endswith("-open")
    face: Any = {
        "facecolors": "none" if is_open else look.colour,
        "edgecolors": look.colour if is_open else "none",
    }
    axes.scatter(
        piece.x,
        piece.y,
        s=(0.5 * look.size) ** 2,
        marker=_symbol(piece),
        alpha=look.opacity,
        label=piece.series,
        zorder=3,
        **face,
    )
    for x, y, text in zip(piece.x, piece.y, piece.texts(piece.layer.label), strict=False):
        axes.annotate(
            plain(text),
            (x, y),
            (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=6,
            color=theme.NEUTRAL,
        )


def _cells(axes: Axes, piece: Piece) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = piece.chart.colours
    assert colours is not None, "cells need the colours of their chart"
    columns, lines = np.unique(piece.x), np.unique(piece.y)
    shade = np.full((len(lines), len(columns)), np.nan)
    place = np.searchsorted(lines, piece.y), np.searchsorted(columns, piece.x)
    shade[place] = piece.rows[piece.layer.shade].to_numpy(float)
    scale = LinearSegmentedColormap.from_list("shade", [_opaque(stop) for stop in colours.scale])
    edges = [_edges(at, piece, letter) for at, letter in ((columns, "x"), (lines, "y"))]
    ends = dict(zip(("vmin", "vmax"), colours.ends, strict=True))
    gaps: Any = {"edgecolors": "white", "linewidth": 1} if piece.layer.label else {}
    mesh = axes.pcolormesh(*edges, shade, cmap=scale, **ends, rasterized=shade.size > 1000, **gaps)
    for x, y, text in zip(piece.x, piece.y, piece.texts(piece.layer.label), strict=False):
        axes.text(x, y, plain(text), ha="center", va="center", fontsize=6, color=theme.CELL_INK)
    axes.grid(visible=False)
    if colours.has_bar and piece.panel == piece.chart.panels[0]:
        ticks, every = list(colours.ticks or ()) or None, list(axes.figure.axes)
        bar = axes.figure.colorbar(mesh, ax=every, label=plain(colours.title), ticks=ticks)
        if colours.ticks:
            bar.set_ticklabels([plain(text) for text in colours.ticks.values()])


def _opaque(stop: tuple[float, str]) -> tuple[float, Any]:
    """A stop of a colour scale on white paper."""
    at, colour = stop
    if not colour.startswith("rgba"):
        return at, colour
    *rgb, opacity = (float(part) for part in colour[5:-1].split(","))
    return at, tuple(1 - opacity + opacity * part / 255 for part in rgb)


def _edges(at: np.ndarray, piece: Piece, letter: str) -> np.ndarray:
    """Where cells begin and end whose middles are known, on the axis as it is drawn."""
    is_log = piece.chart.scale(letter, piece.panel).kind == "log" and bool((at > 0).all())
    middles = np.log(at) if is_log else at
    between = (middles[1:] + middles[:-1]) / 2
    half = (middles[1] - middles[0]) / 2 if len(at) > 1 else 0.5
    last = (middles[-1] - middles[-2]) / 2 if len(at) > 1 else 0.5
    edges = np.concatenate([[middles[0] - half], between, [middles[-1] + last]])
    return np.exp(edges) if is_log else edges


def _survival(axes: Axes, piece: Piece) -> None:
    look = piece.look
    dash, width = _dash(look.dash), 0.6 * look.width
    axes.step(piece.x, piece.y, where="post", color=look.colour, lw=width, ls=dash, label=piece.series)
    unseen = piece.unseen
    axes.plot(piece.x[unseen], piece.y[unseen], "+", color=look.colour, markersize=5)


def _rules(axes: Axes, piece: Piece) -> None:
    upright = bool(piece.layer.x)
    texts = piece.texts(piece.layer.label) or [""] * len(piece.rows)
    for line, (at, text) in enumerate(zip(piece.x if upright else piece.y, texts, strict=True)):
        draw: Any = axes.axvline if upright else axes.axhline
        draw(at, color=theme.NEUTRAL, linewidth=0.8, linestyle=":")
        place = (at, 1 - 0.12 * line) if upright else (0.01, at)
        where = axes.get_xaxis_transform() if upright else axes.get_yaxis_transform()
        down = "top" if upright else "bottom"
        axes.text(*place, f" {plain(text)}", transform=where, va=down, fontsize=6, color=theme.NEUTRAL)


MARKS: dict[Mark, Callable[[Axes, Piece], None]] = {
    "lines": _lines,
    "intervals": _intervals,
    "dots": _dots,
    "cells": _cells,
    "survival": _survival,
    "rules": _rules,
}


def _finish(axes: Axes, chart: Chart, panel: str, *, is_last: bool) -> None:
    """Titles, scales, ticks."""
    if panel:
        axes.set_title("\n".join(wrap(plain(panel), 75)), loc="left", fontsize=8)
    for letter in "xy":
        scale = chart.scale(letter, panel)
        is_shared = letter == "x" and isinstance(chart.x, Scale)
        if scale.title and (is_last or not is_shared):
            axes.set(**{f"{letter}label": plain(scale.title)})
        _scale(axes, chart, scale, letter, panel)
        for at in scale.lines:
            draw: Any = axes.axvline if letter == "x" else axes.axhline
            draw(at, color=theme.NEUTRAL, linewidth=0.8, linestyle=":")
    if chart.is_square:
        axes.set_aspect("equal")


def _scale(axes: Axes, chart: Chart, scale: Scale, letter: str, panel: str) -> None:
    from matplotlib.ticker import NullLocator

    axis = axes.xaxis if letter == "x" else axes.yaxis
    if scale.kind == "rows":
        names = chart.order(letter, panel)
        axis.set_ticks(range(len(names)), [plain(str(name)) for name in names])
        ends = (len(names) - 0.5, -0.5) if letter == "y" else (-0.5, len(names) - 0.5)
        axes.set(**{f"{letter}lim": ends})
        axis.grid(visible=False)
        return
    if scale.kind == "log":
        placed = _log_scale(chart, letter, panel)
        at, labels = placed.ticks()
        axes.set(**{f"{letter}scale": "log"})
        axis.set_ticks(at, [plain(label) for label in labels])
        axis.set_minor_locator(NullLocator())
        if placed.has_zero:
            draw: Any = axes.axvline if letter == "x" else axes.axhline
            draw(placed.gap, color=theme.NEUTRAL, linewidth=0.5, linestyle=":")
    limits = scale.log_limits if scale.kind == "log" else scale.limits
    if limits:
        axes.set(**{f"{letter}lim": limits})
    if scale.ticks is not None:
        ends = axis.get_view_interval()  # which ticks beyond the data would widen
        axis.set_ticks(list(scale.ticks), [plain(text) for text in scale.ticks.values()])
        axes.set(**{f"{letter}lim": ends})


def _legend(figure: Figure, chart: Chart, axes: Mapping[str, Axes]) -> None:
    """One for all panels, below them."""
    drawn: dict[str, Any] = {}
    for each in axes.values():
        handles, names = each.get_legend_handles_labels()
        drawn |= dict(zip(names, handles, strict=True))
    found = {plain(name): drawn[name] for name in chart.shown_series if name in drawn}
    if found:
        columns = max(1, min(4, int(90 / (8 + max(map(len, found))))))
        figure.legend(list(found.values()), list(found), loc="outside lower left", ncols=columns)


def _symbol(piece: Piece) -> str:
    return SYMBOLS.get(piece.look.symbol.removesuffix("-open"), "o")


def _dash(dash: str) -> Any:
    """matplotlib's dash of '8px,3px'."""
    if "px" not in dash:
        return {"solid": "-", "dot": ":", "dash": "--"}.get(dash, "-")
    return 0, tuple(0.5 * float(part.removesuffix("px")) for part in dash.split(","))


def plain(text: str) -> str:
    """Text without the marks of HTML, which matplotlib does not know; its own `$` is text too."""
    text = re.sub(
        r"<sup>(.*?)</sup>", lambda found: found[1].replace("−", "-").translate(SUPERSCRIPT), text
    )
    return re.sub(r"<.*?>", "", text.replace("<br>", "\n")).replace("$", r"\$")
