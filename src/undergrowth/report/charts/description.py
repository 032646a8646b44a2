"""What a chart is: a tidy table, and which of its columns which mark draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from undergrowth.report import theme
from undergrowth.report.axes import LogScale
from undergrowth.report.numbers import format_number, said

Mark = Literal["lines", "intervals", "dots", "cells", "survival", "rules"]
"""lines: over x, with a band from low to high where there is one; intervals: a symbol with a bar from
low to high, along x where y is in rows, else along y; dots: a symbol a row; cells: a heat map; survival:
a staircase, a cross where a run left unseen; rules: a line across the panel at x or y, and its name.
"""
Kind = Literal["linear", "log", "rows"]


@dataclass(frozen=True)
class Look:
    """How a series is drawn. fill: opacity of its band."""

    colour: str
    dash: str = "solid"
    symbol: str = "circle"
    width: float = 2.0
    size: float = 8.0
    opacity: float = 1.0
    fill: float = 0.18


@dataclass(frozen=True)
class Layer:
    """Rows of a table drawn by one mark; all but the mark are names of columns.

    series: one look and one entry in the legend for each of its values; each: a line, or a place of its
    own in the row, for each of its values; low, high: bounds of an interval, where the table has them;
    shade: of cells, what their colour shows; label: text in a cell, above a dot, or at a rule; tell:
    what the hover text says beside the coordinates.
    """

    mark: Mark
    x: str
    y: str = ""
    series: str = "series"
    each: str = ""
    low: str = "low"
    high: str = "high"
    shade: str = ""
    label: str = ""
    tell: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """An axis.

    kind: 'rows' are the values in the order in which the table has them (or their categories), from top
    to bottom or from left to right; is_switchable: a button for log and one for linear; limits,
    log_limits: in units of the data; ticks: by position what is written there; marks: values at which a
    log axis has its ticks; lines: across the panel, for reference.
    """

    title: str = ""
    kind: Kind = "linear"
    is_switchable: bool = False
    limits: tuple[float, float] | None = None
    log_limits: tuple[float, float] | None = None
    ticks: Mapping[float, str] | None = None
    marks: tuple[float, ...] = ()
    lines: tuple[float, ...] = ()


@dataclass(frozen=True)
class Colours:
    """What the colours of cells mean: from 0 to 1 the colours, at which ends of the shade, and what the
    bar beside them says, if there is one.
    """

    scale: Sequence[tuple[float, str]]
    ends: tuple[float, float]
    title: str = ""
    ticks: Mapping[float, str] | None = None
    has_bar: bool = False


STEPS = Scale("training step", "log", is_switchable=True)
SHARE = Scale(limits=(-0.03, 1.03))


@dataclass(frozen=True, eq=False)
class Chart:
    """A table and how it is drawn.

    layers: by a value of the table's column `layer` what draws its rows; a table without that column
    has one layer. A column `panel` parts the rows into panels below one another, `across` of them
    abreast. x, y: the axes, by panel where they differ; looks: of some series, the others take the next
    of the theme's; choose: a column with a button for each of its values; slide: one with a position of
    the slider for each, `start` the first; other_x: a column that a button puts in the place of x, and
    its title; tall: pixels of a panel, or of each of its rows; is_square: whether x and y have one unit.
    """

    table: pd.DataFrame
    layers: Mapping[str, Layer]
    x: Scale | Mapping[str, Scale] = Scale()
    y: Scale | Mapping[str, Scale] = Scale()
    looks: Mapping[str, Look] = field(default_factory=dict)
    colours: Colours | None = None
    choose: str = ""
    slide: str = ""
    start: Any = None
    slide_title: str = ""
    other_x: tuple[str, str] | None = None
    across: int = 1
    tall: int = 0
    is_square: bool = False
    # Every piece asks for these, and each takes a pass over the table.
    _orders: dict[tuple[str, str], list[Any]] = field(default_factory=dict, init=False, repr=False)
    _by_layer: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _beside: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)

    def scale(self, axis: str, panel: str) -> Scale:
        """The x or the y axis of a panel."""
        found = self.x if axis == "x" else self.y
        return found if isinstance(found, Scale) else found.get(panel, Scale())

    @cached_property
    def panels(self) -> list[str]:
        """Their names, '' where there is but one without a name."""
        if "panel" not in self.table or not len(self.table):
            return [""]
        return distinct(self.table["panel"])

    @property
    def lines(self) -> list[list[str]]:
        """The panels that stand abreast, line by line."""
        return [self.panels[at : at + self.across] for at in range(0, len(self.panels), self.across)]

    def rows_of(self, panels: Sequence[str]) -> list[list[Any]]:
        """Of those of some panels whose y is in rows, the values in them."""
        return [self.order("y", panel) for panel in panels if self.scale("y", panel).kind == "rows"]

    @cached_property
    def shown_series(self) -> dict[str, Look]:
        """The look of every series, in the order of the legend."""
        drawn: dict[str, None] = {}
        for kind, layer in self.layers.items():
            rows = self.rows_in(kind)
            if layer.series in rows and layer.mark not in ("cells", "rules"):
                drawn |= dict.fromkeys(distinct(rows[layer.series]))
        given = {name: look for name, look in self.looks.items() if name in drawn}
        names = given | {name: given.get(name) for name in drawn}
        free = iter(theme.looks(len(names)))
        return {name: look or Look(*next(free)) for name, look in names.items()}

    def order(self, axis: str, panel: str) -> list[Any]:
        """The values in the rows of a panel, or in its columns."""
        if (axis, panel) not in self._orders:
            self._orders[axis, panel] = _values_in_order(self, axis, panel)
        return self._orders[axis, panel]

    def log_scale(self, axis: str, panel: str | None = None) -> LogScale:
        """Where values stand on a log axis of a panel, or of all of them."""
        pieces = [p for p in self._all if panel in (None, p.panel) and p.layer.mark != "rules"]
        bounds = [each for p in pieces if p.along == axis for each in p.interval or ()]
        scale = LogScale.of([], *(getattr(p, axis) for p in pieces), *bounds)
        return replace(scale, marks=self.scale(axis, panel or "").marks)

    @cached_property
    def _all(self) -> tuple[Piece, ...]:
        return tuple(self.pieces())

    def positions(self, column: str) -> list[Any]:
        """The values of the slider, or of the buttons, in their order."""
        return distinct(self.table[column]) if column in self.table else []

    def pieces(self, at: Any = None) -> Iterator[Piece]:
        """What is drawn one by one; at: the position of the slider."""
        for kind, layer in self.layers.items():
            rows = self.rows_in(kind)
            if self.slide and at is not None:
                rows = rows[(rows[self.slide] == at) | rows[self.slide].isna()]
            keys = [self.choose, "panel", layer.series]
            keys += [layer.each] if layer.mark in ("lines", "survival") else []
            keys = [key for key in keys if key and key in rows]
            for _, its in rows.groupby(keys, sort=False, dropna=False) if keys else [("", rows)]:
                if len(its):
                    yield self._piece(kind, layer, its)

    def beside(self, layer: Layer) -> list[str]:
        """The series of a layer, which stand side by side in a place."""
        kind = next(kind for kind, each in self.layers.items() if each is layer)
        if kind not in self._beside:
            rows = self.rows_in(kind)
            its = distinct(rows[layer.series]) if layer.series in rows else []
            self._beside[kind] = [name for name in self.shown_series if name in its]
        return self._beside[kind]

    def rows_in(self, kind: str) -> Any:
        """The rows of the table that a layer draws."""
        if "layer" not in self.table:
            return self.table
        if kind not in self._by_layer:
            self._by_layer[kind] = self.table[self.table["layer"] == kind]
        return self._by_layer[kind]

    def _piece(self, kind: str, layer: Layer, rows: Any) -> Piece:
        panel = str(rows["panel"].iloc[0]) if "panel" in rows else ""
        series = rows[layer.series].iloc[0] if layer.series in rows else ""
        series = series if isinstance(series, str) else ""
        x, y = (self._places(axis, panel, series, layer, rows) for axis in "xy")
        look = self.shown_series.get(series, Look(theme.NEUTRAL))
        choice = str(rows[self.choose].iloc[0]) if self.choose else ""
        return Piece(kind, layer, rows, panel, series, choice, look, x, y, self)

    def _places(self, axis: str, panel: str, series: str, layer: Layer, rows: Any) -> np.ndarray:
        """Where the rows stand: series of one place side by side, and so what `each` tells apart."""
        column = getattr(layer, axis)
        if column not in rows:
            return np.full(len(rows), np.nan)
        if self.scale(axis, panel).kind != "rows":
            at = rows[column].to_numpy(float)
            is_beside = layer.mark == "intervals" and self.scale("xy"[axis == "x"], panel).kind != "rows"
            if axis == "x" and is_beside:
                at = at + 0.16 * _least_gap(self.table[column]) * self._shift(layer, series)
            return at
        order = {value: i for i, value in enumerate(self.order(axis, panel))}
        at = rows[column].map(order).to_numpy(float)
        if layer.mark == "intervals":
            at = at + 0.7 * self._shift(layer, series)
        if layer.mark == "dots" and layer.each:
            place = rows.groupby(column, sort=False)[layer.each].rank("dense").to_numpy(float)
            at = at + 0.44 * ((place - 0.5) / max(1.0, float(np.nanmax(place))) - 0.5)
        return at

    def _shift(self, layer: Layer, series: str) -> float:
        """From -1/2 to 1/2: where a series stands among those of its layer."""
        drawn = self.beside(layer)
        return (drawn.index(series) + 0.5) / len(drawn) - 0.5 if series in drawn else 0.0


def _values_in_order(chart: Chart, axis: str, panel: str) -> list[Any]:
    found: dict[Any, None] = {}
    for kind, layer in chart.layers.items():
        rows, column = chart.rows_in(kind), getattr(layer, axis)
        if column in rows and layer.mark != "rules":
            here = rows[rows["panel"] == panel] if panel and "panel" in rows else rows
            known = here[column].dropna()
            ordered = isinstance(known.dtype, pd.CategoricalDtype)
            found |= dict.fromkeys(distinct(known.sort_values() if ordered else known))
    return list(found)


def distinct(column: Any) -> list[Any]:
    """The values of a column of a table, each once, in the order in which they first stand there."""
    return column.dropna().drop_duplicates().tolist()


def _least_gap(values: Any) -> float:
    gaps = np.diff(np.unique(values.dropna().to_numpy(float)))
    return float(gaps.min()) if len(gaps) else 1.0


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows of one layer, panel and series, and where they stand in their panel."""

    kind: str
    layer: Layer
    rows: Any
    panel: str
    series: str
    choice: str
    look: Look
    x: np.ndarray
    y: np.ndarray
    chart: Chart

    def column(self, name: str) -> np.ndarray | None:
        """Numbers of a column; None where the table has none of them."""
        if name not in self.rows or self.rows[name].isna().all():
            return None
        return self.rows[name].to_numpy(float)

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Lower and upper bounds, where there are such."""
        low, high = self.column(self.layer.low), self.column(self.layer.high)
        return None if low is None or high is None else (low, high)

    @property
    def unseen(self) -> np.ndarray:
        """Bool [row]: where a run left before it happened (`censored` > 0)."""
        left = self.column("censored")
        return np.zeros(len(self.x), bool) if left is None else left > 0

    @property
    def along(self) -> Literal["x", "y"]:
        """The axis along which an interval lies."""
        return "x" if self.chart.scale("y", self.panel).kind == "rows" else "y"

    def texts(self, name: str) -> list[str]:
        """A column as text, '' where nothing is known."""
        return [] if name not in self.rows else [said(value) for value in self.rows[name]]

    def hover(self) -> list[str]:
        """What is said of each row: its names, then each number by its column's name."""
        layer, value = self.layer, self.layer.shade or getattr(self.layer, self.along)
        shown = dict.fromkeys((layer.x, layer.y, layer.shade, *layer.tell))
        columns = [c for c in shown if c and c in self.rows]
        head = ", ".join(name for name in (self.panel, self.series) if name).replace("<br>", " ")
        found = []
        for row in self.rows.to_dict("records"):
            lines = [head] if head else []
            for column in columns:
                if text := said(row[column]):
                    bounds = [row.get(layer.low, np.nan), row.get(layer.high, np.nan)]
                    if column == value and np.isfinite(bounds).all():
                        text += f" [{format_number(bounds[0])}, {format_number(bounds[1])}]"
                    is_name = isinstance(row[column], str)
                    lines.append(text if is_name else f"{column.replace('_', ' ')} {text}")
            found.append("<br>".join(lines))
        return found
