"""The picture of a map: cells by two fields, coloured by the phase of their runs or by a median."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from undergrowth.analysis.phases import PHASES, rules_of
from undergrowth.analysis.run_map import DELAY, PHASE, Axis, Cell, Median, RunMap
from undergrowth.report.axes import LogScale, round_numbers
from undergrowth.report.charts import Chart, Colours, Layer, Scale
from undergrowth.report.charts.screen import on_screen
from undergrowth.report.figure import Figure
from undergrowth.report.groups import RULES, plural
from undergrowth.report.numbers import format_number
from undergrowth.store.events import EventName, Rules

STATES: Mapping[str, tuple[str, str]] = {
    "comprehension": ("comp", "#8fd0b0"),
    "grokking": ("grok", "#f2c35e"),
    "memorisation": ("memo", "#93bbe6"),
    "confusion": ("conf", "#c3c7cd"),
    "failed": ("fail", "#ec9c8b"),
    "unknown": ("?", "#e2e0d8"),
    "mixed": ("mixed", "#cdb5e8"),
}
"""Of each phase, and of runs without a common one: what a cell says, and its colour."""
TITLES = {
    PHASE: "Phase",
    DELAY: "Delay (grokked / memorised)",
    "onset": "Step at which validation accuracy sets off",
}
RAMP = ("#f6dd85", "#b9dfa9", "#7cc5c4", "#6aa9dc", "#8487d4")
"""From the least to the most, all light enough for dark text."""
LATER, NONE = "#c3c7cd", "#ece7e4"
"""Cells whose median is beyond their runs, and whose runs have no such number."""
EDGE, BLOCK = 0.02, 0.16
"""Of the colours' bar, above the ramp and for each of these."""
WRITTEN = 16, 20
"""Columns and lines up to which cells say what they show."""
TALLEST, TALL, LEAST = 640, 54, 14
"""Pixels of all rows, and of a row at most and at least."""
TICKS, LETTERS = 16, 76
"""Values that are written along an axis, of more one in so many; letters that fit below it."""


def map_figure(cells: RunMap, colour: str) -> Figure:
    """The map with its cells coloured by one thing; its table is `RunMap.table` of that."""
    shown = _of_phases(cells) if colour == PHASE else _of_numbers(cells, colour)
    is_written = cells.x.n <= WRITTEN[0] and cells.y.n <= WRITTEN[1]
    drawn = pd.DataFrame(
        {
            "column": [cell.x for cell in cells.cells],
            "line": [cell.y for cell in cells.cells],
            "shade": shown.shades,
            **({"label": shown.labels} if is_written else {}),
        }
    )
    tall = min(TALL, max(LEAST, TALLEST // cells.y.n))
    drawn = pd.concat([drawn, _empty_places(cells, drawn)], ignore_index=True)
    chart = Chart(
        drawn,
        {"": Layer("cells", "column", "line", shade="shade", label="label")},
        x=_scale(cells.x, LETTERS),
        y=_scale(cells.y),
        colours=shown.colours,
        tall=max(120, tall * cells.y.n),
    )
    plot = on_screen(chart)
    for letter in "xy":
        plot.update_axes(letter, {"showgrid": False, "zeroline": False})
    if sum(len(name) + 1 for name in (chart.scale("x", "").ticks or {}).values()) > LETTERS:
        plot.update_axes("x", {"tickangle": -45})
    trace = plot.data[0]
    told = {(cell.x, cell.y): text for cell, text in zip(cells.cells, shown.told, strict=True)}
    at = [[(int(x), int(y)) for x in trace["x"]] for y in trace["y"]]
    trace["hovertext"] = [[told.get(place, "") for place in line] for line in at]
    title = f"{in_words(colour, cells.rules)}, by {cells.x.short} and {cells.y.short}"
    table = cells.table([colour])
    return Figure(f"map_{colour}", title, f"{shown.caption} {_of_axes(cells)}", plot, table, chart)


def in_words(colour: str, rules: Rules = RULES) -> str:
    """What cells are coloured by, as a title."""
    sides = {"memorised": ("train", rules.memorised), "grokked": ("validation", rules.grokked)}
    if colour in sides:
        side, level = sides[colour]
        return f"Steps to {100 * level:g} % {side} accuracy"
    if colour in TITLES:
        return TITLES[colour]
    text = colour.replace("_", " ")
    return f"Step of {text}" if colour.endswith("_stable") else f"Last {text}"


@dataclass(frozen=True, eq=False)
class _Shown:
    """What cells show, one by one: shade, label, hover text; and what it means."""

    shades: list[float]
    labels: list[str]
    told: list[str]
    colours: Colours
    caption: str


def _of_phases(cells: RunMap) -> _Shown:
    there = {cell.phase for cell in cells.cells}
    names = [name for name in STATES if name in there]
    n = len(names)
    stops = [((i + end) / n, STATES[name][1]) for i, name in enumerate(names) for end in (0, 1)]
    rules = rules_of(cells.rules, cells.late)
    told = [f"<br>{counted(cell)}" for cell in cells.cells]
    return _Shown(
        [float(names.index(cell.phase)) for cell in cells.cells],
        [_phase_label(cell) for cell in cells.cells],
        [head(cells, cell) + line for cell, line in zip(cells.cells, told, strict=True)],
        Colours(stops, (-0.5, n - 0.5), "", dict(enumerate(names)), has_bar=True),
        "A cell has the colour of the phase of more than half of its runs (mixed: of none), after Liu "
        "et al. 2022. " + " ".join(f"{name}: {rules[name]}." for name in PHASES),
    )


def _phase_label(cell: Cell) -> str:
    if len(cell.phases) == 1:
        return STATES[cell.phase][0]
    counts = sorted(cell.phases.items(), key=lambda item: -item[1])
    return "<br>".join(f"{n} {STATES[name][0]}" for name, n in counts[:3])


def counted(cell: Cell) -> str:
    """How many of a cell's runs are in each phase, in words.

    >>> counted(Cell(0, 0, (), {"grokking": 2, "failed": 1}))
    'grokking 2, failed 1'
    """
    if len(cell.phases) == 1:
        return next(iter(cell.phases))
    return ", ".join(f"{name} {cell.phases[name]}" for name in PHASES if cell.phases.get(name))


def head(cells: RunMap, cell: Cell) -> str:
    """Where a cell is, and how many runs it has."""
    return f"{where(cells, cell)}: {plural(len(cell.runs), 'run')}"


def where(cells: RunMap, cell: Cell) -> str:
    """The values of a cell.

    >>> axis = Axis("optimiser.lr", "lr", (0.1, 0.2), (0, 1), "in order")
    >>> where(RunMap(axis, axis, (), ()), Cell(0, 1, (), {}))
    'lr = 0.1, lr = 0.2'
    """
    (x, at_x), (y, at_y) = (cells.x, cell.x), (cells.y, cell.y)
    return f"{x.short} = {x.written(at_x)}, {y.short} = {y.written(at_y)}"


def _of_numbers(cells: RunMap, colour: str) -> _Shown:
    medians = cells.medians(colour)
    known = [it.at_least for it in medians if it is not None and not it.is_censored]
    scale = _Ramp.of(known, is_log=_is_log(colour, known))
    has_later = any(it is not None and it.is_censored for it in medians)
    has_none = None in medians
    name = in_words(colour, cells.rules)
    told = [f"<br>{name}: {told_of(it, colour)}" for it in medians]
    n = sorted({len(cell.runs) for cell in cells.cells})
    of = f"Medians over the {n[0]} runs" if len(n) == 1 else f"Medians over the {n[0]} to {n[-1]} runs"
    censored = (
        " Grey with “>”: half of the runs or more ended before it, and it is later than that."
        if has_later
        else ""
    )
    some = any(it is not None and it.n_censored and not it.is_censored for it in medians)
    partly = (
        " “2/3”: in two of three runs; the others ended before it and count as later." if some else ""
    )
    return _Shown(
        [scale.place(it, has_later) for it in medians],
        [_label(it, colour) for it in medians],
        [head(cells, cell) + line for cell, line in zip(cells.cells, told, strict=True)],
        scale.colours(has_later, has_none),
        f"{of} of a cell.{censored}{partly}{_rule(colour, cells.rules)}",
    )


def _rule(colour: str, rules: Rules) -> str:
    events: tuple[EventName, ...] = (
        ("memorised", "grokked") if colour == DELAY else ("memorised", "onset", "grokked")
    )
    said = [
        f"{event}: {rules.describe(event)}"
        for event in events
        if colour in (DELAY, event, f"{event}_stable")
    ]
    if not said:
        return " The last value of each run counts."
    kind = (
        " from the first evaluation from which it held to the end" if colour.endswith("_stable") else ""
    )
    never = " A run that never memorised has none." if colour == DELAY else ""
    return f" {'; '.join(said)}{kind}.{never}"


def _is_log(colour: str, known: Sequence[float]) -> bool:
    """Whether a scale is log: of steps and delays, and of what is above 0 and spans a factor of 30."""
    if not known or min(known) <= 0:
        return False
    return not _is_reading(colour) or max(known) > 30 * min(known)


def _is_reading(colour: str) -> bool:
    return colour not in (
        DELAY,
        *(f"{e}{s}" for e in ("memorised", "onset", "grokked") for s in ("", "_stable")),
    )


@dataclass(frozen=True)
class _Ramp:
    """Where numbers stand on the colours from 0 to 1."""

    low: float
    high: float
    is_log: bool

    @classmethod
    def of(cls, known: Sequence[float], *, is_log: bool) -> _Ramp:
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        if low == high:  # one colour, in the middle
            low, high = (low / 2, high * 2) if is_log else (low - 0.5, high + 0.5)
        return cls(low, high, is_log)

    def at(self, value: float) -> float:
        """From 0 to 1."""
        low, high, x = (math.log(v) if self.is_log else v for v in (self.low, self.high, value))
        return (x - low) / (high - low)

    def place(self, median: Median | None, has_later: bool) -> float:
        """Beyond 1 stand cells whose median is later than their runs, then those without one."""
        if median is None:
            return 1 + EDGE + BLOCK * (has_later + 0.5)
        return 1 + EDGE + BLOCK / 2 if median.is_censored else self.at(median.at_least)

    def colours(self, has_later: bool, has_none: bool) -> Colours:
        """The ramp, then a block each for later and for none, where there are such cells."""
        blocks = [LATER] * has_later + [NONE] * has_none
        end = 1 + (EDGE + BLOCK * len(blocks) if blocks else 0)
        stops = [(i / (len(RAMP) - 1) / end, colour) for i, colour in enumerate(RAMP)]
        for i, colour in enumerate(blocks):
            before = [] if i else [((1 + EDGE) / end, RAMP[-1])]
            stops += [*before, *(((1 + EDGE + BLOCK * (i + side)) / end, colour) for side in (0, 1))]
        stops[-1] = (1.0, stops[-1][1])
        names = ["later"] * has_later + ["none"] * has_none
        extra = {1 + EDGE + BLOCK * (i + 0.5): name for i, name in enumerate(names)}
        return Colours(stops, (0.0, end), "", {**self._ticks(), **extra}, has_bar=True)

    def _ticks(self) -> dict[float, str]:
        if self.is_log:
            at, labels = LogScale(self.low, self.high, has_zero=False).ticks()
        else:
            at = round_numbers(self.low, self.high)
            labels = [format_number(value) for value in at]
        return {
            self.at(v): text for v, text in zip(at, labels, strict=True) if text and self.at(v) <= 1.001
        }


def number(value: float, colour: str) -> str:
    """A number of a map in words."""
    if colour == DELAY:
        return f"× {format_number(value, 2 if value < 10 else 3)}"
    return format_number(value) if _is_reading(colour) or value != round(value) else f"{value:,.0f}"


def _label(median: Median | None, colour: str) -> str:
    """What a cell says: from 10,000 steps on in thousands, with the runs that came to it."""
    if median is None:
        return "none"
    is_long = not _is_reading(colour) and median.at_least >= 10_000
    value = _value(median, lambda x: f"{x / 1000:.3g}k" if is_long else number(x, colour))
    partly = median.n_censored and not median.is_censored
    return f"{value}<br>{median.n - median.n_censored}/{median.n}" if partly else value


def _value(median: Median, written: Callable[[float], str]) -> str:
    least = written(median.at_least)
    if median.is_censored:
        return f"> {least}"
    return least if median.at_least == median.at_most else f"{least}–{written(median.at_most)}"


def told_of(median: Median | None, colour: str) -> str:
    """A median in words: its value or bound, its interval or the range of the runs, how many ended
    before it.
    """
    if median is None:
        return "none of the runs has it"
    value = _value(median, lambda x: number(x, colour))
    if median.n == 1:
        return value
    is_known = not math.isnan(median.low)
    low, high = (median.low, median.high) if is_known else (median.lowest, median.highest)
    kind = "95 % interval " if is_known else ""
    some = "all" if median.n_censored == median.n else f"{median.n_censored} of {median.n}"
    late = f"; {some} ended before it" if median.n_censored else ""
    if low == high:
        return value + late
    ends = f"to {number(high, colour)}" if math.isfinite(high) else "on"
    return f"{value}, {kind}{'' if is_known else 'from '}{number(low, colour)} {ends}{late}"


def _empty_places(cells: RunMap, drawn: pd.DataFrame) -> pd.DataFrame:
    """Rows for columns and lines in which no cell is, so that they stay empty rather than vanish."""
    columns = sorted({*range(cells.x.n)} - {*drawn["column"]})
    lines = sorted({*range(cells.y.n)} - {*drawn["line"]})
    places = [(column, 0) for column in columns] + [(0, line) for line in lines]
    empty = pd.DataFrame(places, columns=["column", "line"]).assign(shade=np.nan)
    return empty.assign(label="") if "label" in drawn else empty


def _scale(axis: Axis, letters: int | None = None) -> Scale:
    """letters: how many there is room for side by side; names stand aslant where there are more."""
    names = {float(at): axis.written(at) for at in axis.places}
    most = TICKS
    if letters is not None and axis.spacing != "names":
        most = max(2, min(TICKS, letters // (1 + max(map(len, names.values())))))
    shown = list(names)[:: math.ceil(len(names) / most)]
    return Scale(axis.field, limits=(-0.5, axis.n - 0.5), ticks={at: names[at] for at in shown})


def _of_axes(cells: RunMap) -> str:
    said: dict[str, list[str]] = {}
    for axis in (cells.x, cells.y):
        said.setdefault(axis.spacing, []).append(axis.short)
    words = {
        "log": "on a log scale, to the nearest cell",
        "linear": "on a linear scale, to the nearest cell",
        "in order": "in order, not to scale",
        "names": "names, in alphabetical order",
    }
    axes = "; ".join(f"{' and '.join(fields)} {words[spacing]}" for spacing, fields in said.items())
    return f"Axes: {axes}. Where there is no cell there are no runs."


def key_of(figure: Figure) -> tuple[str, list[tuple[float, str]]]:
    """The bar of colours for a page: a gradient of CSS, and in percent where each text stands."""
    colours = figure.chart.colours
    assert colours is not None, "maps have colours"
    low, high = colours.ends
    stops = ", ".join(f"{colour} {100 * at:.4g}%" for at, colour in colours.scale)
    ticks = [(100 * (at - low) / (high - low), text) for at, text in (colours.ticks or {}).items()]
    return f"linear-gradient(to right, {stops})", ticks


def rows_of(cells: RunMap, colours: Sequence[str]) -> list[dict[str, Any]]:
    """The table for people: a row a cell, each thing in words."""
    found: list[dict[str, Any]] = []
    medians = {colour: cells.medians(colour) for colour in colours if colour != PHASE}
    for i, cell in enumerate(cells.cells):
        numbers = {colour: told_of(its[i], colour) for colour, its in medians.items()}
        told = {PHASE: counted(cell), **numbers}
        found.append({"cell": cell, **{colour: told[colour] for colour in colours}})
    return found
