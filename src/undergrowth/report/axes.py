"""Log and linear axes, one click apart, on which zero has its own place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from undergrowth.report.numbers import rounded
from undergrowth.report.plot import Plot

AxisType = Literal["log", "linear"]
KINDS: tuple[AxisType, ...] = ("log", "linear")

ZERO_ON_LOG = "Zero has no place on a log axis: it is drawn beyond the dotted line, at its own tick."


@dataclass(frozen=True)
class LogScale:
    """Where values >= 0 stand on a log axis.

    low, high: the smallest and the largest value above 0; has_zero: whether there is a 0 to show,
    which then stands a little below `low`, beyond a break; marks: where ticks are, if not at round
    numbers.
    """

    low: float
    high: float
    has_zero: bool
    marks: tuple[float, ...] = ()

    @classmethod
    def of(cls, *arrays: Any) -> LogScale:
        """The scale for all the finite values in some arrays."""
        values = np.concatenate([np.ravel(np.asarray(a, np.float64)) for a in arrays])
        values = values[np.isfinite(values)]
        positive = values[values > 0]
        low, high = (positive.min(), positive.max()) if len(positive) else (1.0, 10.0)
        return cls(float(low), float(high), bool((values == 0).any()))

    @property
    def zero(self) -> float:
        """The position of 0."""
        return float(f"{self.low / max(1.6, (self.high / self.low) ** 0.09):.4g}")

    @property
    def gap(self) -> float:
        """The position of the break between 0 and the rest."""
        return math.sqrt(self.zero * self.low)

    def place(self, values: Any) -> list[float | None]:
        """The positions of values."""
        array = np.asarray(values, np.float64)
        return rounded(np.where(array == 0, self.zero, array))

    def ticks(self) -> tuple[list[float], list[str]]:
        """Positions and labels of ticks."""
        if self.marks:
            values = [v for v in self.marks if v > 0]
            every = 2 if len(values) > 8 else 1
            labels = [_label(v) if i % every == 0 else "" for i, v in enumerate(values)]
        else:
            values, labels = self._even_ticks()
        zero = ([self.zero], ["0"]) if self.has_zero else ([], [])
        return [*zero[0], *values], [*zero[1], *labels]

    def _even_ticks(self) -> tuple[list[float], list[str]]:
        span = math.log10(self.high / self.low)
        coarse = (1, 2, 5) if span < 1.7 else (1, 3) if span < 3.5 else (1,)
        for digits in (coarse, range(1, 10)):
            at, labels = self._ticks_at(digits)
            if sum(map(bool, labels)) >= ENOUGH:
                return at, labels
        at = round_numbers(self.low, self.high)
        return at, [_label(value) for value in at]

    def _ticks_at(self, digits: Sequence[int]) -> tuple[list[float], list[str]]:
        """Ticks at these digits of every decade, and labels for as many decades as there is room."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        stride = max(1, math.ceil(len(decades) / 8))
        at = [(float(f"{m}e{d}"), d) for d in decades for m in digits]
        at = [(v, d) for v, d in at if self.low * 0.999 <= v <= self.high * 1.05]
        return [v for v, _ in at], [_label(v) if d % stride == 0 else "" for v, d in at]


ENOUGH = 2
"""Labelled ticks from which on a reader can tell the scale."""


def round_numbers(low: float, high: float) -> list[float]:
    """Some four round numbers from `low` to `high`; `low` where they are one."""
    if high <= low * (1 + 1e-6):
        return [low]
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough * 0.999)
    places = max(0, -math.floor(math.log10(unit)))
    first, last = math.ceil(low / step * (1 - 1e-9)), math.floor(high / step * (1 + 1e-9))
    return [round(i * step, places) for i in range(first, last + 1)]


@dataclass(frozen=True)
class Axis:
    """An axis of a figure that can be log or linear.

    names: plotly's layout keys that change together; scale: where values stand when it is log; start:
    its type at first; linear_range, log_range: fixed limits (those of a log axis as powers of ten).
    """

    names: tuple[str, ...]
    scale: LogScale
    start: AxisType
    linear_range: tuple[float, float] | None = None
    log_range: tuple[float, float] | None = None

    @property
    def letter(self) -> str:
        """'x' or 'y'."""
        return self.names[0][0]


def add_axis_buttons(plot: Plot, *axes: Axis) -> None:
    """Draw the axes as they start and add, for each, a button for log and one for linear.

    The traces must hold their true values: zeros are moved to their place on a log axis here, and back
    by the button for linear.
    """
    starts = []
    for position, axis in enumerate(axes):
        if axis.scale.has_zero:
            plot.add_shape(**_gap(axis))
        updates = {kind: _update(plot, axis, kind) for kind in KINDS}
        buttons = [
            {"label": f"{axis.letter} {kind}", "method": "update", "args": updates[kind]}
            for kind in KINDS
        ]
        add_buttons(plot, buttons, right=position > 0, active=KINDS.index(axis.start))
        starts.append(updates[axis.start])
    for data, layout, *which in starts:
        plot.apply(data, layout, *(which or [[]]))


def add_buttons(
    plot: Plot,
    buttons: Sequence[dict[str, Any]],
    *,
    right: bool = False,
    row: int = 0,
    active: int = 0,
) -> None:
    """Add a row of buttons above the plot, at its left or its right end."""
    menu = {
        "type": "buttons",
        "direction": "right",
        "buttons": list(buttons),
        "active": active,
        "showactive": True,
        "x": 1 if right else 0,
        "xanchor": "right" if right else "left",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 8 + 40 * row, "t": 0, "l": 0 if right else -50},
    }
    plot.update(updatemenus=[*plot.layout.get("updatemenus", []), menu])


def _update(plot: Plot, axis: Axis, kind: AxisType) -> list[Any]:
    """Arguments of plotly's `update` that make an axis log or linear."""
    layout: dict[str, Any] = {}
    values, labels = axis.scale.ticks()
    for name in axis.names:
        layout[f"{name}.type"] = kind
        layout[f"{name}.tickmode"] = "array" if kind == "log" else "auto"
        layout[f"{name}.tickvals"] = values if kind == "log" else None
        layout[f"{name}.ticktext"] = labels if kind == "log" else None
        limits = axis.linear_range if kind == "linear" else axis.log_range
        layout[f"{name}.autorange"] = limits is None
        if limits:
            layout[f"{name}.range"] = list(limits)
    layout |= _gap_visible(plot, axis, kind)
    moved = _with_zero(plot, axis) if axis.scale.has_zero else {}
    if not moved:
        return [{}, layout]
    place = axis.scale.place if kind == "log" else list
    return [{axis.letter: [place(v) for v in moved.values()]}, layout, list(moved)]


def _with_zero(plot: Plot, axis: Axis) -> dict[int, list[float]]:
    """True coordinates, by trace, of the traces that have a zero on an axis."""
    keys = {name.replace("axis", "") for name in axis.names}
    found = {}
    for i, trace in enumerate(plot.data):
        values = trace.get(axis.letter)
        on_axis = trace.get(f"{axis.letter}axis", axis.letter) in keys
        if on_axis and values is not None and any(v == 0 for v in values):
            found[i] = list(values)
    return found


def _gap(axis: Axis) -> dict[str, Any]:
    other = {"x": "y", "y": "x"}[axis.letter]
    at = axis.scale.gap
    return {
        "type": "line",
        "name": f"{axis.letter} gap",
        "layer": "below",
        f"{axis.letter}ref": axis.letter,
        f"{other}ref": "paper",
        f"{axis.letter}0": at,
        f"{axis.letter}1": at,
        f"{other}0": 0,
        f"{other}1": 1,
        "line": {"dash": "dot", "width": 1},
    }


def _gap_visible(plot: Plot, axis: Axis, kind: AxisType) -> dict[str, bool]:
    return {
        f"shapes[{i}].visible": kind == "log"
        for i, shape in enumerate(plot.layout.get("shapes", []))
        if shape.get("name") == f"{axis.letter} gap"
    }


def _label(value: float) -> str:
    if 1e-3 <= value < 1e6:
        return f"{value:,.0f}" if value >= 1e3 and value == round(value) else f"{value:,.10g}"
    digits, exponent = f"{value:.9e}".split("e")
    times = "" if float(digits) == 1 else f"{float(digits):.10g}×"
    return f"{times}10<sup>{int(exponent)}</sup>".replace("-", "−")


def traces_of(plot: Any) -> list[Any]:
    """The traces of a plot, in its order."""
    return list(cast(Sequence[Any], plot.data))


def subplot_names(letter: str, rows: int) -> tuple[str, ...]:
    """The layout keys of the axes of a figure with that many rows."""
    return tuple(f"{letter}axis{'' if i == 0 else i + 1}" for i in range(rows))
